"""One process of several: trains the tiny CNN in a folder and leaves after so many saves.

python one_process.py WORKDIR SAVES PORT COUNT INDEX
"""

import os
import sys
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"

import fdl.engine.loader
import tiny
from fdl import train
from fdl.data.dataset import Source
from fdl.parallel import processes, sharding
from fdl.runs.checkpoints import shards
from fdl.runs.checkpoints.manager import Checkpoints

workdir, saves, port, count, index = Path(sys.argv[1]), *map(int, sys.argv[2:])
if count > 1:
    processes.join(f"127.0.0.1:{port}", count, index)
save = Checkpoints.save


def save_and_leave(self, *args) -> None:
    global saves
    save(self, *args)
    saves -= 1
    if not saves:
        self.wait()
        raise SystemExit


def fetch_own(self, indices):
    assert len(indices) <= 16 // count, "a process decodes its own rows alone"
    return fetch(self, indices)


fdl.engine.loader._BLOCK = 1  # a batch at a time, so that its rows can be counted
sharding.SMALL = 1  # so that tiny parameters are split as well
if os.environ.get("FOLDERS") == "apart":
    shards.common = lambda folder: None
Checkpoints.save = save_and_leave
fetch, Source.fetch = Source.fetch, fetch_own
feed = "streamed" if count > 1 else "resident"
train(tiny.convolutional(steps=8, log_every=2, evaluate_every=2, mesh={"fsdp": count}, feed=feed), workdir)

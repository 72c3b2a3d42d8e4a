"""One process of several: trains the tiny CNN in a folder and leaves after so many saves.

python one_process.py WORKDIR SAVES PORT COUNT INDEX
"""

import json
import os
import signal
import sys
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"

import numpy as np

import fdl.engine.loader
import tiny
from fdl import evaluate, train
from fdl.data.dataset import Source
from fdl.parallel import processes, sharding
from fdl.runs.checkpoints import shards, together
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


def write_and_die(draft, pieces):
    """The second checkpoint finds this process killed when its first piece is written."""
    if draft.name == ".saving-4":
        write(draft, pieces[:1])
        os.kill(os.getpid(), signal.SIGKILL)
    write(draft, pieces)


load, read = np.load, {}  # file -> the numbers that were read from it


def load_counted(file, **how):
    array = load(file, **how)
    read[str(file)] = array.size
    return array


def resume_counted(*args):
    found = resume(*args)
    (Path(os.environ["READ"]) / f"{index}.json").write_text(json.dumps(read))
    return found


fdl.engine.loader._BLOCK = 1  # a batch at a time, so that its rows can be counted
sharding.SMALL = 1  # so that tiny parameters are split as well
if os.environ.get("FOLDERS") == "apart":
    shards.common = lambda folder: None
    together.Together._in_common = lambda self, step: None
Checkpoints.save = save_and_leave
if os.environ.get("KILLED") == str(index):
    write, shards.write_pieces = shards.write_pieces, write_and_die
if "READ" in os.environ:
    np.load = load_counted
    resume, together.resume = together.resume, resume_counted
fetch, Source.fetch = Source.fetch, fetch_own
feed = "streamed" if count > 1 else "resident"
made = tiny.convolutional(steps=8, log_every=2, evaluate_every=2, mesh={"fsdp": count}, feed=feed)
report = train(made, workdir)
if "READ" in os.environ:  # the last checkpoint is evaluated as the state was at the end
    again = evaluate(made, workdir, log=None)["metrics"]["test"]
    np.testing.assert_allclose(again["loss"], report["metrics"]["test"]["loss"], rtol=1e-6)

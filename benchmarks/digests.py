"""What the digests of a checkpoint cost: their share of a save, on the disk that is given.

python -m benchmarks.digests --folder=/tmp --megabytes=400
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path
from statistics import median

import jax
import numpy as np

from fdl.core.types import TrainState
from fdl.runs.checkpoints.digest import describe, digest_of_file
from fdl.runs.checkpoints.manager import Checkpoints
from fdl.runs.checkpoints.structure import leaves, plain


def state(megabytes: int) -> TrainState:
    """Return a state of so many megabytes in 24 leaves: as many parameters as each of Adam's two moments."""
    random, side = np.random.default_rng(0), int((megabytes * 1e6 / 4 / 24) ** 0.5)
    params, *moments = (
        {f"Dense_{i}": random.standard_normal((side, side), np.float32) for i in range(8)} for _ in "123"
    )
    return TrainState(np.array(0, np.int32), params, tuple(moments), {}, jax.random.key(0))


def measure(folder: Path, megabytes: int, rounds: int) -> tuple[float, float, float]:
    """Return the medians of the seconds of a whole save, of the leaves' digests and of the files'."""
    times = []
    held, made = state(megabytes), Path(tempfile.mkdtemp(dir=folder, prefix="fdl-digests-"))
    checkpoints = Checkpoints(made / "checkpoints")
    try:
        for step in range(rounds):
            begun = time.perf_counter()
            checkpoints.save(held._replace(step=np.array(step, np.int32)), {})
            checkpoints.wait()
            saved = time.perf_counter()
            for _, leaf in leaves(plain(held)):
                describe(leaf)
            described = time.perf_counter()
            for file in (checkpoints.folder / str(step)).rglob("*"):
                if file.is_file():
                    digest_of_file(file)
            times.append((saved - begun, described - saved, time.perf_counter() - described))
    finally:
        shutil.rmtree(made)
    save, by_leaf, by_file = (median(column) for column in zip(*times, strict=True))
    return save, by_leaf, by_file


def main() -> None:
    """Print the shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--megabytes", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    save, by_leaf, by_file = measure(options.folder, options.megabytes, options.rounds)
    print(
        f"{options.megabytes} MB: a save takes {save:.3f} s; the digests of its leaves {by_leaf:.3f} s "
        f"({by_leaf / save:.1%}), of its files {by_file:.3f} s ({by_file / save:.1%})"
    )


if __name__ == "__main__":
    main()

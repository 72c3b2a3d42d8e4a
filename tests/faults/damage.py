"""Checkpoints damaged as a disk, a copy or a hand can: what is loaded is right, what is not is named."""

import random
import shutil
import time
from pathlib import Path

import jax
import numpy as np
import optax

from fdl.core.errors import Fault
from fdl.core.types import TrainState
from fdl.runs.checkpoints.manager import Checkpoints
from fdl.runs.checkpoints.structure import leaves, plain
from runs import Row

STEPS = (10, 20, 30)


def state(step: int) -> TrainState:
    """Return a state with a dense net's parameters, Adam's moments, batch statistics and a key."""
    rng = np.random.default_rng(step)
    params = {
        "Dense_0": {"kernel": rng.standard_normal((64, 48), np.float32), "bias": np.zeros(48, np.float32)},
        "Dense_1": {"kernel": rng.standard_normal((48, 10), np.float32), "bias": np.ones(10, np.float32)},
    }
    statistics = {"batch_stats": {"mean": rng.standard_normal(48, np.float32), "count": np.int32(step)}}
    return TrainState(np.int32(step), params, optax.adam(1e-3).init(params), statistics, jax.random.key(step))


def same(one: TrainState, other: TrainState) -> bool:
    """Say whether two states are the same bit for bit, dtypes and all."""
    pairs = zip(leaves(plain(one)), leaves(plain(other)), strict=True)
    return all(
        a == b and x.dtype == y.dtype and np.asarray(x).tobytes() == np.asarray(y).tobytes() for (a, x), (b, y) in pairs
    )


def commit(folder: Path) -> None:
    """Write the checkpoints of STEPS."""
    checkpoints = Checkpoints(folder, "higher")
    for step in STEPS:
        checkpoints.save(state(step), {"score": 1.0 if step == STEPS[0] else 0.0})
    checkpoints.wait()
    assert checkpoints.steps() == list(STEPS)


def damage(path: Path, rng: random.Random) -> str:
    """Damage one file in one way and return what was done."""
    data = bytearray(path.read_bytes())
    kind = rng.choice(["flip", "truncate", "zero", "delete", "junk", "append", "folder"])
    at = rng.randrange(len(data)) if data else 0
    if kind == "flip" and data:
        data[at] ^= 1 << rng.randrange(8)
    elif kind == "truncate":
        del data[at:]
    elif kind == "zero":
        data[at : at + 512] = bytes(len(data[at : at + 512]))
    elif kind == "junk":
        data = bytearray(rng.randbytes(rng.randrange(1, 5000)))
    elif kind == "append":
        data += rng.randbytes(rng.randrange(1, 100))
    if kind == "delete":
        path.unlink()
    elif kind == "folder" and not path.parent.name.isdigit():  # a step that is gone altogether is not damaged
        shutil.rmtree(path.parent)
    else:
        path.write_bytes(data)
    return f"{kind} {path} at {at}"


def attempt(pristine: Path, work: Path, rng: random.Random) -> str | None:
    """Damage the newest step, sometimes the one before too, and return what went wrong, if anything did."""
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(pristine, work)
    newest = [str(step) for step in reversed(STEPS)][: rng.choice([1, 1, 1, 2, 3])]
    done = [
        damage(rng.choice(sorted(path for path in (work / step).rglob("*") if path.is_file())), rng) for step in newest
    ]
    checkpoints, said = Checkpoints(work, "higher"), []
    checkpoints.best()
    try:
        found = checkpoints.newest(jax.eval_shape(lambda: state(0)), said.append)
    except Fault as fault:
        missing = [step for step in newest if str(work / step) not in str(fault)]
        return f"{done}: not all named in {fault}" if missing or len(newest) < len(STEPS) else None
    if found is None:
        return f"{done}: would have started at 0"
    if not same(found.state, state(found.step)):
        return f"{done}: step {found.step} was loaded wrong"
    if any(str(work / str(above)) not in "; ".join(said) for above in STEPS if above > found.step):
        return f"{done}: a step was passed over and not named: {said}"
    return None


def hurt(row: Row, tries: int, rng: random.Random, folder: Path) -> None:
    """Damage checkpoints and restore what is left."""
    pristine = folder / "pristine" / "checkpoints"
    commit(pristine)
    while not row.over(tries):
        begun = time.monotonic()
        row.attempt(attempt(pristine, folder / "work", rng), time.monotonic() - begun)
    row.note = "one to three steps damaged of three, any file"

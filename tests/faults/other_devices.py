"""Runs that go on elsewhere: other devices, other executors."""

import random
import shutil
from itertools import cycle
from pathlib import Path

import runs
from runs import Row

ELSEWHERE = {
    "jit": (),
    "mesh-2": ("--executor=mesh", "--fake_devices=2"),
    "mesh-8": ("--executor=mesh", "--fake_devices=8"),
    "pmap-2": ("--executor=pmap", "--fake_devices=2"),
    "pmap-8": ("--executor=pmap", "--fake_devices=8"),
}
RHYTHM = ("--steps=40", "--save_every=20", "--evaluate_every=20")


def move(row: Row, tries: int, rng: random.Random, folder: Path) -> None:
    """Run 20 steps in one place and 20 in another; the losses are those of staying, to 1e-6, and the run says so."""
    pairs = [(one, other) for one in ELSEWHERE for other in ELSEWHERE if one != other]
    rng.shuffle(pairs)
    stayed: dict[tuple[str, str], Path] = {}
    largest = 0.0
    for here, there in cycle(pairs):
        if row.over(tries):
            break
        family = rng.choice(["mlp", "cnn", "lstm", "transformer"])
        common = [f"--experiment={runs.PAGE}", f"--family={family}", *RHYTHM]
        if (family, here) not in stayed:
            whole = stayed[family, here] = folder / f"{family}-{here}"
            ended = runs.run([*common, f"--workdir={whole}", *ELSEWHERE[here]], folder / "log")
            assert ended.code == 0, ended.said
        whole, workdir = stayed[family, here], folder / "moved"
        shutil.rmtree(workdir, ignore_errors=True)
        shutil.copytree(whole, workdir)
        shutil.rmtree(workdir / "checkpoints" / "40")
        (workdir / "report.json").unlink()
        before = (workdir / "checkpoints" / "20" / "meta.json").read_bytes()
        ended = runs.run([*common, f"--workdir={workdir}", *ELSEWHERE[there]], folder / "log")
        difference = apart(runs.record(workdir), runs.record(whole)) if ended.code == 0 else None
        problem = None
        if ended.code or "goes on from step 20" not in ended.said or "not bitwise" not in ended.said:
            problem = f"exit {ended.code}: {ended.said[-500:]}"
        elif (workdir / "checkpoints" / "20" / "meta.json").read_bytes() != before:
            problem = "the step it went on from was written again"
        elif difference is None or difference > 1e-6:
            problem = f"losses differ by {difference}"
        largest = max(largest, difference or 0.0)
        row.attempt(problem and f"{family} {here} -> {there}: {problem}")
    row.note = f"{min(row.tries, len(pairs))} pairs of places; largest relative difference of a loss {largest:.1e}"


def apart(ours: list[dict], theirs: list[dict]) -> float | None:
    """Return the largest relative difference of the losses of two records, None where their lines do not match."""
    if [(x["step"], x["split"]) for x in ours] != [(x["step"], x["split"]) for x in theirs]:
        return None
    return max(abs(a["loss"] - b["loss"]) / abs(b["loss"]) for a, b in zip(ours, theirs, strict=True))

"""Wrong input: one line that names it, exit code 2, no traceback, nothing written or run elsewhere."""

import random
import subprocess
import sys
import time
from pathlib import Path

import runs
from runs import Row

BAR = 1.0  # of a flag error, as a whole process
KNOBS = {"width": "int", "batch_size": "int", "steps": "int", "learning_rate": "float", "seed": "int", "family": "enum"}
NOT_INT = ("three", "1.5", "", "1e", "0x", "None", "∞", "--", "1,2", " ")
NOT_FLOAT = ("fast", "", "1..2", "1e-", "0,1", "[1]", "1/3")

# What a page may get wrong: (its text, what the line must name).
PAGES = {
    "syntax": ("def experiment(:\n", "not a Python page"),
    "no function": ("x = 1\n", "defines a function experiment"),
    "positional": ("def experiment(width=1):\n    pass\n", "keyword-only"),
    "computed default": ("def experiment(*, width: int = 2 ** 3):\n    pass\n", "knob width"),
    "no default": ("def experiment(*, width: int):\n    pass\n", "knob width"),
    "no type": ("def experiment(*, width=3):\n    pass\n", "knob width"),
    "strange type": ("def experiment(*, width: dict = {}):\n    pass\n", "knob width"),
    "reserved name": ("def experiment(*, workdir: str = 'x'):\n    pass\n", "knob workdir"),
    "executed default": ("def experiment(*, width: int = __import__('os').mkdir('CANARY')):\n    pass\n", "knob width"),
}
# What an experiment may get wrong: (the change to one that is right, what the line must name).
EXPERIMENTS = {
    "labels out of range": ("data = points(labels=7)", "7"),
    "negative labels": ("data = points(labels=-2)", "-2"),
    "not a number": ("data = points(bad=float('nan'))", "example 17"),
    "infinite": ("data = points(bad=float('inf'))", "example 17"),
    "a batch too large": ("batch_size = 999", "batch_size 999"),
    "no batch": ("batch_size = 0", "batch_size 0"),
    "no steps": ("steps = 0", "steps 0"),
    "negative steps": ("steps = -3", "steps -3"),
    "a model with too few outputs": ("model = MLP(2)", "2"),
    "a task of another shape": ("task = regress()", "regress"),
    "parts that do not divide": ("accumulate = 3", "micro-batches"),
    "no rhythm": ("log_every = 0", "log_every"),
    "an unknown executor": ("executor = 'warp'", "warp"),
    "an unknown accelerator": ("accelerator = 'abacus'", "abacus"),
}
EXPERIMENT = """
import numpy as np, optax, jax
from fdl.data.dataset import Dataset, Spec, columns, shape_of
from fdl.experiment import Experiment
from fdl.models import MLP
from fdl.tasks import classify, regress

def points(labels=0, bad=0.0):
    x = np.random.default_rng(0).normal(size=(64, 5)).astype(np.float32)
    y = np.arange(64, dtype=np.int32) % 3
    x[17, 2] += bad
    y[11] = labels or y[11]
    spec = Spec(inputs=shape_of(x), targets=shape_of(y), sizes=dict(train=64, validation=64, test=64), classes=3)
    return Dataset(name="points", spec=spec, load=lambda split: columns(x, y))

def experiment(*, seed: int = 0) -> Experiment:
    data, batch_size, steps, model, task = points(), 16, 4, MLP(3), classify(3)
    accumulate, log_every, executor, accelerator = 1, 2, "jit", "any"
    CHANGE
    return Experiment(model=model, dataset=data, task=task, optimizer=optax.sgd(0.1), batch_size=batch_size,
                      steps=steps, accumulate=accumulate, log_every=log_every, executor=executor,
                      accelerator=accelerator, seed=seed)
"""
Made = tuple[str, list[str], str]


def typo(rng: random.Random) -> tuple[str, str]:
    """Return a flag misspelt and the flag that was meant."""
    name = rng.choice([*KNOBS, "executor", "workdir", "experiment", "fake_devices"])
    at = rng.randrange(1, len(name) - 1)
    return name[:at] + name[at + 1] + name[at] + name[at + 2 :] + "x", name


def flag_kinds(rng: random.Random) -> list[Made]:
    """Return one input of each kind that is wrong by its flags alone."""
    wrong, _ = typo(rng)
    made: list[Made] = [
        ("unknown flag", [f"--{wrong}=1"], wrong),
        ("a word", [rng.choice(["train", "digits", "-", "width=3"])], "no flag"),
        ("no such page", [f"--experiment=nothing{rng.randrange(99)}"], "nothing"),
        ("no such file", ["--experiment=/nowhere/page.py"], "/nowhere/page.py"),
        ("a folder as page", ["--experiment=/tmp"], "/tmp"),
        ("a page by a path outside", ["--experiment=../../etc/passwd"], "passwd"),
        ("a private page", ["--experiment=__init__"], "__init__"),
        ("unknown mode", ["--mode=fly"], "mode"),
        ("unknown checkpoint", ["--checkpoint=first"], "checkpoint"),
    ]
    for name, kind in KNOBS.items():
        value = rng.choice({"int": NOT_INT, "float": NOT_FLOAT, "enum": ("mpl", "", "MLP", "1")}[kind])
        made.append((f"{name} of no {kind}", [f"--experiment={runs.PAGE}", f"--{name}={value}"], name))
    for name in ("log_every", "steps_per_call", "fake_devices", "evaluate_every", "save_every"):
        made.append((f"{name} negative", [f"--{name}={-rng.randrange(1, 99)}"], name))
        made.append((f"{name} of no int", [f"--{name}={rng.choice(NOT_INT)}"], name))
    for name in ("executor", "accelerator", "feed", "nonfinite"):
        made.append((f"unknown {name}", [f"--{name}={rng.choice(['warp', 'none', 'JIT', '0'])}"], name))
    return made


def page_kinds(rng: random.Random, folder: Path) -> list[Made]:
    """Return one input of each kind that is wrong by its page or its folder."""
    made: list[Made] = []
    for name, (text, names) in PAGES.items():
        file = folder / f"{name.replace(' ', '_')}.py"
        file.write_text(text)
        made.append((f"page: {name}", [f"--experiment={file}"], names))
    (folder / "junk.py").write_bytes(rng.randbytes(300) + b"\x00\xff")
    made.append(("page: junk", [f"--experiment={folder / 'junk.py'}"], "junk.py"))
    for name, (change, names) in EXPERIMENTS.items():
        file = folder / f"{name.replace(' ', '_')}.py"
        file.write_text(EXPERIMENT.replace("CHANGE", change))
        made.append((f"experiment: {name}", [f"--experiment={file}", f"--workdir={folder / 'e'}{rng.random()}"], names))
    full, file, broken = folder / "full", folder / "file", folder / "broken"
    full.mkdir(exist_ok=True)
    (full / "thesis.tex").write_text("years of work")
    file.write_text("a file")
    broken.mkdir(exist_ok=True)
    (broken / "experiment.json").write_text(rng.choice(["", "{", "[]", '{"identity": 3}', "null"]))
    page = f"--experiment={runs.PAGE}"
    made += [
        ("workdir: not empty", [page, f"--workdir={full}"], str(full)),
        ("workdir: a file", [page, f"--workdir={file}"], str(file)),
        ("workdir: damaged", [page, f"--workdir={broken}"], "experiment.json"),
        ("workdir: no run to evaluate", [page, "--mode=evaluate", f"--workdir={folder / 'none'}"], "holds no run"),
        ("a batch over 8 devices", [page, "--fake_devices=8", "--batch_size=12", f"--workdir={folder / 'b'}"], "12"),
        (
            "a learning rate that climbs",
            [page, "--learning_rate=-0.1", f"--workdir={folder / 'c'}"],
            "learning_rate -0.1",
        ),
        ("no layer", ["--experiment=digits_lstm", "--depth=0", f"--workdir={folder / 'd'}"], "depth 0"),
        ("no such accelerator", [page, "--accelerator=tpu", f"--workdir={folder / 'a'}"], "tpu"),
    ]
    return made


def verdict(code: int, said: str, names: str) -> str | None:
    """Say what is wrong with how a wrong input was met."""
    line = [x for x in said.splitlines() if x.startswith("error: ")]
    if code != 2 or "Traceback" in said or len(line) != 1:
        return f"exit {code}: {said[-400:]}"
    return None if names in line[0] else f"{names!r} is not named: {line[0]}"


def wrong(row: Row, tries: int, rng: random.Random, folder: Path) -> None:
    """Give every kind in turn; those of flags as processes of their own, with the time they take."""
    kinds = set()
    while not row.over(tries):
        for kind, argv, names in flag_kinds(rng):
            if row.over(tries):
                break
            begun = time.monotonic()
            ended = subprocess.run(
                [sys.executable, str(runs.ROOT / "launch.py"), *argv], capture_output=True, text=True, cwd=folder
            )
            kinds.add(kind)
            seconds = time.monotonic() - begun
            problem = verdict(ended.returncode, ended.stdout + ended.stderr, names)
            problem = problem or (f"it took {seconds:.2f} s" if seconds > BAR else None)
            row.attempt(problem and f"{kind} {argv}: {problem}", seconds)
        for kind, argv, names in page_kinds(rng, folder):
            if row.over(tries):
                break
            ended = runs.run(argv, folder / "log")
            kinds.add(kind)
            problem = verdict(ended.code, ended.said, names)
            row.attempt(problem and f"{kind} {argv[-1]}: {problem}")
    if (folder / "CANARY").exists() or (folder / "full" / "thesis.tex").read_text() != "years of work":
        row.failures.append("something was run or overwritten")
    row.note = f"{len(kinds)} kinds; worst: a flag error as a whole process"

"""Flags that are not what they seem, pages that leave, inputs that do not fit: what was meant runs, or one line."""

import random
from functools import partial
from pathlib import Path

import numpy as np

import kills
import runs
from runs import Row


def misled(row: Row, tries: int, rng: random.Random, folder: Path) -> None:
    """Give flag files, and pages that end the process."""
    whole, _ = kills.reference(folder, "mlp", "jit")
    kinds: dict[str, runs.Kind] = {
        "the page in a flag file": partial(flag_file, whole=whole),
        "a sweep in a flag file": partial(swept, whole=whole),
        "a flag file that is not there": lambda folder, _: line(folder, ["--flagfile=nowhere"], 2, "nowhere"),
        "an input that does not fit": partial(large, whole=whole),
    }
    kinds |= {f"a page that leaves {when}": partial(leaves, text=text) for when, text in PAGES.items()}
    runs.each_kind(row, tries, rng, folder, kinds)


PAGES = {
    "at once": "import sys\nsys.exit(0)\ndef experiment(*, seed: int = 0):\n    pass\n",
    "when asked": "import sys\ndef experiment(*, seed: int = 0):\n    sys.exit(0)\n",
    "with words": "import sys\ndef experiment(*, seed: int = 0):\n    sys.exit('done')\n",
    "by quit": "def experiment(*, seed: int = 0):\n    raise SystemExit\n",
}


def line(folder: Path, argv: list[str], code: int, *words: str) -> str | None:
    """Start a process and say what is wrong with its one line."""
    return runs.one_line(runs.process(argv, folder / "log", cwd=folder), code, *words)


def leaves(folder: Path, rng: random.Random, text: str) -> str | None:
    """Start a page that leaves."""
    (folder / "page.py").write_text(text)
    argv = [f"--experiment={folder / 'page.py'}", f"--workdir={folder / 'run'}"]
    return line(folder, argv, 1, "sys.exit", "take that call out")


def flag_file(folder: Path, rng: random.Random, whole: Path) -> str | None:
    """Name the page, and half of the flags, in a file, or in a file that it names."""
    flags = runs.command(folder / "run", "mlp", "jit")
    rng.shuffle(flags)
    (folder / "inner").write_text("\n".join(flags) + "\n")
    (folder / "outer").write_text(f"# a comment\n--flagfile={folder / 'inner'}\n")
    ended = runs.process([f"--flagfile={folder / rng.choice(['inner', 'outer'])}"], folder / "log", cwd=folder)
    return (f"exit {ended.code}: {ended.said[-600:]}" if ended.code else None) or kills.compare(folder / "run", whole)


def swept(folder: Path, rng: random.Random, whole: Path) -> str | None:
    """Name a sweep in a file: its runs are runs, and no sweeps."""
    flags = [*runs.command(folder / "sweep", "mlp", "jit"), "--sweep=seed=0"]
    (folder / "flags").write_text("\n".join(flags) + "\n")
    ended = runs.process([f"--flagfile={folder / 'flags'}"], folder / "log", cwd=folder)
    problem = f"exit {ended.code}: {ended.said[-600:]}" if ended.code else None
    return problem or kills.compare(folder / "sweep" / "seed=0", whole)


def large(folder: Path, rng: random.Random, whole: Path) -> str | None:
    """Predict for more examples than memory holds: the way out is of predicting."""
    file = folder / "all.npy"
    with file.open("wb") as out:  # a sparse file
        header = {"descr": "<f8", "fortran_order": False, "shape": (2**31, 8, 8, 1)}
        np.lib.format.write_array_header_2_0(out, header)
        out.truncate(out.tell() + 2**31 * 64 * 8)
    argv = [*runs.command(whole, "mlp", "jit"), "--mode=predict", f"--input={file}", f"--output={folder / 'p.csv'}"]
    return line(folder, argv, 1, "split --input=")

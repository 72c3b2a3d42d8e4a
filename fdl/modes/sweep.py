"""Sweeps: the same page with many settings, each in a process of its own, for what changes the program itself.

Nothing is kept but the run folders. A sweep that is started again goes on with those that are not finished, and each
goes on where it stopped.
"""

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from fdl.core.errors import Fault
from fdl.runs import atomic_files
from fdl.runs import workdir as run_folder
from fdl.runs.signals import run_child


def sweep(
    command: Sequence[str], settings: Mapping[str, Sequence[str]], workdir: Path, *, log: Callable[[str], None] = print
) -> list[dict[str, Any]]:
    """Run a command once for every combination of flag values, one after another, and return the reports, best first.

    command:  what launches one run, to which `--flag=value` and `--workdir` are added.
    settings: flag -> its values, as text.
    Raises a Fault that names the runs that failed, once all others are done, and Stopped after a signal, which the run
    under way has answered by then.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    combinations = [dict(zip(settings, values, strict=True)) for values in product(*settings.values())]
    found, failed = [], []
    for number, chosen in enumerate(combinations):
        name = _name(chosen)
        place = workdir / name.replace("/", "-")
        log(f"{number + 1} of {len(combinations)}: {name}")
        flags = [f"--{flag}={value}" for flag, value in chosen.items()]
        if run_child([*command, *flags, f"--workdir={place}"]):
            failed.append(name)
        else:
            found.append({"settings": chosen, **run_folder.read_report(place / "report.json")})
    found.sort(key=_score, reverse=True)
    atomic_files.write_json(workdir / "sweep.json", found)
    for report in found:
        log(f"{_name(report['settings'])}: validation {report['primary']} {_primary(report):.4g}")
    if failed:
        raise Fault(f"{len(failed)} of {len(combinations)} runs failed: {'; '.join(failed)}; start the sweep again")
    return found


def parse(text: str) -> dict[str, list[str]]:
    """Read `flag=value,value`, several separated by blanks; raise a ValueError on anything else."""
    found = {}
    for word in text.split():
        flag, _, values = word.partition("=")
        if not flag or not all(values.split(",")):
            raise ValueError(f"sweep {word!r} is not understood; write flag=value,value such as width=64,128")
        found[flag] = values.split(",")
    return found


def _name(chosen: Mapping[str, str]) -> str:
    return ",".join(f"{flag}={value}" for flag, value in chosen.items())


def _primary(report: Mapping[str, Any]) -> float:
    """Return the metric that ranks a run; what is not a number stands in JSON as null."""
    value = report["metrics"]["validation"][report["primary"]]
    return math.nan if value is None else value


def _score(report: Mapping[str, Any]) -> float:
    value = _primary(report)
    if math.isnan(value):
        return -math.inf
    return -value if report["better"] == "lower" else value


def this_command(leave_out: Sequence[str]) -> list[str]:
    """Return the command that this process was started with, without some of its flags."""
    # An installed `fdl` is a script of pip's (on Windows a program), and __main__.py is no file to run by its path.
    installed = Path(sys.argv[0]).stem in ("fdl", "__main__")
    words, left_out = [sys.executable, *(("-m", "fdl") if installed else sys.argv[:1])], False
    for word in sys.argv[1:]:
        flag, joined, _ = word.lstrip("-").partition("=")
        if left_out or flag in leave_out:
            left_out = not left_out and not joined  # then its value is the next word
        else:
            words.append(word)
    return words

"""Sweeps: one page with many settings, one subprocess per run, for knobs that change the program.

The run folders are the only state. A restarted sweep resumes the unfinished runs.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from fdl.core.errors import Fault, UserError
from fdl.modes.compare import compare
from fdl.runs import atomic_files
from fdl.runs import workdir as run_folder
from fdl.runs.signals import run_child
from fdl.runs.summary import score


def sweep(
    command: Sequence[str], settings: Mapping[str, Sequence[str]], workdir: Path, *, log: Callable[[str], None] = print
) -> list[dict[str, Any]]:
    """Run a command for every combination of flag values in sequence, and return the reports, best first.

    command:  launches one run; `--flag=value` and `--workdir` are appended.
    settings: flag -> its values, as text.
    Raises a Fault that names the failed runs after all others are done, and Stopped after a signal, once the current
    run has saved.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    combinations = [dict(zip(settings, values, strict=True)) for values in product(*settings.values())]
    reports, failed = [], []
    for number, combination in enumerate(combinations):
        name = _name(combination)
        run_dir = workdir / name.replace("/", "-")
        log(f"{number + 1} of {len(combinations)}: {name}")
        flags = [f"--{flag}={value}" for flag, value in combination.items()]
        if run_child([*command, *flags, f"--workdir={run_dir}"]):
            failed.append(name)
        else:
            reports.append({"settings": combination, **run_folder.read_report(run_dir / "report.json")})
    reports.sort(
        key=lambda report: score(report["metrics"]["validation"][report["primary"]], report["better"]), reverse=True
    )
    atomic_files.write_json(workdir / "sweep.json", reports)
    if reports:
        compare(workdir, log=log)
    if failed:
        raise Fault(f"{len(failed)} of {len(combinations)} runs failed: {'; '.join(failed)}; start the sweep again")
    return reports


def parse(text: str) -> dict[str, list[str]]:
    """Parse `flag=value,value`, separated by blanks; raise a ValueError for anything else."""
    reports = {}
    for word in text.split():
        flag, _, values = word.partition("=")
        if not flag or not all(values.split(",")):
            raise UserError(f"sweep {word!r} is not understood; write flag=value,value such as width=64,128")
        reports[flag] = values.split(",")
    return reports


def _name(combination: Mapping[str, str]) -> str:
    return ",".join(f"{flag}={value}" for flag, value in combination.items())


def this_command(leave_out: Sequence[str]) -> list[str]:
    """Return the command line of this process without some of its flags."""
    # The console script `fdl` and __main__.py cannot be run by their paths, so use `python -m fdl`.
    installed = Path(sys.argv[0]).stem in ("fdl", "__main__")
    command, left_out = [sys.executable, *(("-m", "fdl") if installed else sys.argv[:1])], False
    for word in sys.argv[1:]:
        flag, joined, _ = word.lstrip("-").partition("=")
        if left_out or flag in leave_out:
            left_out = not left_out and not joined  # then its value is the next word
        else:
            command.append(word)
    return command

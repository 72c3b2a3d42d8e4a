"""What to type next about a finished run: commands that work where they are pasted."""

import inspect
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from fdl.core.log import by_address
from fdl.data.readers.supplied import IN_MEMORY
from fdl.experiment import Experiment
from fdl.runs.page_copy import has_page

PROMPT = "The"  # of a language model, which every tokenizer can encode


def program() -> list[str]:
    """Return the words that this program was started with: `fdl`, `python -m fdl`, `.venv/bin/python launch.py`."""
    script = Path(sys.argv[0]).name if sys.argv else ""
    if script == "launch.py":
        return [sys.orig_argv[0], sys.argv[0]]
    if script == "__main__.py" or not shutil.which("fdl"):
        return [sys.orig_argv[0] or "python", "-m", "fdl"]
    return ["fdl"]


def again(*more: str) -> list[str]:
    """Return this very command with more flags, in a list; none where the program is not fdl's."""
    ours = bool(sys.argv) and Path(sys.argv[0]).name in ("launch.py", "__main__.py", "fdl")
    return [shlex.join([*program(), *sys.argv[1:], *more])] if ours else []


def next_commands(experiment: Experiment, workdir: Path, best: int | None) -> list[str]:
    """Return commands about a finished run: one that predicts or generates, one that evaluates, one that exports.

    best: the step of its best checkpoint. A run that no file answers for, such as of data in memory, is restored in
    Python.
    """
    shown = by_address(str(workdir))
    if not has_page(workdir) or experiment.knobs.get("dataset") == IN_MEMORY:
        return [f"model = fdl.restore({shown!r})"]
    at = [*program(), f"--workdir={shown}"]
    evaluating = ["--mode=evaluate", *(["--checkpoint=best"] if best is not None else [])]
    return [shlex.join([*at, *words]) for words in (_asking(experiment), evaluating, ["--mode=export"])]


def what_next(commands: Sequence[str]) -> list[str]:
    """Return the lines that show commands after a run."""
    return [f"{'next' if i == 0 else '':4} {command}" for i, command in enumerate(commands)]


def writes_text(experiment: Experiment) -> bool:
    """Say whether an experiment's model continues texts."""
    decodes = "decode" in inspect.signature(type(experiment.model).__call__).parameters
    return decodes and experiment.dataset.tokenizer is not None


def _asking(experiment: Experiment) -> list[str]:
    """Return the flags that ask the model for a continuation, or predictions of its data's file or its test split."""
    if writes_text(experiment):
        return ["--mode=generate", f"--prompt={PROMPT}"]
    data = experiment.knobs.get("dataset")
    new = [f"--input={data}"] if isinstance(data, str) and experiment.dataset.columns and Path(data).is_file() else []
    return ["--mode=predict", *new]

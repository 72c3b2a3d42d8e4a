"""What the recipes of pages were chosen on: a page trained on a set of the panel with each value of a knob.

    python -m benchmarks.recipes FOLDER SET knob=value,value ...

The sets are those of `panel_media.CHOSEN_ON`, never one that a default is judged on.
"""

import ast
import itertools
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import fdl
from benchmarks.panel_media import CHOSEN_ON, path


def main(folder: str, name: str, *knobs: str) -> None:
    """Train the page with every combination of the knobs' values, and print what each reports."""
    chosen = next(each for each in CHOSEN_ON if each.name == name)
    given = dict(flag.removeprefix("--").split("=", 1) for flag in chosen.flags)
    tried = {knob: values.split(",") for knob, values in (each.split("=", 1) for each in knobs)}
    for values in itertools.product(*tried.values()):
        knob = dict(zip(tried, values, strict=True))
        flags = {"dataset": str(path(Path(folder), chosen)), **given, **knob}
        experiment = fdl.load(chosen.page, **{name: _value(text) for name, text in flags.items()})
        begin = time.process_time()
        with tempfile.TemporaryDirectory() as workdir:
            result = fdl.train(experiment, workdir=workdir, log=None)
        print(name, knob, result, f"{time.process_time() - begin:.0f} CPU seconds", flush=True)


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text


if __name__ == "__main__":
    main(*sys.argv[1:])

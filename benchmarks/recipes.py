"""What the recipes of pages were chosen on: a page trained on a set of the panel with each value of a knob.

    python -m benchmarks.recipes FOLDER SET knob=value,value ...

The sets are those of `panel_media.CHOSEN_ON`, never one that a default is judged on.
"""

import itertools
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fdl
from benchmarks.panel_media import CHOSEN_ON, path
from fdl import pages
from fdl.cli.flags import add_knobs, general_flags


def main(folder: str, name: str, *knobs: str) -> None:
    """Train the page with every combination of the knobs' values, and print what each reports."""
    chosen = next(each for each in CHOSEN_ON if each.name == name)
    tried = {knob: values.split(",") for knob, values in (each.split("=", 1) for each in knobs)}
    for values in itertools.product(*tried.values()):
        knob = dict(zip(tried, values, strict=True))
        flags = [*chosen.flags, *(f"--{name}={text}" for name, text in knob.items())]
        data = str(path(Path(folder), chosen))
        experiment = fdl.load(chosen.page, dataset=data, **knobs_of(chosen.page, flags))
        begin = time.process_time()
        with tempfile.TemporaryDirectory() as workdir:
            result = fdl.train(experiment, workdir=workdir, log=None)
        print(name, knob, result, f"{time.process_time() - begin:.0f} CPU seconds", flush=True)


def knobs_of(page: str, flags: Sequence[str]) -> dict[str, Any]:
    """Return the knobs that flags give, in the types of the page: `--inputs=a,b` is ("a", "b"), `--masks=true` True."""
    parsed = general_flags()
    add_knobs(parsed, pages.read(page))
    parsed([page, *flags])
    return {name: parsed[name].value for name in (flag.removeprefix("--").split("=", 1)[0] for flag in flags)}


if __name__ == "__main__":
    main(*sys.argv[1:])

"""The page of a run, copied into its folder with the values of its knobs, so that the folder stands by itself.

`page/NAME.py`, beside it the modules of its user that it imports, and `page/knobs.json`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fdl import pages
from fdl.core.errors import UserError
from fdl.runs.atomic_files import read_json, write_json, write_text

FOLDER, VALUES = "page", "knobs.json"
PATHS = ("freeze", "fresh")  # options that are kept as text, comma-separated


@dataclass(frozen=True, kw_only=True)
class PageCopy:
    """The page of a run.

    knobs: of the page. options: of any experiment. monitor: the metric that chooses the best checkpoint.
    """

    page: pages.Page
    knobs: Mapping[str, Any]
    options: Mapping[str, Any]
    monitor: str


def copy_page(workdir: Path, page: Path, values: Mapping[str, Any], monitor: str) -> None:
    """Copy a page into a run folder; values: of its knobs and of the options of any experiment."""
    folder = workdir / FOLDER
    if page.resolve().parent == folder.resolve():  # a restored run that is trained again
        return
    parsed = pages.read(str(page.resolve()))
    names = {knob.name for knob in parsed.knobs}
    write_text(folder / page.name, parsed.text)
    for name, file in parsed.files().items():
        path = folder.joinpath(*name.split("."))
        target = path / "__init__.py" if file.name == "__init__.py" else path.with_suffix(".py")
        write_text(target, file.read_text(encoding="utf-8"))
    kept = {
        "page": page.name,
        "knobs": {name: value for name, value in values.items() if name in names},
        "options": {name: value for name, value in values.items() if name not in names},
        "monitor": monitor,
    }
    write_json(folder / VALUES, kept)


def has_page(workdir: Path) -> bool:
    """Say whether a folder holds the page of a run."""
    return (workdir / FOLDER / VALUES).is_file()


def page_of(workdir: Path) -> PageCopy:
    """Return the page of a run; raise a UserError where the folder holds no run, or one without its page."""
    if not (workdir / "experiment.json").exists():
        raise UserError(f"--workdir={workdir} holds no run; give the folder of one, or an --experiment to train")
    if not has_page(workdir):
        raise UserError(
            f"--workdir={workdir} does not hold its page: fdl before 0.2 trained it, or Python code without a page; "
            "give --experiment and the flags it was trained with"
        )
    kept = read_json(workdir / FOLDER / VALUES)
    page = pages.read(str((workdir / FOLDER / kept["page"]).resolve()))
    several = {knob.name for knob in page.knobs if knob.many}
    knobs = {name: tuple(value) if name in several and value else value for name, value in kept["knobs"].items()}
    options = {name: tuple(value.split(",")) if name in PATHS else value for name, value in kept["options"].items()}
    return PageCopy(page=page, knobs=knobs, options=options, monitor=kept["monitor"])

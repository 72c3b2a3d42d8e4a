"""The notebook of the course, made from its pages: a cell for each block, prose between."""

import json
from pathlib import Path
from typing import Any

from course import chapters

NOTEBOOK = Path(__file__).resolve().parent.parent / "notebooks" / "course.ipynb"
INSTALL = """\
# On Colab: install fdl beside the JAX that is there, without moving it. Elsewhere this cell finds everything there.
import importlib.util, os
if importlib.util.find_spec("fdl") is None:
    !git clone -q https://github.com/fdl/fdl && pip install -q -e './fdl[course]'
    os.chdir("fdl")
import sys
sys.path[:0] = [folder for folder in (".", "..") if os.path.isdir(os.path.join(folder, "course"))]
from course import drawing
drawing.show_in_notebook()
"""


def write_notebook() -> None:
    """Write the notebook from the pages."""
    NOTEBOOK.write_text(notebook_text(), encoding="utf-8")


def notebook_text() -> str:
    """Return the notebook as JSON, without outputs."""
    parts = [_code(INSTALL)]
    for name in chapters.names():
        page = (chapters.FOLDER / f"{name}.md").read_text(encoding="utf-8")
        parts += _parts(page)
    notebook = {
        "cells": [{**part, "id": f"{i:03}"} for i, part in enumerate(parts)],
        "metadata": {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def _parts(page: str) -> list[dict[str, Any]]:
    """Return the cells of one page; pictures and outputs are made by running them."""
    parts, lines, language, shown = [], list[str](), "", list[str]()
    for line in page.splitlines():
        if line.startswith("```") and not language:
            language = line[3:] or "text"
            parts += [_prose("\n".join(lines))] if language in ("python", "bash") and "".join(lines).strip() else []
            lines = [] if language in ("python", "bash") else lines
            shown = []
        elif line == "```" and language:
            if language == "python":
                parts.append(_code("\n".join(shown)))
            elif language == "bash":
                parts.append(_code("\n".join(f"!{command}" for command in shown)))
            elif language != "text":
                lines += [f"```{language}", *shown, "```"]
            language = ""
        elif language:
            shown.append(line)
        elif not line.startswith(("![", "<!--")):
            lines.append(line)
    return parts + ([_prose("\n".join(lines))] if "".join(lines).strip() else [])


def _prose(text: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": text.strip().splitlines(keepends=True)}


def _code(text: str) -> dict[str, Any]:
    source = text.strip().splitlines(keepends=True)
    return {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [], "source": source}

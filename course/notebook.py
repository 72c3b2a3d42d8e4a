"""The notebook of the course, made from its pages: a cell for each block, prose between."""

import json
from pathlib import Path
from typing import Any

from course import chapters

NOTEBOOK = Path(__file__).resolve().parent.parent / "notebooks" / "course.ipynb"
INSTALL = """\
import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = os.environ.get("FDL_REPOSITORY", "")  # the address of your copy of fdl, where this is no checkout

folders = [folder for folder in (Path.cwd(), Path.cwd().parent, Path("fdl")) if (folder / "launch.py").exists()]
if not folders:
    subprocess.run(["git", "clone", "--depth=1", REPOSITORY, "fdl"], check=True)
    folders = [Path("fdl")]
ROOT = folders[0].resolve()
freeze = subprocess.run([sys.executable, "-m", "pip", "freeze"], capture_output=True, text=True, check=True).stdout
Path("constraints.txt").write_text("\\n".join(line for line in freeze.splitlines() if "==" in line))  # nothing may move
extras = f"{ROOT}[course,export]"
subprocess.run([sys.executable, "-m", "pip", "install", "-q", "-c", "constraints.txt", "-e", extras], check=True)
sys.path.insert(0, str(ROOT))

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

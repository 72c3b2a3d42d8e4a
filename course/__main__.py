"""Run the course: every command and cell of every chapter, its output and pictures compared with the pages.

    python -m course                          all chapters; exit code 1 where one differs beyond its tolerance
    python -m course --only=01,03             some
    python -m course --only=01 --update       write the outputs and pictures anew
    python -m course --notebook               write notebooks/course.ipynb from the pages

It needs the extra `course`. Everything runs in a temporary folder.
"""

import argparse
import contextlib
import io
import linecache
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from course import chapters, drawing
from course.notebook import write_notebook


def run_python(cell: chapters.Cell, namespace: dict[str, Any], name: str) -> str:
    """Run a cell and return what it printed."""
    source, file = "\n" * (cell.line - 1) + cell.source, f"{name}.md"
    linecache.cache[file] = len(source), None, source.splitlines(keepends=True), file
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(source, file, "exec"), namespace)
    return printed.getvalue()


def run_bash(cell: chapters.Cell) -> str:
    """Run a command and return what it printed; it must succeed."""
    environment = {**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    done = subprocess.run(["bash", "-euc", cell.source], capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(f"line {cell.line}: exit code {done.returncode}: {done.stderr.strip()[-500:]}")
    return done.stdout


def run_chapter(name: str, *, update: bool) -> list[str]:
    """Run a chapter and return what differs from its page; with `update` write the page anew instead."""
    file = chapters.FOLDER / f"{name}.md"
    page, namespace, wrong = file.read_text(encoding="utf-8"), {"__name__": "__main__"}, []
    outputs: list[tuple[tuple[int, int], str]] = []
    for cell in chapters.cells(page):
        printed = run_python(cell, namespace, name) if cell.language == "python" else run_bash(cell)
        if cell.output is None:
            continue
        expected = page[slice(*cell.output)]
        if difference := chapters.difference(expected, printed, cell.within):
            wrong.append(f"{name}.md:{cell.line}: {difference}")
            if "…" not in expected:  # where it is, what to show was chosen by hand
                outputs.append((cell.output, printed.rstrip() + "\n"))
    if update:
        for (start, end), printed in reversed(outputs):
            page = page[:start] + printed + page[end:]
        file.write_text(page, encoding="utf-8")
    return wrong


def main() -> int:
    """Run the chapters and return 1 where one differs from its page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="chapters by the beginnings of their names, with commas between")
    parser.add_argument("--update", action="store_true", help="write outputs and pictures anew")
    parser.add_argument("--notebook", action="store_true", help="write the notebook and run nothing")
    flags = parser.parse_args()
    if flags.notebook:
        write_notebook()
        return 0
    wrong, home = [], os.getcwd()
    for name in chapters.names():
        if not name.startswith(tuple(flags.only.split(","))):
            continue
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder, drawing.into(Path(folder)) as drawn:
            os.chdir(folder)
            try:
                differing = run_chapter(name, update=flags.update)
            except Exception as error:
                differing = [f"{name}: {type(error).__name__}: {error}"]
            finally:
                os.chdir(home)
            differing += drawing.compare(drawn, chapters.FOLDER / "pictures", update=flags.update)
        wrong += differing
        print(
            "\n".join([f"{name}: {time.perf_counter() - began:.0f} s", *(f"  {one}" for one in differing)]), flush=True
        )
    return int(bool(wrong) and not flags.update)


if __name__ == "__main__":
    sys.exit(main())

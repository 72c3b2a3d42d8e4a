"""Compare runs: one table in the terminal and one page, from their folders alone."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from fdl.core.errors import UserError
from fdl.core.log import Log, by_address, logger
from fdl.data.readers.class_folder import natural
from fdl.runs.atomic_files import write_text
from fdl.runs.comparison import Column, columns, shared
from fdl.runs.report.comparison_page import html
from fdl.runs.report.comparison_page import table as html_table
from fdl.runs.summary import Summary, is_run, members_of, summarize
from fdl.runs.workdir import local

PAGE = "compare.html"
DEPTH, LONGEST = 4, 32  # of folders in folders that are looked through; characters of a name in the terminal
NO_TERMINAL = (120, 24)  # columns and lines


class Comparison(list[Summary]):
    """The runs that were compared, in the order of the rows. page: the file with their table and curves."""

    def __init__(self, runs: Sequence[Summary], page: Path):
        super().__init__(runs)
        self.page = page

    def _repr_html_(self) -> str:
        return html_table(self, columns(self), Path("page"))


def compare(*folders: Path | str, output: Path | str | None = None, log: Log | None = print) -> Comparison:
    """Compare runs, log a table, write a page and return what was compared, in the order of the rows.

    folders: of runs, in this order and compared with the first; or one folder of runs, such as a sweep's, or one
             population: then the best by validation comes first.
    output:  the page; by default `compare.html` in the one folder, else in the current one.
    Raises a UserError where a folder holds no run, or there is one run alone.
    """
    logged = logger(log)
    if not folders:
        raise UserError(
            "--mode=compare needs the folders of runs, or a folder that holds them: --mode=compare runs/a runs/b"
        )
    paths = list({path.resolve(): path for path in map(local, folders)}.values())
    file = Path(output or (paths[0] / PAGE if len(paths) == 1 else PAGE))
    if file.suffix != ".html" or file.is_dir():
        raise UserError(f"--output={file} is not the name of a page; give one that ends in .html")
    if len(paths) == 1:
        runs = sorted(_of_one(paths[0], logged), key=lambda run: (run.primary, -run.score))
    else:
        runs = [run for path in paths for run in _runs(path, logged)]
    write_text(file, html(runs, file))
    for line in table(runs, shutil.get_terminal_size(NO_TERMINAL).columns):
        logged(line)
    logged(f"{len(runs)} run{'s' * (len(runs) > 1)} compared in {file}")
    return Comparison(runs, file)


def _of_one(path: Path, log: Callable[[str], None]) -> list[Summary]:
    """Return the members of a population, or the runs in a folder."""
    runs = _runs(path, log)
    if not is_run(path):
        return runs
    if not runs[0].members:
        raise UserError(f"{path} is one run; give another to compare it with, or a folder of runs")
    return members_of(runs[0])


def _runs(path: Path, log: Callable[[str], None]) -> list[Summary]:
    """Return the run of a folder, or the runs in it; raise a UserError where there is none."""
    if not path.is_dir():
        raise UserError(f"{path} is no folder; give the folders of runs, or a folder that holds them")
    if is_run(path):
        return [summarize(path, Path(by_address(str(path.resolve()))).name)]
    found = []
    for folder in _folders(path, DEPTH):
        try:
            found.append(summarize(folder, folder.relative_to(path).as_posix()))
        except UserError as error:
            log(f"warning: {error}")
    if not found:
        raise UserError(f"{path} holds no run; give the folders of runs, or a folder that holds them")
    return found


def _folders(path: Path, depth: int) -> Iterator[Path]:
    """Yield the run folders in a folder by name, numbers by value; what lies in a run is part of it."""
    inside = [one for one in path.iterdir() if one.is_dir() and not one.is_symlink() and not one.name.startswith(".")]
    for folder in sorted(inside, key=lambda one: (natural(one.name), one.name)):
        if is_run(folder):
            yield folder
        elif depth > 1:
            yield from _folders(folder, depth - 1)


def table(runs: Sequence[Summary], width: int) -> list[str]:
    """Return the lines of a table that fits the width: what does not is named in its last line.

    The metrics that judge come first, then the knobs that differ; differences are to the first row. What is the same
    in all rows is left out, unless it judges.
    """
    common = [f"{name} {value}" for name, value in shared(runs).items()]
    names = [run.name if len(run.name) <= LONGEST else f"{run.name[:15]}…{run.name[-16:]}" for run in runs]
    kept, left_out = [_lines("run", names, left=True)], []
    free = width - len(kept[0][0])
    for column in columns(runs):
        lines = _column(column)
        if not column.main and len(runs) > 1 and len({cell.text for cell in column.cells}) == 1:
            continue
        if 2 + len(lines[0]) <= free:
            kept.append(lines)
            free -= 2 + len(lines[0])
        else:
            left_out.append(column.title)
    rows = ["  ".join(cells).rstrip() for cells in zip(*kept, strict=True)]
    also = f"not shown here: {', '.join(left_out[:6])}{f' and {len(left_out) - 6} more' * (len(left_out) > 6)}"
    return [*([f"all: {', '.join(common)}"] if common else []), *rows, *([also] if left_out else [])]


def _column(column: Column) -> list[str]:
    texts = [f"{cell.text} {cell.difference}".strip() if column.main else cell.text for cell in column.cells]
    numbers = all(isinstance(cell.value, float) for cell in column.cells)
    return _lines(column.title, [text[:LONGEST] for text in texts], left=not numbers)


def _lines(title: str, texts: Sequence[str], left: bool) -> list[str]:
    """Return a title in two lines and texts, of one width."""
    split, _, name = title.rpartition(" ")
    width = max(map(len, (split, name, *texts)), default=0)
    return [text.ljust(width) if left else text.rjust(width) for text in (split, name, *texts)]

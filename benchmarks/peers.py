"""Race fdl against its peers, side by side in one run, and write docs/benchmarks.md.

    python benchmarks/peers.py                        sets up benchmarks/.venv at first, then races everything
    python benchmarks/peers.py --workloads=W1 --contenders=fdl,flax --seconds=2 --rounds=3

Every contender runs in a process of its own and all take turns: A B C, A B C. Each begins with the same weights; the
losses of the first 20 steps on the same rows must agree before anything is timed. Needs Python 3.11 and nothing else.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
import venv
from pathlib import Path
from statistics import median
from typing import IO, Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.contender import CONTENDERS, JAX_STOCK  # noqa: E402

TOLERANCE = 2e-3  # relative; optimizers place epsilon differently, and sums are added up in other orders
Result = dict[str, Any]


def environment(folder: Path) -> Path:
    """Return the interpreter of the peers' environment, which is made where it is not there."""
    python = folder / "bin" / "python"
    if not python.exists():
        print(f"setting up {folder} (once; some minutes)", flush=True)
        venv.create(folder, with_pip=True)
        wanted = ["-r", str(ROOT / "benchmarks" / "requirements.txt")]
        subprocess.run([python, "-m", "pip", "install", "-q", *wanted], check=True)
    return python


class Contender:
    """A process that runs windows when asked."""

    def __init__(self, python: Path, workload: str, name: str, log: IO[str]):
        command = [str(python), str(ROOT / "benchmarks" / "contender.py"), workload, name]
        self.name = name
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, cwd=ROOT
        )

    def answer(self) -> Result | None:
        """Return its next answer, or None where it died."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return json.loads(line) if line.strip() else None

    def ask(self, seconds: float) -> Result | None:
        """Let it run for about so long and return what it saw."""
        assert self.process.stdin is not None
        print(seconds, file=self.process.stdin, flush=True)
        return self.answer()

    def end(self) -> None:
        """Let it go."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(60)


def agree(losses: list[float], to: list[float]) -> bool:
    """Say whether two runs took the same steps."""
    return all(abs(a - b) <= TOLERANCE * max(abs(a), abs(b), 0.1) for a, b in zip(losses, to, strict=True))


def race(python: Path, workload: str, names: list[str], seconds: float, rounds: int, log: IO[str]) -> Result:
    """Return, for each contender of a workload, the windows it ran, or why it ran none."""
    ready: dict[str, Contender] = {}
    found: Result = {}
    reference: list[float] | None = None
    for name in names:
        contender = Contender(python, workload, name, log)
        proof = contender.answer()
        if proof is None:
            found[name] = {"failed": "did not start; see benchmarks/peers.log"}
            print(f"{workload} {name}: did not start", flush=True)
            continue
        losses = proof["losses"]
        reference = reference or losses
        if not agree(losses, reference):
            worst = max(abs(a - b) for a, b in zip(losses, reference, strict=True))
            found[name] = {"failed": f"losses of the first {len(losses)} steps differ by up to {worst:.3g}"}
            print(f"{workload} {name}: {found[name]['failed']}", losses[:3], reference[:3], flush=True)
            contender.end()
            continue
        ready[name] = contender
        found[name] = {"windows": [], "losses": losses}
        print(f"{workload} {name}: losses agree ({losses[0]:.4f} … {losses[-1]:.4f})", flush=True)
    for _ in range(rounds):
        for name, contender in ready.items():
            seen = contender.ask(seconds)
            if seen:
                found[name]["windows"].append(seen)
    for contender in ready.values():
        contender.end()
    for name, result in found.items():
        if result.get("windows"):
            rates = sorted(w["steps_per_second"] for w in result["windows"])
            result |= {"rate": median(rates), "low": rates[0], "high": rates[-1]}
            result["cpu_ms"] = median(w["cpu_ms"] for w in result["windows"])
            print(f"{workload} {name}: {result['rate']:.4g} steps/s, {result['cpu_ms']:.4g} CPU ms/step", flush=True)
    return found


def best(found: Result, names: tuple[str, ...], key: str) -> float | None:
    """Return the best of some contenders: the highest rate or the least CPU time."""
    values = [found[name][key] for name in names if name in found and key in found[name]]
    return (max if key == "rate" else min)(values, default=None)


GROUPS = {
    "best JAX peer": JAX_STOCK,
    "flax, malloc tuned": ("flax_malloc",),
    "torch eager": ("torch",),
    "torch tuned": ("torch_tuned",),
    "best of all": tuple(name for name in CONTENDERS if name != "fdl"),
}


def crowded(about: Result) -> list[str]:
    """Return a warning where the machine had more to do than this race."""
    if float(about["load"]) <= about["cores"] + 1:
        return []
    return [
        "**The machine was crowded**: everyone was slower than alone, and threads that spin while they wait for",
        "one another (PyTorch's) burn time that is not work. Ratios to such contenders say little here.",
        "",
    ]


def page(results: dict[str, Result], about: Result) -> str:
    """Return docs/benchmarks.md."""
    from benchmarks.workloads import WORKLOADS

    lines = [
        "# Benchmarks",
        "",
        "Written by `python benchmarks/peers.py`, which sets up its peers itself; do not edit. Every contender ran in",
        "a process of its own, all took turns (A B C, A B C), and each first proved its losses: over 20 steps",
        f"on the same rows and weights they are the others' (to {TOLERANCE:g}). Float32, Adam,",
        "50,000 examples, shuffled. Cells: median steps/s [lowest, highest window] and CPU milliseconds a step, which",
        "a crowded machine distorts less.",
        "",
        f"{about['cpu']}, {about['cores']} cores, load {about['load']}; Python {about['python']}; "
        f"{about['date']}; {about['rounds']} rounds of {about['seconds']:g} s. {about['versions']}.",
        "",
        *crowded(about),
        "| contender | " + " | ".join(results) + " |",
        "|---|" + "---|" * len(results),
    ]
    for name, what in CONTENDERS.items():
        cells = []
        for found in results.values():
            one = found.get(name, {})
            if "rate" in one:
                cells.append(f"{one['rate']:.4g} [{one['low']:.4g}, {one['high']:.4g}] · {one['cpu_ms']:.3g} ms")
            else:
                cells.append(one.get("failed", "not run"))
        lines.append(f"| {what} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "## fdl against the others, in this run",
        "",
        "Above 1, fdl is faster: by the clock · by CPU time.",
        "",
    ]
    lines += ["| workload | bar | " + " | ".join(GROUPS) + " |", "|---|---|" + "---|" * len(GROUPS)]
    for workload, found in results.items():
        cells = []
        for names in GROUPS.values():
            rate, cpu, ours = best(found, names, "rate"), best(found, names, "cpu_ms"), found.get("fdl", {})
            cells.append(
                f"{ours['rate'] / rate:.2f} · {cpu / ours['cpu_ms']:.2f}" if rate and cpu and "rate" in ours else "–"
            )
        lines.append(
            f"| {workload} {WORKLOADS[workload].what} | {WORKLOADS[workload].bar} | " + " | ".join(cells) + " |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Parse the words, race, write."""
    from benchmarks.workloads import WORKLOADS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", default=",".join(WORKLOADS))
    parser.add_argument("--contenders", default=",".join(CONTENDERS))
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a window")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--venv", type=Path, default=ROOT / "benchmarks" / ".venv", help="where the peers live")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmarks.md")
    asked = parser.parse_args()
    python = environment(asked.venv)
    names = asked.contenders.split(",")
    results = {}
    with (ROOT / "benchmarks" / "peers.log").open("w") as log:
        for workload in asked.workloads.split(","):
            results[workload] = race(python, workload, names, asked.seconds, asked.rounds, log)
            asked.out.parent.mkdir(exist_ok=True)
            asked.out.write_text(page(results, describe(python, asked)))
            asked.out.with_suffix(".json").write_text(json.dumps(results, indent=1))
    print(asked.out)


def describe(python: Path, asked: argparse.Namespace) -> Result:
    """Return what is needed to say where the numbers came from."""
    listed = subprocess.run([python, "-m", "pip", "freeze"], capture_output=True, text=True, check=True).stdout.split()
    wanted = ("jax==", "jaxlib==", "flax==", "keras==", "torch==", "lightning==", "equinox==", "dm-haiku==")
    model = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "cpu": model[0].split(":")[1].strip() if model else platform.processor(),
        "cores": os.cpu_count(),
        "load": f"{os.getloadavg()[1]:.1f}",
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
        "rounds": asked.rounds,
        "seconds": asked.seconds,
        "versions": ", ".join(line for line in listed if line.startswith(wanted)),
    }


if __name__ == "__main__":
    main()

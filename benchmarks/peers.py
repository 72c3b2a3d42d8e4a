"""Race fdl against its peers, side by side in one run, and write its section of docs/benchmarks.md.

    python benchmarks/peers.py                        sets up benchmarks/.venv at first, then races everything
    python benchmarks/peers.py --only=W1,W2           races these workloads and keeps the record of the others
    python benchmarks/peers.py --only=W1 --contenders=fdl,flax --seconds=1 --rounds=2 --try

Every contender runs in a process of its own and all take turns: A B C, A B C. Each begins with the same weights; the
losses of the first 20 steps on the same rows must agree before anything is timed. Needs Python 3.11 and nothing else.
"""

import argparse
import json
import subprocess
import sys
import venv
from pathlib import Path
from statistics import median
from typing import IO, Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import page  # noqa: E402
from benchmarks.contender import CONTENDERS, JAX_STOCK  # noqa: E402
from benchmarks.workloads import PROOF, WORKLOADS, Workload  # noqa: E402

CROWDED = 0.1  # of the cores, kept busy by others: then the page warns
PACKAGES = ("jax", "jaxlib", "flax", "optax", "keras", "torch", "lightning", "equinox", "dm-haiku")
Result = dict[str, Any]

PEERS = tuple(name for name in CONTENDERS if name != "fdl")
# what a bar names -> the contenders it means, of which the fastest counts
GROUPS = {
    "best peer": PEERS,
    "best JAX peer": JAX_STOCK,
    "best stock peer": (*JAX_STOCK, "torch", "lightning"),
    "flax, malloc tuned": ("flax_malloc",),
    "torch": ("torch",),
    "torch tuned": ("torch_tuned",),
}


def environment(folder: Path) -> Path:
    """Return the interpreter of the peers' environment, which is made where it is not there or not whole."""
    python, whole = folder / "bin" / "python", folder / "whole"
    if not whole.exists():
        print(f"setting up {folder} (once; some minutes)", flush=True)
        venv.create(folder, with_pip=True)
        wanted = ["-r", str(ROOT / "benchmarks" / "requirements.txt")]
        subprocess.run([python, "-m", "pip", "install", "-q", *wanted], check=True)
        whole.touch()
    return python


class Contender:
    """A process that runs windows when asked."""

    def __init__(self, name: str, command: list[str], log: IO[str] | None):
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


def agree(losses: list[float], to: list[float], tolerance: float = 2e-3) -> bool:
    """Say whether two runs took the same steps."""
    return all(abs(a - b) <= tolerance * max(abs(a), abs(b), 0.1) for a, b in zip(losses, to, strict=True))


def race(
    python: Path, work: Workload, names: list[str], seconds: float, rounds: int, log: IO[str], pause: bool
) -> Result:
    """Return, for each contender of a workload, the windows it ran, or why it ran none, and how busy others were."""
    ready: dict[str, Contender] = {}
    found: Result = {}
    reference: list[float] | None = None
    for name in names:
        contender = Contender(name, [str(python), str(ROOT / "benchmarks" / "contender.py"), work.name, name], log)
        proof = contender.answer()
        if proof is None:
            found[name] = {"failed": "did not start; see benchmarks/peers.log"}
            print(f"{work.name} {name}: did not start", flush=True)
            continue
        losses = proof["losses"]
        reference = reference or losses
        if not agree(losses, reference, work.tolerance):
            worst = max(abs(a - b) for a, b in zip(losses, reference, strict=True))
            found[name] = {"failed": f"losses of the first {len(losses)} steps differ by up to {worst:.3g}"}
            print(f"{work.name} {name}: {found[name]['failed']}", losses, reference, flush=True)
            contender.end()
            continue
        ready[name] = contender
        found[name] = {"windows": [], "losses": losses}
        print(f"{work.name} {name}: losses agree ({losses[0]:.4f} … {losses[-1]:.4f})", flush=True)
    if pause:
        input(f"{work.name}: press Enter when the machine is quiet ")
    with page.Others() as others:
        for _ in range(rounds):
            for name, contender in ready.items():
                seen = contender.ask(seconds)
                if seen:
                    found[name]["windows"].append(seen)
                    others.own += seen["cpu_seconds"]
    for contender in ready.values():
        contender.end()
    for name, result in found.items():
        if result.get("windows"):
            result |= summary(result["windows"])
            print(f"{work.name} {name}: {result['rate']:.4g} steps/s, {result['cpu_ms']:.4g} CPU ms/step", flush=True)
    return {"contenders": found, "others": others.share, "rounds": rounds, "seconds": seconds}


def summary(windows: list[Result]) -> Result:
    """Return the median, lowest and highest rate of some windows, and the median CPU time of a step."""
    rates = sorted(w["steps_per_second"] for w in windows)
    cpu = median(w["cpu_ms"] for w in windows)
    return {"rate": median(rates), "low": rates[0], "high": rates[-1], "cpu_ms": cpu}


def against(found: Result, group: str) -> Result | None:
    """Return how fdl stands beside the fastest of a group: by medians, and round by round from the worst to the best.

    None where either did not run.
    """
    ours = found.get("fdl", {})
    running = [name for name in GROUPS[group] if "rate" in found.get(name, {})]
    if "rate" not in ours or not running:
        return None
    name = max(running, key=lambda name: found[name]["rate"])
    theirs = found[name]
    ratios = [
        a["steps_per_second"] / b["steps_per_second"] for a, b in zip(ours["windows"], theirs["windows"], strict=False)
    ]
    return {
        "name": name,
        "ratio": ours["rate"] / theirs["rate"],
        "low": min(ratios),
        "high": max(ratios),
        "cpu": theirs["cpu_ms"] / ours["cpu_ms"],
    }


def verdicts(work: Workload, found: Result) -> list[str]:
    """Return a row of the table for each bar and goal of a workload."""
    rows = []
    for kind, wanted in (("bar", work.bars), ("goal", work.goals)):
        for group, factor in wanted:
            seen = against(found, group)
            row = f"| {work.name} | {kind} ≥ {factor:g} × {group} | "
            if seen is None:
                rows.append(row + "– | – | – | not run |")
                continue
            says = "holds" if seen["ratio"] >= factor else f"**misses by {1 - seen['ratio'] / factor:.0%}**"
            rows.append(
                f"{row}{CONTENDERS[seen['name']]} | {seen['ratio']:.2f} [{seen['low']:.2f}, {seen['high']:.2f}] | "
                f"{seen['cpu']:.2f} | {says} |"
            )
    return rows


def section(record: Result) -> list[str]:
    """Return the lines of the race."""
    raced = {name: record["workloads"][name] for name in WORKLOADS if name in record["workloads"]}
    lines = [
        "## The race",
        "",
        "Written by `python benchmarks/peers.py`, which sets up its peers itself. Every contender runs in a process of",
        f"its own, all take turns (A B C, A B C), and each first proves its losses: over {PROOF} steps from the same",
        "weights on the same rows they are the others'. Float32, Adam, 50,000 examples, shuffled.",
        "Steps/s: the median of the windows [lowest, highest]. What was tried where a bar is missed, and what it gave,",
        "stands in [performance](performance.md).",
        "",
        page.where(record["machine"]),
        "",
        "| contender | " + " | ".join(raced) + " |",
        "|---|" + "---|" * len(raced),
    ]
    for name, what in CONTENDERS.items():
        cells = []
        for one in raced.values():
            seen = one["contenders"].get(name, {})
            if "rate" in seen:
                cells.append(f"{seen['rate']:.4g} [{seen['low']:.4g}, {seen['high']:.4g}]")
            else:
                cells.append(seen.get("failed", "not run"))
        lines.append(f"| {what} | " + " | ".join(cells) + " |")
    lines += ["", *(f"- {name}: {about(WORKLOADS[name], one)}" for name, one in raced.items())]
    lines += [
        "",
        "Ratios above 1: fdl is faster, by the clock [from the worst round to the best] and by CPU time.",
        "",
        "| | asked | the fastest of these | by the clock | by CPU time | |",
        "|---|---|---|---|---|---|",
    ]
    return [*lines, *(row for name, one in raced.items() for row in verdicts(WORKLOADS[name], one["contenders"]))]


def about(work: Workload, one: Result) -> str:
    """Return what a workload is and how it was raced, in one line."""
    how = f"{one['rounds']} rounds of {one['seconds']:g} s, others: {one['others']:.0%} of the cores"
    said = f"{work.what}; losses to {work.tolerance:g}, {how}"
    if one["others"] <= CROWDED:
        return said
    return f"{said}. **Crowded**: threads that wait for one another suffer most, so these ratios say little"


def main() -> None:
    """Parse the words, race, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(WORKLOADS), help="workloads; the record of the others is kept")
    parser.add_argument("--contenders", default=",".join(CONTENDERS))
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a window")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--venv", type=Path, default=ROOT / "benchmarks" / ".venv", help="where the peers live")
    parser.add_argument("--pause", action="store_true", help="between proof and race, wait for Enter")
    parser.add_argument("--try", dest="trial", action="store_true", help="print and write nothing")
    parser.add_argument("--draw", action="store_true", help="draw the page again from its record, and race nothing")
    asked = parser.parse_args()
    record = page.kept("race") or {"workloads": {}}
    if asked.draw:
        page.keep("race", record, section(record))
        return
    python = environment(asked.venv)
    names = asked.contenders.split(",")
    with (ROOT / "benchmarks" / "peers.log").open("w") as log:
        for name in asked.only.split(","):
            seen = race(python, WORKLOADS[name], names, asked.seconds, asked.rounds, log, asked.pause)
            record["workloads"][name] = seen
            record["machine"] = page.machine(python, PACKAGES)
            if asked.trial:
                print("\n".join(verdicts(WORKLOADS[name], seen["contenders"])))
            else:
                page.keep("race", record, section(record))


if __name__ == "__main__":
    main()

"""The fault gate: hurt runs in every way of the table, and write what happened to docs/reliability.md.

python tests/faults/gate.py                      the whole gate (hours); the default seed is new each time
python tests/faults/gate.py --rows=1,2 --tries=20 --seed=7
"""

import argparse
import math
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))
import caches
import clocks
import damage
import disks
import edits
import filesystems
import flagfiles
import inputs
import kills
import malicious_input
import names
import other_devices
import out_of_memory
import pairs
import parents
import resume
import runs
import soak
import starts
import stores
import terminals
import vanish
from runs import Row

ROWS = {
    1: ("SIGKILL at a random moment, until the run finishes", 200, kills.kill),
    2: ("SIGTERM, SIGINT, SIGHUP at a random moment", 100, kills.stop),
    3: ("a checkpoint damaged: bits, truncation, zeros, junk, files and folders deleted", 1000, damage.hurt),
    5: ("disk full, in bytes or inodes, at a random point", 50, disks.fill),
    6: ("two starts on one folder", 50, starts.twice),
    7: ("a run goes on with other devices or another executor", 40, other_devices.move),
    10: ("memory runs out at a random moment", 50, out_of_memory.starve),
    11: ("wrong flags, pages, folders, shapes, labels, numbers", 300, inputs.wrong),
    12: ("hostile text, run folders, checkpoints and data", 50, malicious_input.hostile),
    15: ("two hours of all of these at random, and a long run frozen and thawed beside them", 10**6, soak.soak),
    16: ("a killed run goes on", 12, resume.resume),
    17: ("one of two processes killed", 20, pairs.killed),
    18: ("one of two processes frozen", 20, pairs.frozen),
    19: ("a run folder that goes, or is another's by now", 20, vanish.vanish),
    20: ("terminals, pipes and logs that go away", 27, terminals.leave),
    21: ("caches damaged, full, read-only, left by killed processes", 24, caches.break_caches),
    22: ("a signal to a sweep, or to its run", 24, parents.sweeps),
    23: ("a run's files edited", 45, edits.edit),
    24: ("strange names and bytes, and pictures that are too large", 30, names.strange),
    25: ("file systems and hosts that lack what Linux disks have", 24, filesystems.misbehave),
    26: ("clocks set, files copied and touched", 24, clocks.clocks),
    27: ("flag files, pages that leave, inputs that do not fit", 24, flagfiles.misled),
    28: ("SIGKILL at a random moment of runs with patience, until they stop by it", 50, kills.kill_patient),
    29: ("SIGKILL at a random moment of runs on an S3 server, each time on an empty machine", 50, stores.kill),
}


TABLE = runs.ROOT / "docs" / "reliability.md"
MARK = "<!-- from here on written by tests/faults/gate.py -->\n"
HEAD = ("#", "fault", "tries", "failures", "worst", "seed", "note", "commit", "when")


def write(file: Path, row: Row, seed: int, add: bool = False) -> None:
    """Put a row into the table, in the place of what an earlier run of it said, or with its tries added up."""
    text, _, table = file.read_text(encoding="utf-8").partition(MARK)
    lines = {int(found[1]): line for line in table.splitlines() if (found := re.match(r"\| (\d+) \|", line))}
    tries, failures, seeds = row.tries, len(row.failures), str(seed)
    if add and row.number in lines:
        before = [cell.strip() for cell in lines[row.number].strip("|").split("|")]
        tries, failures, seeds = tries + int(before[2]), failures + int(before[3]), f"{before[5]}, {seeds}"
        if row.worst is not None and before[4]:
            row.worst = max(row.worst, float(before[4].removesuffix(" s")))
    worst = f"{row.worst:.2f} s" if row.worst is not None else ""
    note = f"{row.note}; load {os.getloadavg()[1]:.0f} on {os.cpu_count()} cores"
    here = ["git", "-C", str(runs.ROOT), "describe", "--always", "--abbrev=8", "--exclude=*"]
    commit = subprocess.run(here, capture_output=True, text=True).stdout.strip()
    when = f"{datetime.now():%Y-%m-%d %H:%M}"
    cells = (row.number, row.fault, tries, failures, worst, seeds, note, commit, when)
    lines[row.number] = f"| {' | '.join(map(str, cells))} |"
    head = f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}\n"
    file.write_text(text + MARK + "\n" + head + "\n".join(lines[n] for n in sorted(lines)) + "\n", encoding="utf-8")


def main() -> int:
    """Run the chosen rows and return 1 where anything failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default=",".join(map(str, ROWS)))
    parser.add_argument("--tries", type=int, help="instead of each row's own number")
    parser.add_argument("--minutes", type=float, default=math.inf, help="at most so long for a row")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--add", action="store_true", help="to what the table has of these rows, in several sittings")
    parser.add_argument("--table", type=Path, default=TABLE, help="where the rows are written")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    runs.warm()
    failed = False
    for number in map(int, options.rows.split(",")):
        # Each in a fork of its own: a row may start JAX, and a process that has started JAX must not fork.
        pid = os.fork()
        if not pid:
            os._exit(try_row(number, options.tries, options.seed, options.table, options.minutes, options.add))
        failed |= os.waitpid(pid, 0)[1] != 0
    return int(failed)


def try_row(number: int, tries: int | None, seed: int, table: Path, minutes: float, add: bool) -> int:
    """Run one row, write it into the table and return 1 where anything failed."""
    fault, usual, work = ROWS[number]
    folder, begun = Path(tempfile.mkdtemp(prefix="fdl-faults-")), time.monotonic()
    row = Row(number, fault, until=begun + 60 * minutes)
    try:
        work(row, tries or usual, random.Random(f"{seed} {number}"), folder)
    except BaseException:
        traceback.print_exc()
        return 1
    shutil.rmtree(folder)
    seconds = time.monotonic() - begun
    print(
        f"row {number}: {row.tries} tries, {len(row.failures)} failures, worst {row.worst}, {seconds:.0f} s", flush=True
    )
    write(table, row, seed, add)
    return int(bool(row.failures))


if __name__ == "__main__":
    sys.exit(main())

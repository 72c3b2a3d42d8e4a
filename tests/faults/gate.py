"""The fault gate: hurt runs in every way of the table, and write what happened to docs/reliability.md.

python tests/faults/gate.py                      the whole gate (hours); the default seed is new each time
python tests/faults/gate.py --rows=1,2 --tries=20 --seed=7
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import disks
import kills
import runs
from runs import Row

ROWS = {
    1: ("SIGKILL at a random moment, until the run finishes", 200, kills.kill),
    2: ("SIGTERM, SIGINT, SIGHUP at a random moment", 100, kills.stop),
    5: ("disk full, in bytes or inodes, at a random point", 50, disks.fill),
}


def main() -> int:
    """Run the chosen rows and return 1 where anything failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default=",".join(map(str, ROWS)))
    parser.add_argument("--tries", type=int, help="instead of each row's own number")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    runs.warm()
    rows = []
    for number in map(int, options.rows.split(",")):
        fault, tries, work = ROWS[number]
        row, folder = Row(number, fault), Path(tempfile.mkdtemp(prefix="fdl-faults-"))
        begun = time.monotonic()
        work(row, options.tries or tries, random.Random(f"{options.seed} {number}"), folder)
        shutil.rmtree(folder)
        print(
            f"row {number}: {row.tries} tries, {len(row.failures)} failures, worst {row.worst}, "
            f"{time.monotonic() - begun:.0f} s",
            flush=True,
        )
        rows.append(row)
    return int(any(row.failures for row in rows))


if __name__ == "__main__":
    sys.exit(main())

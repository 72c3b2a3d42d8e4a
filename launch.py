"""Train, evaluate, predict, generate, describe, bench: launch any experiment with flags (`--help` shows them).

The same as `fdl` and `python -m fdl` where fdl is installed; this file needs no installation but that of its packages.
"""

import signal
import sys

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # while modules are imported, Ctrl-C needs no traceback

from fdl.__main__ import main

if __name__ == "__main__":
    sys.exit(main(sys.argv))

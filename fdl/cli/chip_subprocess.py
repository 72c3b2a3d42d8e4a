"""A command that compiles for a chip that is not available runs in a subprocess with that compiler's environment."""

import os
import subprocess
import sys

from fdl.core.errors import Fault
from fdl.parallel import targets

TARGET = "FDL_TARGET"  # environment variable of that subprocess


def in_subprocess(target: str) -> int | None:
    """Run this command in a subprocess with the environment of a target's compiler, and return its exit code.

    None if this is that subprocess already. In a subprocess because the compiler may abort without a message.
    """
    environment = {**targets.environment(target), TARGET: target}
    if os.environ.get(TARGET) == target:
        return None
    code = subprocess.run(
        [sys.executable, *sys.orig_argv[1:]], env={**os.environ, **environment}, check=False
    ).returncode
    if code < 0:
        raise Fault(
            f"the compiler for {target} ended with signal {-code}; docs/accelerators.md names versions that work"
        )
    return code

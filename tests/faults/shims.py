"""The shim: a library in the place of some of libc's calls, built here, for processes that are to meet what is rare."""

import shutil
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("shim.c")


def built(folder: Path) -> Path | None:
    """Compile the shim; None where there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    library = folder / "shim.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"], check=True)
    return library


def clock(shim: Path, ahead: int) -> dict[str, str]:
    """Return the environment of a process whose wall clock is so many seconds ahead."""
    return {"LD_PRELOAD": str(shim), "FDL_SHIM_SECONDS": str(ahead)}


def files(shim: Path, words: str, folder: Path) -> dict[str, str]:
    """Return the environment of a process for which something goes wrong with files under a folder."""
    return {"LD_PRELOAD": str(shim), "FDL_SHIM": words, "FDL_SHIM_UNDER": str(folder)}

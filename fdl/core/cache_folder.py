"""Where caches live: conveniences that any start may find broken, full or gone, and does without."""

import os
from pathlib import Path


def cache_folder() -> Path | None:
    """Return $FDL_CACHE, or `fdl` in $XDG_CACHE_HOME or ~/.cache; None for a user without a home, as in containers."""
    if chosen := os.environ.get("FDL_CACHE"):
        return Path(chosen)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fdl"
    except RuntimeError:  # $HOME is not set, and the system does not know the user
        return None

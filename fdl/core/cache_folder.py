"""Where caches live. A cache is optional: a run works without it when it is damaged, full or missing."""

import os
from pathlib import Path


def cache_folder() -> Path | None:
    """Return $FDL_CACHE, or `fdl` in $XDG_CACHE_HOME or ~/.cache; None for a user without a home, as in containers."""
    if explicit := os.environ.get("FDL_CACHE"):
        return Path(explicit)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fdl"
    except RuntimeError:  # $HOME is not set, and the system does not know the user
        return None

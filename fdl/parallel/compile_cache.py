"""JAX's persistent compilation cache, made optional: a run works without it when it is damaged, full or missing."""

import os
import tempfile
from pathlib import Path
from typing import Any

from fdl.core.cache_folder import cache_folder
from fdl.core.errors import brief, warn

FOLDER, LEAST = "JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"


def configure() -> None:
    """Set the environment variables of JAX's compile cache, which JAX reads once, at import."""
    root = cache_folder()
    folder = os.environ.get(FOLDER) or (root and str(root / "jax"))
    if not folder:
        warn(f"programs are compiled at every start, because this user has no home folder; set {FOLDER} to a folder")
        return
    os.environ[FOLDER] = folder
    os.environ.setdefault(LEAST, "0.2")
    if "://" in folder:  # a bucket, which JAX accesses itself
        return
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        os.environ[LEAST] = "1e9"  # never write, which would warn at every program; existing entries are still read
        if not Path(folder).is_dir():
            del os.environ[FOLDER]
        warn(f"programs are not cached in {folder} ({error.strerror}); set {FOLDER} to a folder that can be written to")


def repair_on_read() -> None:
    """Patch JAX's cache to delete a damaged entry, so that it is written again, and to warn once of a full disk.

    JAX itself keeps damaged entries and warns at every start. A process killed while writing leaves a damaged entry.
    """
    from jax._src import compilation_cache as jax_cache  # JAX has no public hook for this

    get, put = jax_cache.get_executable_and_time, jax_cache.put_executable_and_time
    failed: list[str] = []

    def entry(key: str) -> Path:
        return Path(os.environ.get(FOLDER, "")) / f"{key}-cache"

    def get_or_delete(cache_key: str, *rest: Any, **named: Any) -> Any:
        try:
            return get(cache_key, *rest, **named)
        except Exception as error:  # of zlib, zstd or XLA
            if not entry(cache_key).is_file():
                raise
            entry(cache_key).unlink()
            warn(f"a cached program was damaged and is compiled again ({brief(error)}): {entry(cache_key)}")
            return None, None

    def put_or_stop(cache_key: str, *rest: Any, **named: Any) -> Any:
        if failed:
            return None
        try:
            return put(cache_key, *rest, **named)
        except OSError as error:
            failed.append(cache_key)
            entry(cache_key).unlink(missing_ok=True)  # partly written
            warn(f"programs are not cached in {entry(cache_key).parent}: {brief(error)}; each start recompiles")

    jax_cache.get_executable_and_time, jax_cache.put_executable_and_time = get_or_delete, put_or_stop

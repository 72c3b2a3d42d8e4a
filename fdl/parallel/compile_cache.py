"""The compile cache: JAX keeps compiled programs on disk; a convenience that may be broken, full or gone."""

import os
import tempfile
from pathlib import Path
from typing import Any

from fdl.core.cache_folder import cache_folder
from fdl.core.errors import brief, warn

FOLDER, LEAST = "JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"


def choose() -> None:
    """Set the environment variables of JAX's compile cache, which it reads once, when it is imported."""
    root = cache_folder()
    given = os.environ.get(FOLDER) or (root and str(root / "jax"))
    if not given:
        warn(f"programs are compiled at every start, for this user has no home; set {FOLDER} to a folder")
        return
    os.environ[FOLDER] = given
    os.environ.setdefault(LEAST, "0.2")
    if "://" in given:  # a bucket, for JAX to find
        return
    try:
        Path(given).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=given):
            pass
    except OSError as error:
        os.environ[LEAST] = "1e9"  # JAX would try, and warn, at every program; it reads what is there
        if not Path(given).is_dir():
            del os.environ[FOLDER]
        warn(f"programs are not kept in {given} ({error.strerror}); set {FOLDER} to a folder that can be written to")


def mend() -> None:
    """Have JAX take a damaged entry away, to write it again, and say once that the disk is full.

    It leaves both where they are, and warns at every start. A kill while it writes is enough to damage an entry.
    """
    from jax._src import compilation_cache as jax_cache  # no public name

    get, put = jax_cache.get_executable_and_time, jax_cache.put_executable_and_time
    failed: list[str] = []

    def entry(key: str) -> Path:
        return Path(os.environ.get(FOLDER, "")) / f"{key}-cache"

    def get_sound(cache_key: str, *rest: Any, **named: Any) -> Any:
        try:
            return get(cache_key, *rest, **named)
        except Exception as error:  # whatever zlib, zstd or XLA make of it
            if not entry(cache_key).is_file():
                raise
            entry(cache_key).unlink()
            warn(f"a kept program was damaged and is compiled again ({brief(error)}): {entry(cache_key)}")
            return None, None

    def put_whole(cache_key: str, *rest: Any, **named: Any) -> Any:
        if failed:
            return None
        try:
            return put(cache_key, *rest, **named)
        except OSError as error:
            failed.append(cache_key)
            entry(cache_key).unlink(missing_ok=True)  # half of it
            warn(
                f"programs are not kept in {entry(cache_key).parent}: {brief(error)}; they are compiled at every start"
            )

    jax_cache.get_executable_and_time, jax_cache.put_executable_and_time = get_sound, put_whole

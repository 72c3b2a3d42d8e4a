"""fdl: functional deep learning. A training run is a pure function of its experiment.

The names below are imported when they are first used, so that `import fdl` costs nothing.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from fdl.core.moved_modules import forward

if TYPE_CHECKING:
    from fdl.core.recorded import recorded as recorded
    from fdl.engine.population import Population as Population
    from fdl.experiment import Experiment as Experiment
    from fdl.experiment import load as load
    from fdl.modes.bench import bench as bench
    from fdl.modes.check import check as check
    from fdl.modes.compare import compare as compare
    from fdl.modes.describe import describe as describe
    from fdl.modes.doctor import doctor as doctor
    from fdl.modes.evaluate import evaluate as evaluate
    from fdl.modes.export import export as export
    from fdl.modes.find_lr import find_lr as find_lr
    from fdl.modes.fit import fit as fit
    from fdl.modes.generate import generate as generate
    from fdl.modes.predict import predict as predict
    from fdl.modes.train import train as train
    from fdl.modes.train_population import train_population as train_population
    from fdl.runs.writers.trackers import trackers as trackers
    from fdl.runs.writers.writer import Writer as Writer
    from fdl.trained import Trained as Trained
    from fdl.trained import restore as restore

__version__ = "0.2.0"
WINDOWS = "fdl needs the locks and signals of Linux or macOS; on Windows, install it inside WSL 2"

_HOMES = {
    "Experiment": "fdl.experiment",
    "Population": "fdl.engine.population",
    "Trained": "fdl.trained",
    "Writer": "fdl.runs.writers.writer",
    "bench": "fdl.modes.bench",
    "check": "fdl.modes.check",
    "compare": "fdl.modes.compare",
    "describe": "fdl.modes.describe",
    "doctor": "fdl.modes.doctor",
    "evaluate": "fdl.modes.evaluate",
    "export": "fdl.modes.export",
    "find_lr": "fdl.modes.find_lr",
    "fit": "fdl.modes.fit",
    "generate": "fdl.modes.generate",
    "load": "fdl.experiment",
    "predict": "fdl.modes.predict",
    "restore": "fdl.trained",
    "recorded": "fdl.core.recorded",
    "trackers": "fdl.runs.writers.trackers",
    "train": "fdl.modes.train",
    "train_population": "fdl.modes.train_population",
}
__all__ = [
    "Experiment",
    "Population",
    "Trained",
    "Writer",
    "bench",
    "check",
    "compare",
    "describe",
    "doctor",
    "evaluate",
    "export",
    "find_lr",
    "fit",
    "generate",
    "load",
    "predict",
    "recorded",
    "restore",
    "trackers",
    "train",
    "train_population",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fdl' has no attribute {name!r}")
    if sys.platform == "win32":
        raise ImportError(WINDOWS)
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


# Where users' pages of 0.1.0 imported from; the old modules go in 0.3.
forward(
    "fdl",
    {
        "axis": "core.data_axis",
        "beam": "models.beam_search",
        "checkpoint": "runs.checkpoints.manager runs.checkpoints.structure core.digest",
        "executors": "parallel.executors parallel.sharding parallel.compiled",
        "fault": "core.errors",
        "options": "engine.options",
        "pictures": "runs.report.visualize",
        "population": "engine.population",
        "program": "engine.program",
        "record": "runs.metrics_log runs.writers.record",
        "sampling": "models.sampling",
        "steps": "core.steps",
        "types": "core.types",
        "weights": "models.pretrained runs.checkpoints.warm_start",
    },
)

"""Why a plain recurrent net forgets: how much the loss feels each step of the adding problem, drawn.

    python -m benchmarks.forgetting    trains adding_rnn with either cell and writes docs/forgetting.svg

The norm of the gradient of the loss with respect to the input at each of the 100 steps, its mean over the test split,
before and after training: what falls to nothing on the way back cannot be learned.
"""

import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from fdl.core.forward import forward
from fdl.core.types import PyTree
from fdl.experiment import Experiment, load
from fdl.modes.train import train
from fdl.runs.checkpoints.manager import Checkpoints
from fdl.runs.report import svg_plot

PLOT = Path(__file__).resolve().parent.parent / "docs" / "forgetting.svg"


def felt(experiment: Experiment, variables: PyTree) -> np.ndarray:
    """Return f64[T]: the mean over the test split of the norm of the loss's gradient at the input of each step."""
    source = experiment.dataset.load("test")
    batch = source.fetch(np.arange(len(source)))
    model_state = dict(variables)
    params = model_state.pop("params")

    @jax.grad
    def gradient(inputs: jax.Array) -> jax.Array:
        outputs, _ = forward(experiment.model, params, model_state, batch._replace(inputs=inputs))
        return jnp.asarray(experiment.task(outputs, batch)["loss"].total)

    norms = jnp.linalg.norm(jax.jit(gradient)(jnp.asarray(batch.inputs)), axis=-1)
    return np.asarray(norms, np.float64).mean(0)


def trained(experiment: Experiment) -> PyTree:
    """Train an experiment in a folder of its own and return the variables it ends with."""
    with tempfile.TemporaryDirectory() as folder:
        report = train(experiment, folder)
        return Checkpoints(Path(folder, "checkpoints")).variables(report["step"])


def main() -> None:
    """Train both cells, write the plot and print how much of the last step's gradient reaches the first."""
    curves = {}
    for cell in ("lstm", "rnn"):
        experiment = load("adding_rnn", cell=cell)
        state = experiment.init()
        for when, variables in (("before", {"params": state.params}), ("after", trained(experiment))):
            norms = felt(experiment, variables)
            steps = np.arange(1, len(norms) + 1)
            curves[f"{cell}, {when} training"] = (steps.tolist(), np.log10(norms).tolist())
            print(f"{cell}, {when} training: the first step has {norms[0] / norms[-1]:.2g} of the last one's gradient")
    PLOT.write_text(svg_plot.curves(curves, x="step", y="log10 of the gradient at the input"), encoding="utf-8")


if __name__ == "__main__":
    main()

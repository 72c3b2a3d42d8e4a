"""The learning-rate range test: one short run whose rate rises, and the rate that it suggests.

Paper: Smith, "Cyclical Learning Rates for Training Neural Networks", 2015 (arXiv 1506.01186).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import optax

from fdl import optim
from fdl.core.errors import Fault, UserError
from fdl.core.log import Log, logger
from fdl.engine.placement import initial_state, prepare
from fdl.engine.program import training
from fdl.experiment import Experiment
from fdl.parallel.executors import fetch
from fdl.runs.atomic_files import write_text
from fdl.runs.progress_bar import bar
from fdl.runs.report import svg_plot
from fdl.runs.workdir import beside

LOWEST, DECADES, STEPS = 1e-6, 7, 140  # to a rate of 10, twenty steps a decade
BELOW_LOWEST_LOSS = 10  # the suggestion is this much below the rate of the lowest loss, where training still is stable
LEARNS = 0.85  # the lowest loss must be below this share of that at the rates of the first decade, which train nothing
_MEMORY = 0.9  # of the moving average that smooths the loss
_DIVERGED = 4.0  # times the lowest loss, and above the first


@dataclass(frozen=True, kw_only=True)
class RangeTest:
    """A learning-rate range test.

    rates, losses: of each step until the loss diverged; smooth: its moving average, less the bias of its beginning.
    """

    rates: Sequence[float]
    losses: Sequence[float]
    smooth: Sequence[float]

    @property
    def first(self) -> float:
        """The mean loss at the rates of the first decade."""
        return float(np.mean(self.losses[: STEPS // DECADES]))

    @property
    def suggestion(self) -> float | None:
        """A tenth of the rate at which the smoothed loss is lowest, in one digit; None where none lowers the loss."""
        at = int(np.argmin(self.smooth))
        return float(f"{self.rates[at] / BELOW_LOWEST_LOSS:.0e}") if self.smooth[at] < LEARNS * self.first else None

    @property
    def diverged(self) -> bool:
        """Whether the loss left what training comes back from."""
        return _diverged(self.smooth)


def find_lr(experiment: Experiment, workdir: Path | str, *, log: Log | None = print) -> RangeTest:
    """Train a few steps from the start with a learning rate that rises from 1e-6 to 10, and suggest one.

    The rate of every optimizer of the experiment is raised, whatever their schedules say, on the batches that training
    begins with. Nothing is written but a picture of the curve, beside the run folder, or in the
    current folder if that is an address. Raises a Fault where no rate
    lowers the loss, and a UserError where the optimizer does not say what its rate is.
    """
    log = logger(log)
    rates = optim.learning_rates(experiment.optimizer)
    if not rates:
        raise UserError(
            f"the optimizer of {experiment.name} does not say what its learning rate is; make it by fdl.optim, or as "
            "fdl.recorded(optax.lion)(learning_rate)"
        )
    found = ramp(experiment)
    picture = beside(workdir, ".find_lr.svg")
    write_text(picture, draw(found))

    first, lowest = found.first, min(found.smooth)
    log(
        f"{experiment.name}: {len(found.rates)} steps of {experiment.batch_size} examples with rates of "
        f"{found.rates[0]:.1g} to {found.rates[-1]:.2g}: loss {first:.4g}, lowest {lowest:.4g} at "
        f"{found.rates[int(np.argmin(found.smooth))]:.2g}{', then it diverged' if found.diverged else ''}: {picture}"
    )
    if found.suggestion is None:
        raise Fault(
            f"no learning rate lowers the loss by much in {STEPS} steps ({first:.4g} to {lowest:.4g}): "
            "it learns later, or not at all; see what --mode=check says"
        )
    now = sorted({float(rate(0)) if callable(rate) else float(rate) for rate in rates})
    flag = "--learning_rate=" if "learning_rate" in experiment.knobs else "a learning rate of "
    planned = "a schedule's first is" if any(map(callable, rates)) else "it is"
    log(f"try {flag}{found.suggestion:g} ({planned} {', '.join(f'{rate:.2g}' for rate in now)} here)")
    return found


def ramp(experiment: Experiment) -> RangeTest:
    """Return the losses of a run whose learning rate rises by the same factor each step, until the loss diverges."""
    growth = 10 ** (DECADES / (STEPS - 1))
    schedule = optax.exponential_decay(LOWEST, 1, growth)
    optimizer = optim.with_learning_rate(experiment.optimizer, schedule)
    ramped = replace(experiment, optimizer=optimizer, steps=STEPS, log_every=10)
    executor = prepare(ramped, trains=True)
    program, state = training(ramped, executor), initial_state(ramped, executor)
    losses, smooth = list[float](), list[float]()
    with bar(STEPS, 0, "step", ramped.name) as shown:
        while len(losses) < STEPS and not _diverged(smooth):
            count = min(program.steps_per_call, STEPS - len(losses))
            state, sums = program.call(state, program.rows(len(losses), count))
            loss = fetch(sums["loss"])
            losses += np.divide(loss.total, loss.weight, dtype=np.float64).tolist()
            smooth = smoothed(losses)
            shown.update(count)
    kept = next((i for i in range(1, len(smooth) + 1) if _diverged(smooth[:i])), len(smooth))
    rates = [LOWEST * growth**i for i in range(kept)]
    return RangeTest(rates=rates, losses=losses[:kept], smooth=smooth[:kept])


def smoothed(losses: Sequence[float]) -> list[float]:
    """Return the exponential moving average of the losses, each divided by the weight that it has got so far."""
    average, smooth = 0.0, []
    for i, loss in enumerate(losses):
        average = _MEMORY * average + (1 - _MEMORY) * loss
        smooth.append(average / (1 - _MEMORY ** (i + 1)))
    return smooth


def _diverged(smooth: Sequence[float]) -> bool:
    """Say whether the last value is not finite, or far above the lowest and above the first."""
    if not smooth:
        return False
    last = smooth[-1]
    return not math.isfinite(last) or last > max(_DIVERGED * min(smooth), smooth[0])


def draw(found: RangeTest) -> str:
    """Return the loss over the learning rate as SVG."""
    finite = [i for i, loss in enumerate(found.smooth) if math.isfinite(loss)]
    rates = [found.rates[i] for i in finite]
    series = {"loss, smoothed": (rates, [found.smooth[i] for i in finite])}
    if found.suggestion is not None:
        at = int(np.argmin(np.abs(np.log(np.array(rates) / found.suggestion))))
        low, high = min(series["loss, smoothed"][1]), max(series["loss, smoothed"][1])
        series[f"suggestion {found.suggestion:g}"] = ([rates[at], rates[at]], [low, high])
    return svg_plot.curves(series, x="learning rate", y="loss", logarithmic=True)

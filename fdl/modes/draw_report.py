"""Draw the page of a run: while it trains, where it is stopped or fails, and at its end."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any

import jax

from fdl.core import errors
from fdl.core.errors import NotFinite, Stopped
from fdl.experiment import Experiment
from fdl.modes.next_commands import again
from fdl.parallel import processes
from fdl.runs.atomic_files import write_text
from fdl.runs.metrics_log import lines, training_seconds
from fdl.runs.open_run import Run
from fdl.runs.provenance import environment
from fdl.runs.report.html import html

AT_MOST = 1 / 100  # of the time of training is spent on the page while it trains
FIRST = 5.0  # seconds before the first page: a run of seconds has one at its end
PARAMETERS = 60  # arrays of the model that are listed


def draw(
    run: Run,
    report: Mapping[str, Any],
    names: Sequence[str] | None,
    pictures: Callable[[], Mapping[str, str]],
) -> None:
    """Write report.html, or log a warning: a page that cannot be drawn must not fail a finished run.

    names: of the classes. pictures: returns heading -> HTML or SVG.
    """
    try:
        page = html({**_facts(run), **report}, lines(run.workdir / "metrics.jsonl"), names, pictures())
    except Exception as error:
        run.log(
            f"warning: report.html is not drawn ({type(error).__name__}: {errors.brief(error)}); report.json has it all"
        )
    else:
        write_text(run.workdir / "report.html", page)


class Allowance:
    """Says when something besides training may be done again, so that it takes at most a share of the time.

    wait: seconds before the first time.
    """

    def __init__(self, share: float, wait: float):
        self.share, self.due = share, time.perf_counter() + wait

    def is_due(self) -> bool:
        """Say whether the time has come."""
        return time.perf_counter() >= self.due

    @contextmanager
    def spending(self) -> Iterator[None]:
        """Measure what is done here, and put off the next time by it."""
        begun = time.perf_counter()
        yield
        now = time.perf_counter()
        self.due = now + (now - begun) / self.share


class Pages:
    """The pages of a run before its end, with what is known of it then."""

    def __init__(self, run: Run, experiment: Experiment, devices: tuple[jax.Device, ...]):
        self.run, self.experiment, self.devices = run, experiment, devices
        self.allowance = Allowance(AT_MOST, FIRST)

    def refresh(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Draw the page of a run in training, unless that would cost more than its share of the time."""
        if self.allowance.is_due():
            with self.allowance.spending():
                self._draw("running", "", step, metrics, [])

    def stopped(self, error: BaseException, metrics: Mapping[str, Any]) -> None:
        """Draw the page of a run that a signal or a fault ended; what fails here is not what ended it."""
        status = "stopped" if isinstance(error, KeyboardInterrupt) else "failed"
        why = str(error) if isinstance(error, Stopped) else errors.reason(error)
        following = again("--nonfinite=skip") if isinstance(error, NotFinite) else again()  # else it fails again
        self._draw(status, why, None, metrics, following)

    def _draw(
        self, status: str, why: str, step: int | None, metrics: Mapping[str, Any], following: Sequence[str]
    ) -> None:
        """Draw the page at a step, None for that of the last checkpoint; log where that fails."""
        if not processes.first():
            return
        try:
            self.run.checkpoints.check()  # the folder may be another process's by now
            step = (self.run.checkpoints.last() or 0) if step is None else step
            report = {**self._report(step, metrics), "status": status, "why": why, "next": following}
            draw(self.run, report, self.experiment.dataset.spec.names, dict)
        except Exception as error:
            self.run.log(f"warning: report.html is not written ({errors.brief(error)})")

    def _report(self, step: int, metrics: Mapping[str, Any]) -> dict[str, Any]:
        made, seconds = self.experiment, training_seconds(lines(self.run.workdir / "metrics.jsonl"))
        return {
            "experiment": made.name,
            "step": step,
            "epoch": made.epochs(step),
            "metrics": dict(metrics),
            "primary": made.task.primary,
            "best_step": self.run.checkpoints.best(),
            "knobs": dict(made.knobs),
            "data": list(made.dataset.notes),
            "model": model_summary(made),
            **({"training_seconds": seconds} if seconds else {}),
            **environment(self.devices),
        }


def model_summary(experiment: Experiment) -> str:
    """Return the parameters of the model by path, with their shapes and number."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(experiment.abstract().params)
    rows = [
        (jax.tree_util.keystr(path, simple=True, separator="/"), "×".join(map(str, leaf.shape)), prod(leaf.shape))
        for path, leaf in leaves
    ]
    cells = [(name, shape, f"{count:,}") for name, shape, count in rows[:PARAMETERS]]
    wide = [max(map(len, column)) for column in zip(*cells, strict=True)]
    said = [f"{name:{wide[0]}}  {shape:>{wide[1]}}  {count:>{wide[2]}}" for name, shape, count in cells]
    more = [f"… and {len(rows) - PARAMETERS} arrays more"] if len(rows) > PARAMETERS else []
    total = f"{type(experiment.model).__name__}: {sum(count for _, _, count in rows):,} parameters"
    return "\n".join([total, "", *said, *more])


def _facts(run: Run) -> dict[str, Any]:
    """Return when the run was started last, and its folder."""
    return {"date": time.strftime("%Y-%m-%d %H:%M", time.localtime(run.at)), "workdir": str(run.workdir)}

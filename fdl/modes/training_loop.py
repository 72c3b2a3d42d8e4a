"""The training loop, one for a run and for a population: train until something is due, then log, evaluate and save."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fdl.core import lora
from fdl.core.differences import differences
from fdl.core.errors import Fault, NotFinite
from fdl.core.types import Sums, TrainState
from fdl.data.modalities.kept import dataset_json
from fdl.engine.cadence import Cadence, cadence_of
from fdl.engine.measures import Feeding
from fdl.engine.member_patience import MemberPatience
from fdl.engine.options import optimizer_note
from fdl.engine.program import Training, train_until_due
from fdl.experiment import Experiment
from fdl.modes.forecast import Forecast
from fdl.parallel import processes
from fdl.parallel.devices import overlooked
from fdl.parallel.executors import Executor
from fdl.runs import provenance
from fdl.runs.atomic_files import write_json
from fdl.runs.checkpoints import together
from fdl.runs.checkpoints.commit import Keep
from fdl.runs.metrics_log import lines, training_seconds
from fdl.runs.open_run import Run
from fdl.runs.page_copy import copy_page
from fdl.runs.progress import Progress
from fdl.runs.progress_bar import bar, evaluated, headline, keep
from fdl.runs.restart_log import RestartLog
from fdl.runs.workdir import read_report
from fdl.runs.writers.record import Record

Metrics = Any  # of one experiment a mapping, of a population a list of them


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What the training loop trains: an experiment, or all members of a population at once.

    experiment: the experiment, or the population's first member.
    program:    the training calls.
    finish:     `sums -> metrics` of training calls.
    evaluate:   split -> `state -> (state, metrics)`.
    flat:       `metrics -> the values of one log line`.
    score:      `metrics -> score that selects the best checkpoint`, by the monitored metric; None if none is selected.
    fault:      `step -> Fault` of a non-finite loss; None if members may diverge.
    patience:   of a population whose members stop: after each evaluation, and for the test.
    measure:    `(state, updates so far) -> (state, more values of a training line)`.
    refresh:    `(state, step, metrics) -> state` after each evaluation, for the page of the run and examples.
    """

    experiment: Experiment
    program: Training
    finish: Callable[[Sums], Metrics]
    evaluate: Mapping[str, Callable[[TrainState], tuple[TrainState, Metrics]]]
    flat: Callable[[Metrics], dict[str, Any]]
    score: Callable[[Metrics], float | None]
    fault: Callable[[int], Fault] | None
    patience: MemberPatience | None = None
    measure: Callable[[TrainState, int], tuple[TrainState, Mapping[str, float]]] = lambda state, updates: (state, {})
    refresh: Callable[[TrainState, int, Mapping[str, Any]], TrainState] = lambda state, step, metrics: state

    def cadence(self) -> Cadence:
        """Return when the run logs, evaluates and saves."""
        made = self.experiment
        return cadence_of(made.steps, made.log_every, made.evaluate_every, made.save_every, self.program.steps_per_call)


def introduce(run: Run, experiment: Experiment) -> None:
    """Log the choices about devices and data, save what makes the run a model, and set which checkpoints are kept."""
    if warning := overlooked():
        run.log(f"warning: {warning}")
    run.checkpoints.keep = Keep(experiment.keep, experiment.keep_every)
    for line in experiment.dataset.notes:
        run.log(line)
    if (note := getattr(experiment.init_from, "note", None)) and (weights := note()):
        run.log(weights)
    for line in (lora.summary(experiment.abstract()), optimizer_note(experiment)):
        if line:
            run.log(line)
    keep_model(run.workdir, experiment)


def keep_model(workdir: Path, experiment: Experiment) -> None:
    """Keep in a run folder what `fdl.restore` needs besides a checkpoint: the page, and how data becomes inputs."""
    write_json(workdir / "dataset.json", dataset_json(experiment.dataset))
    if experiment.page is not None:
        copy_page(workdir, experiment.page, experiment.knobs, experiment.monitor)


def resume(
    subject: Subject, run: Run, executor: Executor, like: TrainState, first: Callable[[], TrainState]
) -> tuple[TrainState, Progress]:
    """Return the placed state and the progress of the newest intact checkpoint, or of step 0 if there is none.

    like: the shapes of the state. first: makes the placed initial state.
    """
    saved = together.resume(run.checkpoints, like, executor, run.log)
    if saved is None:
        if begins := getattr(getattr(subject.experiment.model, "start", None), "note", ""):
            run.log(begins)
        return first(), Progress()
    here = _machine(subject, executor)
    if changed := differences(saved.meta.get("machine", here), here):
        run.log(f"warning: not bitwise what an uninterrupted run gives: {'; '.join(changed)}")
    return saved.state, Progress.from_json(saved.meta)


def _machine(subject: Subject, executor: Executor) -> dict[str, Any]:
    return provenance.machine(executor.name, executor.devices, native=subject.program.native)


def train_to_end(
    subject: Subject,
    run: Run,
    executor: Executor,
    state: TrainState,
    progress: Progress,
    restarts: RestartLog,
    record: Record,
) -> TrainState:
    """Train to the last step, out of patience or time, or until a stop is requested; return the state that was tested.

    The test split is evaluated once: on the last state, or with `patience` on the best one. Updates `progress`. Raises
    a Fault if a loss is not finite or saving fails, and Stopped after a signal, when everything is saved.
    """
    made, program, feeding = subject.experiment, subject.program, Feeding(subject.program)
    checkpoints, machine = run.checkpoints, _machine(subject, executor)
    due, step, why = subject.cadence(), int(state.step), progress.over(made.patience, made.minutes)
    forecast = Forecast(made, step, program.call, executor.devices[0].platform, run.log)

    write = partial(_write, subject, progress, record)
    with bar(made.steps, step, "step", made.name, run.quiet) as shown:
        while step < made.steps and not why:
            # Train. Training time excludes compilation, evaluation and waiting for the disk.
            begun, compiled = run.clock(), program.call.compile_seconds
            advance, alone = forecast.counting(shown.update), run.request.alone
            state, step, sent = train_until_due(feeding.call, feeding.rows, state, step, due, advance, alone)
            forecast.done(step)
            run.request.agree(processes.maximum)
            if subject.fault and made.nonfinite == "stop" and not _finite(sent):
                raise _fault(subject, run, step)
            progress.add_calls(sent, run.clock() - begun, program.call.compile_seconds - compiled, feeding.take())
            restarts.mark_running()
            if made.nonfinite == "stop":
                progress.raise_if_hopeless(step)

            # Log, evaluate and save if due at this step.
            if due.logs(step):
                state, more = _finished_window(subject, state, step, progress)
                shown.set_postfix_str(headline(write(step, "train", **more), made.task.primary), refresh=False)
            score, best = None, False
            if due.evaluates(step):
                state, progress.metrics["validation"] = subject.evaluate["validation"](state)
                score = subject.score(progress.metrics["validation"])
                best = progress.is_best(score, made.better)
                if subject.patience:
                    state = subject.patience.judge(state, step, progress)
                keep(shown, run.log, _evaluation(made, step, write(step, "validation"), best))
                state = subject.refresh(state, step, progress.metrics)
            checkpoints.check()
            why = progress.over(made.patience, made.minutes)
            if best or due.saves(step) or run.request.made() or why:
                record.flush()
                _save(subject, run, state, {"score": score, "machine": machine, **progress.as_json()})
            run.request.obey(step, made.steps, checkpoints.wait)

        checkpoints.wait()
        progress.raise_if_nothing_learned(step)
        state = _tested(subject, _tested_state(subject, run, executor, state, why), step, progress)
        write(step, "test")
    return state


def _write(
    subject: Subject, progress: Progress, record: Record, step: int, split: str, **more: float
) -> dict[str, Any]:
    """Write the latest metrics of a split, and more values of its line, and return the metrics."""
    values = subject.flat(progress.metrics[split])
    record.write(split, step, subject.experiment.epochs(step), {**values, **more})
    return values


def _finished_window(
    subject: Subject, state: TrainState, step: int, progress: Progress
) -> tuple[TrainState, dict[str, float]]:
    """Finish the metrics since the last log line; return the state and the values of the line besides them."""
    progress.metrics["train"], progress.window = subject.finish(progress.window), {}
    state, measured = subject.measure(state, step - progress.skipped)
    return state, {**measured, **progress.speed(subject.experiment.batch_size), "seconds": progress.seconds}


def _tested(subject: Subject, state: TrainState, step: int, progress: Progress) -> TrainState:
    """Return the state after the evaluation of the splits that have none yet; step: of training."""
    # A population that fdl 0.1 trained to its end has no validation in its checkpoint. With patience the states that
    # are tested are validated, the best ones: the report's metrics are of one state, and so is what is chosen by them.
    if subject.patience or int(state.step) != step:
        progress.metrics.pop("validation", None)
    for split in {"validation", "test"} - progress.metrics.keys():
        state, progress.metrics[split] = subject.evaluate[split](state)
    return state


def _evaluation(made: Experiment, step: int, metrics: Mapping[str, Any], best: bool) -> str:
    """Return the line that is kept of an evaluation."""
    at, last = ((number, made.epochs(number)) for number in (step, made.steps))
    return evaluated(at, last, metrics, ("loss", made.task.primary, made.monitor), best)


def _tested_state(subject: Subject, run: Run, executor: Executor, state: TrainState, why: str) -> TrainState:
    """Return the state to test: the best by validation where training had patience, else the last.

    why: why training stopped before its last step, "" where it did not.
    """
    made, step = subject.experiment, int(state.step)
    if why:
        run.log(f"stopped at step {step:,} of {made.steps:,}: {why}")
    if subject.patience:
        return subject.patience.best(state)
    best = processes.on_first_process(run.checkpoints.best) if made.patience is not None else None
    if best is None or best == step:
        return state
    return together.restore(run.checkpoints, best, made.abstract(), executor)


def goes_on(experiment: Experiment, report: Mapping[str, Any]) -> bool:
    """Say whether a run that ended before its last step is to go on: it is longer now, or its patience or time is."""
    if not report.get("stopped"):
        return bool(report["step"] < experiment.steps)
    then = report.get("patience"), report.get("minutes")
    return then != (experiment.patience, experiment.minutes)


def note_start(run: Run, state: TrainState, progress: Progress) -> RestartLog:
    """Record in the run folder that training starts, and from which step."""
    logged = training_seconds(lines(run.workdir / "metrics.jsonl"))
    step, file = int(state.step), run.workdir / "report.json"
    restarts = RestartLog(run.workdir, run.at, step, logged=logged, saved=progress.seconds, begun=run.begun)
    with suppress(OSError, ValueError):  # not finished before, or its report is damaged
        if step <= read_report(file)["step"]:
            restarts.mark_continued()
    return restarts


def report_of(
    subject: Subject, run: Run, executor: Executor, progress: Progress, restarts: RestartLog
) -> dict[str, Any]:
    """Return the report of any run: experiment, metrics, speed and environment."""
    made, last, best = subject.experiment, run.checkpoints.last() or 0, run.checkpoints.best()
    task, rate = made.task, last / progress.seconds
    return {
        "experiment": made.name,
        "knobs": dict(made.knobs),
        "data": list(made.dataset.notes),
        "step": last,
        "epoch": made.epochs(last),
        "stopped": progress.over(made.patience, made.minutes) if last < made.steps else "",
        "patience": made.patience,
        "minutes": made.minutes,
        "tested": "best" if made.patience is not None and best is not None else "last",
        "metrics": {split: subject.flat(values) for split, values in progress.metrics.items()},
        "primary": task.primary,
        "better": task.metrics[task.primary].better,
        "monitor": made.monitor,
        "best_step": best,
        "skipped": progress.skipped,
        "steps_per_second": rate,
        "examples_per_second": rate * made.batch_size,
        "training_seconds": progress.seconds,
        "compile_seconds": progress.compile_seconds,
        **restarts.cost(),
        **provenance.environment(executor.devices),
    }


def _save(subject: Subject, run: Run, state: TrainState, meta: Mapping[str, Any]) -> None:
    """Save a checkpoint; raise the fault of a finite loss with a gradient that is not."""
    made = subject.experiment
    try:
        run.checkpoints.save(state, {"monitor": made.monitor, "better": made.better, **meta})
    except NotFinite:
        raise _fault(subject, run, int(state.step)) from None


def _fault(subject: Subject, run: Run, step: int) -> Fault:
    """Return the fault of a number that is not finite, once the checkpoint it goes back to is saved."""
    assert subject.fault is not None
    run.checkpoints.wait()
    return subject.fault(step)


def _finite(sent: list[Sums]) -> bool:
    return all(np.isfinite(sums["loss"].total).all() for sums in sent)

"""Train an experiment in its run folder, from step 0 or the last checkpoint to the report."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from fdl.core.log import Log
from fdl.core.types import Sums, TrainState
from fdl.engine import baselines
from fdl.engine.error_rates import Decoded, error_rates
from fdl.engine.measures import Measures, gradient_norm
from fdl.engine.placement import initial_state, prepare
from fdl.engine.program import Evaluation, training
from fdl.experiment import Experiment
from fdl.modes import nonfinite
from fdl.modes.continuation import make_longer
from fdl.modes.describe import count
from fdl.modes.draw_answers import Samples, answers
from fdl.modes.draw_report import Pages, draw, model_summary
from fdl.modes.forecast import cost
from fdl.modes.next_commands import next_commands, what_next
from fdl.modes.training_loop import Subject, goes_on, introduce, note_start, report_of, resume, train_to_end
from fdl.parallel import processes
from fdl.parallel.devices import describe
from fdl.parallel.executors import Executor
from fdl.runs import atomic_files
from fdl.runs import workdir as run_folder
from fdl.runs.checkpoints.manager import Checkpoints
from fdl.runs.open_run import Existing, Run, open_run
from fdl.runs.progress_bar import brief
from fdl.runs.report.elements import speed
from fdl.runs.report.html import faults
from fdl.runs.stores.store import is_address
from fdl.runs.writers.record import Record
from fdl.runs.writers.writer import Writer
from fdl.trained import Report


def train(
    experiment: Experiment,
    workdir: Path | str,
    *,
    writers: Sequence[Writer] = (),
    log: Log | None = print,
    clock: Callable[[], float] = time.perf_counter,
) -> Report:
    """Train an experiment in a run folder and return its report, a mapping that can restore the trained model.

    Training starts at step 0 in a new folder, resumes at the last checkpoint if the folder holds this experiment, and
    is skipped if that is finished. Raises a ValueError if the parts do not fit or the folder holds another run, a Fault
    if a disk fails or a loss is not finite, and Stopped after a signal, when everything is saved.
    writers: take the metrics besides the files of the run folder; one that fails harms no training.
    log: takes each line for the user; None silences everything, the progress bar as well.
    """
    executor = prepare(experiment, trains=True)
    identity = experiment.identity()  # computed once: it may read whole files
    kept = partial(Checkpoints, better=experiment.better, monitor=experiment.monitor)
    existing = Existing(partial(goes_on, experiment), partial(make_longer, experiment, identity, log=log))
    with open_run(
        workdir, identity, executor.devices, make_checkpoints=kept, log=log, clock=clock, existing=existing
    ) as run:
        return Report(run.finished or train_in(run, experiment, executor, writers), folder_of(run, workdir), experiment)


def folder_of(run: Run, workdir: Path | str) -> Path:
    """Return the folder that a report restores from: of an address the working folder."""
    return run.workdir if is_address(workdir) else run_folder.local(workdir)


def train_in(run: Run, experiment: Experiment, executor: Executor, writers: Sequence[Writer] = ()) -> dict[str, Any]:
    """Train in an open run folder to the end, or until a stop is requested, and return the report."""
    introduce(run, experiment)
    test = Tested(experiment, executor, run.log)
    subject = subject_of(experiment, executor, run, test)
    state, progress = resume(subject, run, executor, experiment.abstract(), lambda: initial_state(experiment, executor))
    restarts = note_start(run, state, progress)
    pages = Pages(run, experiment, executor.devices)
    step, program = int(state.step), subject.program
    run.log(
        f"{experiment.name}: {experiment.steps} steps ({experiment.epochs(experiment.steps):.4g} epochs) of "
        f"{experiment.batch_size} examples on {describe(executor.devices)} by {executor.name}, "
        f"{subject.cadence().steps_per_call} a call, data {program.feed}"
        + (f"; goes on from step {step}" if step else "")
        + f"\n{cost(count(experiment.abstract().params), program.work, experiment.steps)}"
    )
    with Record(run.workdir, step, run.log, writers) as record:
        samples = Samples(experiment, executor, record, run.log, program.call)
        subject = replace(subject, refresh=refreshing(pages, samples))
        try:
            state = train_to_end(subject, run, executor, state, progress, restarts, record)
        except BaseException as error:
            pages.stopped(error, progress.metrics)
            raise

        report = report_of(subject, run, executor, progress, restarts)
        run.checkpoints.check()  # the folder may have been removed during the test
        report |= compared(run, [experiment], report)
        following = next_commands(experiment, run.workdir, report["best_step"])
        page = {**report, "model": model_summary(experiment), "next": following}
        shown = answers(experiment, executor, state, run.log, test.decoded)
        draw(run, page, experiment.dataset.spec.names, lambda: shown.sections)
        record.finish(report, shown.examples)
    atomic_files.write_json(run.workdir / "report.json", report)  # written last: it marks the run as finished
    run.log(conclusion(report, run.workdir, following))
    return report


class Tested:
    """The evaluation of the test split, with the error rates of its sequences where they are decoded for these.

    decoded: these sequences, once it was called; None where there are none.
    """

    def __init__(self, experiment: Experiment, executor: Executor, log: Log):
        self.measure = Evaluation(experiment, executor, "test")
        self.rates = partial(error_rates, experiment, executor, "test", log=log)
        self.decoded: Decoded | None = None

    def __call__(self, state: TrainState) -> tuple[TrainState, dict[str, Any]]:
        """Return the state and the metrics."""
        state, metrics = self.measure(state)
        state, rates, self.decoded = self.rates(state)
        return state, {**metrics, **rates}


def refreshing(pages: Pages, samples: Samples) -> Callable[[TrainState, int, Mapping[str, Any]], TrainState]:
    """Return what is shown after each evaluation: the page of the run, and examples for its writers."""

    def refresh(state: TrainState, step: int, metrics: Mapping[str, Any]) -> TrainState:
        pages.refresh(step, metrics)
        return samples(state, step)

    return refresh


def subject_of(experiment: Experiment, executor: Executor, run: Run, test: Tested) -> Subject:
    """Return the training loop's subject for one experiment. test: evaluates the test split."""
    task = experiment.task
    return Subject(
        experiment=experiment,
        program=training(experiment, executor),
        finish=lambda window: {**task.finish(window), **skipped(window), **gradient_norm(window)},
        evaluate={"validation": Evaluation(experiment, executor, "validation"), "test": test},
        flat=dict,
        score=lambda metrics: metrics[experiment.monitor],
        fault=lambda step: nonfinite.fault(experiment, run.checkpoints, run.workdir, step),
        measure=Measures(experiment, executor),
    )


def compared(run: Run, members: Sequence[Experiment], report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries of a report about an experiment's baselines, none where it has none.

    members: the experiment, or that of each fold, over which the metrics of a baseline are averaged.
    """
    experiment = members[0]
    if not experiment.baselines:
        return {}
    seconds = (time.process_time() - run.begun_cpu) / len(members)
    found = processes.on_first_process(
        lambda: baselines.averaged([baselines.measure_baselines(one, seconds, run.log) for one in members])
    )
    test = report["metrics"]["test"]
    metric = baselines.judged_by(report["primary"], test, found)
    numbers = experiment.dataset.spec.outputs if experiment.task.encode is not None else 1  # an example's, to predict
    said = baselines.verdict(test, test["n"] * numbers, metric, experiment.task.metrics[metric], found)
    return {"baselines": found, "judged_by": metric, "verdict": said}


def skipped(window: Sums) -> dict[str, int]:
    """Return the number of skipped non-finite steps, if any."""
    count = int(window["skipped"].total) if "skipped" in window else 0
    return {"skipped": count} if count else {}


def conclusion(report: Mapping[str, Any], workdir: Path, following: Sequence[str]) -> str:
    """Return the last lines of a run: test metrics with n, speed, cost of interruptions, folder, what next, verdict."""
    test = {**report["metrics"]["test"]}
    n = test.pop("n")
    skips = f"{report['skipped']:,} of {report['step']:,} updates skipped: not finite" if report["skipped"] else ""
    best = f"best by validation {report['monitor']}: step {report['best_step']}"
    which = f" (of the best state, step {report['best_step']})" if report["tested"] == "best" else ""
    parts = [
        f"test {brief(test)} n={n}{which}",
        *baselines.lines(report.get("baselines", ())),
        best if report["best_step"] is not None else "",
        speed(report["steps_per_second"]),
        skips,
        faults(report),
    ]
    ends = [f"run folder {workdir}", *what_next(following), report.get("verdict")]
    return "\n".join(filter(None, [*parts, *ends]))

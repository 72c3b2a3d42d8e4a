"""Training: the one loop of the framework, from a folder and a state to a report."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fdl.core import errors
from fdl.core.differences import differences
from fdl.core.errors import NotFinite
from fdl.core.types import Sums, TrainState, add_up
from fdl.engine.cadence import cadence_of
from fdl.engine.checks import check, check_memory
from fdl.engine.placement import first_state, make_executor
from fdl.engine.program import Evaluation, train_until_due, training
from fdl.experiment import Experiment
from fdl.modes import nonfinite
from fdl.modes.visualize_examples import show
from fdl.parallel import processes
from fdl.parallel.devices import describe, overlooked
from fdl.parallel.executors import Executor
from fdl.runs import atomic_files, lock, provenance
from fdl.runs import workdir as run_folder
from fdl.runs.atomic_files import write_text
from fdl.runs.checkpoints.manager import Checkpoints
from fdl.runs.checkpoints.saved import shared
from fdl.runs.interruptions import RestartLog
from fdl.runs.metrics_log import Record, lines, training_seconds
from fdl.runs.progress import Progress
from fdl.runs.progress_bar import bar, brief
from fdl.runs.report.html import faults, html
from fdl.runs.signals import Request, on_request


def train(
    experiment: Experiment,
    workdir: Path | str,
    *,
    log: Callable[[str], None] = print,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Any]:
    """Train an experiment in a run folder and return its report.

    The folder decides where training begins: at 0 if it is new, at its last checkpoint if it holds this experiment, and
    not at all if that is finished. Raises a ValueError where the parts do not fit or the folder holds another run, a
    Fault where a disk or a number fails, and Stopped after a signal, when everything is saved.
    """
    workdir = Path(workdir)
    executor = make_executor(experiment)
    check(experiment, executor.shares)
    check_memory(experiment, executor)
    identity = experiment.identity()  # once: it may read whole files
    processes.by_first(lambda: run_folder.refuse_stranger(workdir, identity))
    with processes.own(workdir) as own, lock.hold(own, log=log) as held, on_request(processes.count()) as request:
        run_folder.claim(own, identity, executor.devices)
        if report := processes.by_first(lambda: run_folder.finished(own, log)):
            return report
        better = experiment.task.metrics[experiment.task.primary].better
        checkpoints = Checkpoints(own / "checkpoints", better, run=run_folder.digest(identity), check_owner=held.check)
        try:
            with checkpoints:
                return run(experiment, executor, own, checkpoints, request, log, clock)
        except (ValueError, RuntimeError, MemoryError):
            if held.still():
                run_folder.disown(own)
            raise


def run(
    experiment: Experiment,
    executor: Executor,
    workdir: Path,
    checkpoints: Checkpoints,
    request: Request,
    log: Callable[[str], None],
    clock: Callable[[], float],
) -> dict[str, Any]:
    """Train in a folder that is this run's own, until the end or until a stop is requested."""
    if warning := overlooked():
        log(f"warning: {warning}")
    for line in experiment.dataset.notes:
        log(line)

    task, at, began = experiment.task, time.time(), time.perf_counter()
    if experiment.dataset.fitted:  # scales and vocabularies: what it takes to read new data the same way
        atomic_files.write_json(workdir / "dataset.json", dict(experiment.dataset.fitted))
    machine = provenance.machine(executor.name, executor.devices)
    state, progress = begin(experiment, executor, checkpoints, log)
    step = int(state.step)
    logged = training_seconds(lines(workdir / "metrics.jsonl"))
    restarts = RestartLog(workdir, at, step, logged=logged, saved=progress.seconds, begun=began)
    program = training(experiment, executor)
    due = cadence_of(
        experiment.steps, experiment.log_every, experiment.evaluate_every, experiment.save_every, program.steps_per_call
    )
    validation, test = (Evaluation(experiment, executor, split) for split in ("validation", "test"))
    log(
        f"{experiment.name}: {experiment.steps} steps ({experiment.epochs(experiment.steps):.4g} epochs) of "
        f"{experiment.batch_size} examples on {describe(executor.devices)} by {executor.name}, "
        f"{due.steps_per_call} a call, data {program.feed}" + (f"; goes on from step {step}" if step else "")
    )

    with Record(workdir, step, log) as record, bar(experiment.steps, step, "step", experiment.name) as shown:
        while step < experiment.steps:
            begun, compiled = clock(), program.call.compile_seconds
            state, step, sent = train_until_due(
                program.call, program.rows, state, step, due, shown.update, request.alone
            )
            request.agree(processes.largest)
            if experiment.nonfinite == "stop" and not all(np.isfinite(sums["loss"].total).all() for sums in sent):
                checkpoints.wait()
                raise nonfinite.fault(experiment, checkpoints, workdir, step)
            progress.window = add_up(sent, progress.window)
            progress.count_skipped(sent)
            compiled = program.call.compile_seconds - compiled
            progress.compile_seconds += compiled
            progress.seconds += clock() - begun - compiled
            restarts.mark_running()  # not counted as training: it waits for the disk

            epoch = experiment.epochs(step)
            if experiment.nonfinite == "stop":
                progress.raise_if_hopeless(step)
            if due.logs(step):
                progress.metrics["train"] = {**task.finish(progress.window), **skipped(progress.window)}
                progress.window = {}
                record.write("train", step, epoch, {**progress.metrics["train"], "seconds": progress.seconds})
                shown.set_postfix_str(brief(progress.metrics["train"]), refresh=False)
            if due.evaluates(step):
                state, progress.metrics["validation"] = validation(state)
                record.write("validation", step, epoch, progress.metrics["validation"])
            checkpoints.check()
            if due.saves(step) or request.made():
                record.flush()
                score = progress.metrics["validation"][task.primary] if due.evaluates(step) else None
                try:
                    meta = {"score": score, "machine": machine, **progress.as_json()}
                    checkpoints.save(state, meta)
                except NotFinite:  # the gradient of a finite loss
                    raise nonfinite.fault(experiment, checkpoints, workdir, step) from None
            request.obey(step, experiment.steps, checkpoints.wait)

        checkpoints.wait()
        progress.raise_if_nothing_learned(step)
        state, progress.metrics["test"] = test(state)
        record.write("test", step, experiment.epochs(step), progress.metrics["test"])

    report = {
        "experiment": experiment.name,
        "knobs": dict(experiment.knobs),
        "step": step,
        "epoch": experiment.epochs(step),
        "metrics": progress.metrics,
        "primary": task.primary,
        "better": task.metrics[task.primary].better,
        "best_step": checkpoints.best(),
        "skipped": progress.skipped,
        "steps_per_second": step / progress.seconds,
        "examples_per_second": step * experiment.batch_size / progress.seconds,
        "training_seconds": progress.seconds,
        "compile_seconds": progress.compile_seconds,
        **restarts.cost(),
        **provenance.environment(executor.devices),
    }
    checkpoints.check()  # the folder may have gone during the test
    draw(report, experiment, executor, state, workdir, log)
    atomic_files.write_json(workdir / "report.json", report)  # the last of all: it says that the run is finished
    log(conclusion(report, workdir))
    return report


def draw(
    report: Mapping[str, Any],
    experiment: Experiment,
    executor: Executor,
    state: TrainState,
    workdir: Path,
    log: Callable[[str], None],
) -> None:
    """Write report.html, or say why not: a page that cannot be drawn is no reason to have no numbers."""
    try:
        visualized = show(experiment, executor, state)
        page = html(report, lines(workdir / "metrics.jsonl"), experiment.dataset.spec.names, visualized)
    except Exception as error:
        log(
            f"warning: report.html is not drawn ({type(error).__name__}: {errors.brief(error)}); report.json has it all"
        )
    else:
        write_text(workdir / "report.html", page)


def skipped(window: Sums) -> dict[str, int]:
    """Return how many steps were skipped for not being finite, where any were."""
    count = int(window["skipped"].total) if "skipped" in window else 0
    return {"skipped": count} if count else {}


def begin(
    experiment: Experiment, executor: Executor, checkpoints: Checkpoints, log: Callable[[str], None]
) -> tuple[TrainState, Progress]:
    """Return the placed state and the story of the newest sound checkpoint, or of step 0 where there is none."""
    like = experiment.abstract()
    found = shared(checkpoints.resume(like, log), like)
    if found is None:
        return first_state(experiment, executor), Progress()
    here = provenance.machine(executor.name, executor.devices)
    if changed := differences(found.meta["machine"], here):
        log(f"warning: not bitwise what an uninterrupted run gives: {'; '.join(changed)}")
    return executor.put_state(found.state), Progress.from_json(found.meta)


def conclusion(report: Mapping[str, Any], workdir: Path) -> str:
    """Return the last lines of a run: the test metrics with n, the speed, what interruptions cost, the folder."""
    test = {**report["metrics"]["test"]}
    n = test.pop("n")
    skips = f"{report['skipped']:,} of {report['step']:,} updates skipped: not finite" if report["skipped"] else ""
    said = [f"test {brief(test)} n={n}", f"{report['steps_per_second']:,.0f} steps/s", skips, faults(report)]
    return "\n".join([*filter(None, said), f"run folder {workdir}"])

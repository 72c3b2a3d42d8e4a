"""Train a population: many members as one program in one run folder."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from fdl.core.errors import UserError
from fdl.core.log import Log
from fdl.core.steps import fuse
from fdl.core.types import PyTree, Task, TrainState
from fdl.data import Source
from fdl.data.validate import check_source, rule_of
from fdl.engine import baselines
from fdl.engine.checks import check
from fdl.engine.member_metrics import Members, best_of, metrics_of, score_of, spread
from fdl.engine.member_patience import MemberPatience
from fdl.engine.population import Population
from fdl.engine.program import Training, add_up_calls, steps_per_call, work_of
from fdl.modes.describe import count
from fdl.modes.draw_report import draw
from fdl.modes.forecast import cost
from fdl.modes.next_commands import next_commands, what_next
from fdl.modes.train import compared
from fdl.modes.training_loop import Subject, introduce, keep_model, note_start, report_of, resume, train_to_end
from fdl.parallel import executors, processes
from fdl.parallel.compiled import Call
from fdl.parallel.devices import describe, find
from fdl.parallel.executors import Executor
from fdl.runs import atomic_files
from fdl.runs import workdir as run_folder
from fdl.runs.atomic_files import write_text
from fdl.runs.checkpoints.manager import Checkpoints
from fdl.runs.metrics_log import lines
from fdl.runs.open_run import Run, open_run
from fdl.runs.report import svg_plot
from fdl.runs.report.elements import speed
from fdl.runs.writers.record import Record
from fdl.runs.writers.writer import Writer


def train_population(
    population: Population,
    workdir: Path | str,
    *,
    writers: Sequence[Writer] = (),
    log: Log | None = print,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Any]:
    """Train all members at once and return the report: mean, standard deviation, each member, the best.

    The folder is that of one run and is resumed likewise. With patience each member stops by its own validation score,
    is tested on its best state, and the run ends when all have stopped. The best member's state is saved in `best/`,
    itself a run folder. The data is resident, members are split over devices, and there is no communication between
    them. writers: as in `train`; they take the mean, the standard deviation and the list over members of each metric.
    """
    first, size = population.member(0), len(population)
    if processes.count() > 1:
        raise UserError(f"a population runs in one process and there are {processes.count()}; leave out --distributed")
    if first.executor == "pmap" or first.mesh:
        raise UserError("a population is spread over devices by its members; leave out --executor=pmap and --mesh")
    devices = find(first.accelerator)[: 1 if first.executor == "jit" else None]
    executor = executors.members(devices[: math.gcd(size, len(devices))])
    check(first, 1)
    for numbers in population.values.values():
        for index in (numbers.argmin(), numbers.argmax()):  # pages refuse values beyond bounds, so the extremes suffice
            population.member(int(index))
    identity = {**first.identity(), **{knob: numbers.tolist() for knob, numbers in population.values.items()}}
    if first.patience is not None:  # a stopped member is not trained further, as one run is by more patience
        identity["patience"] = first.patience
    kept = partial(Checkpoints, better=None, finite=False)  # one member may diverge
    with open_run(workdir, identity, executor.devices, make_checkpoints=kept, log=log, clock=clock) as run:
        return run.finished or train_in(run, population, executor, len(devices), writers)


def train_in(
    run: Run, population: Population, executor: Executor, devices: int, writers: Sequence[Writer] = ()
) -> dict[str, Any]:
    """Train in an open run folder to the end, or until a stop is requested, and return the report.

    devices: number of available devices, of which the executor may use fewer.
    """
    first, size = population.member(0), len(population)
    introduce(run, first)
    patience = MemberPatience(
        population=population, executor=executor, score=partial(score_of, first.monitor), log=run.log
    )
    subject = subject_of(population, executor, patience if first.patience else None)
    state, progress = resume(
        subject, run, executor, population.abstract(), lambda: executor.put_state(population.init())
    )
    restarts = note_start(run, state, progress)
    step = int(state.step)
    run.log(
        f"{first.name}: {size} members that differ in {', '.join(population.values)}, {first.steps} steps of "
        f"{first.batch_size} examples each, on {describe(executor.devices)}"
        + (f" of {devices}" if len(executor.devices) < devices else "")
        + (f"; goes on from step {step}" if step else "")
        + f"\n{cost(count(first.abstract().params), subject.program.work, first.steps, size)}"
    )
    with Record(run.workdir, step, run.log, writers) as record:
        state = train_to_end(subject, run, executor, state, progress, restarts, record)
        steps = patience.steps(state) if first.patience else None
        report = report_of(subject, run, executor, progress, restarts)
        report |= measured(population, progress.metrics, steps, report)
        report |= compared(run, [population.member(i) for i in range(population.folds or 1)], report)
        made = population.member(report["best"])
        kept = save_member(population, report, state, run.workdir / "best", executor.devices)
        following = next_commands(made, run.workdir / "best", kept)
        run.checkpoints.check()
        plotted = partial(plots, population, first.task, run, progress.metrics["validation"])
        draw(run, {**report, "next": following}, None, plotted)
        record.finish(report, {})
    atomic_files.write_json(run.workdir / "report.json", report)
    run.log("\n".join([conclusion(report, first.task, population, run.workdir), *what_next(following)]))
    return report


def measured(
    population: Population, metrics: Mapping[str, Members], steps: list[int] | None, report: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the entries of a report about the members and the best of them by validation.

    steps: of the state of each member that was tested, None where it is the last of all.
    """
    first, size = population.member(0), len(population)
    members = [
        {**population.settings(i), **{split: metrics[split][i] for split in ("validation", "test")}}
        for i in range(size)
    ]
    if steps is not None:
        members = [{**member, "step": at} for member, at in zip(members, steps, strict=True)]
    return {
        "tested": "last" if steps is None else "best",
        "members": members,
        "best": best_of([score_of(first.monitor, found) for found in metrics["validation"]], first.better),
        "member_steps_per_second": size * report["steps_per_second"],
    }


def subject_of(population: Population, executor: Executor, patience: MemberPatience | None) -> Subject:
    """Return the training loop's subject for a population; metrics are lists over members."""
    first, size = population.member(0), len(population)
    source = checked(population, "train")
    refuse_other_data(population, source.arrays)
    source = source.flat()
    work = work_of(first)
    program = Training(
        call=Call(executor, fuse(population.training_step(source.take)), (dict(population.values), source.arrays)),
        rows=population.training_rows,
        steps_per_call=first.steps_per_call or steps_per_call(first, executor, work),
        feed="resident: a population's data always is",
        work=work,
    )
    return Subject(
        experiment=first,
        program=program,
        finish=lambda window: metrics_of(first.task, window, size, "train"),
        evaluate={split: evaluation(population, executor, split) for split in ("validation", "test")},
        flat=spread,
        score=lambda _: None,
        fault=None,
        patience=patience,
    )


def checked(population: Population, split: str) -> Source:
    """Return the examples of a split in memory; raise a ValueError if one violates its spec or the task's rule."""
    first, source = population.member(0), population.source(split)
    check_source(source, first.dataset.spec, first.dataset.name, split, rule_of(first.task, first.dataset))
    return source


def refuse_other_data(population: Population, arrays: PyTree) -> None:
    """Raise a ValueError if the last member, which differs in every varied knob, has different data."""
    last = replace(population, values={knob: numbers[-1:] for knob, numbers in population.values.items()})
    others = last.source("train").arrays
    same = jax.tree.map(
        lambda a, b: a.shape == b.shape and np.array_equal(a, b, equal_nan=a.dtype.kind == "f"), arrays, others
    )
    if not all(jax.tree.leaves(same)):
        raise UserError(
            f"members share their data, and {' or '.join(population.values)} changes it; --sweep varies anything"
        )


def evaluation(
    population: Population, executor: executors.Executor, split: str
) -> Callable[[TrainState], tuple[TrainState, Members]]:
    """Return the evaluation of one split: `states -> (states, metrics of each member)`."""
    first, size = population.member(0), len(population)
    source = checked(population, split).flat()
    call = Call(executor, fuse(population.evaluation_step(source.take)), (dict(population.values), source.arrays))
    batch_size = first.evaluate_batch_size or first.batch_size

    def evaluate(state: TrainState) -> tuple[TrainState, Members]:
        state, added = add_up_calls(call, state, population.evaluation_rows(split, batch_size))
        return state, metrics_of(first.task, added, size, split)

    return evaluate


def save_member(
    population: Population,
    report: Mapping[str, Any],
    state: TrainState,
    run_dir: Path,
    devices: tuple[jax.Device, ...],
) -> int:
    """Save the state of the best member as a run folder that every mode can read, and return its step."""
    index: int = report["best"]
    made = population.member(index)
    run_folder.claim(run_dir, made.identity(), devices)
    keep_model(run_dir, made)
    member = TrainState(state.step, *jax.tree.map(lambda leaf: leaf[index], tuple(state)[1:]))
    if population.patience:
        member = member._replace(step=member.opt_state.best.step, opt_state=member.opt_state.inner)
    checkpoints = Checkpoints(  # all may have diverged
        run_dir / "checkpoints", "higher", finite=False, run=run_folder.digest(run_dir)
    )
    checkpoints.save(member, {"score": score_of(made.monitor, report["members"][index]["validation"])})
    checkpoints.wait()
    return int(member.step)


def plots(population: Population, task: Task, run: Run, found: Members) -> dict[str, str]:
    """Return and write plots of the primary metric: per member over the steps, and over each varied knob.

    Heading -> SVG; the files are members.svg and one per knob.
    """
    name = task.primary
    curve = [line for line in lines(run.workdir / "metrics.jsonl") if line["split"] == "validation"]
    curve = [line for line in curve if len(line.get(f"{name}_members", ())) == len(population)]
    series = [[_number(line[f"{name}_members"][i]) for line in curve] for i in range(len(population))]
    members = svg_plot.lines([line["step"] for line in curve], series, x="step", y=name)
    write_text(run.workdir / "members.svg", members)
    drawn = {f"Validation {name} of each member": members}
    for knob, numbers in population.values.items():
        if knob != "seed":
            scores = [member[name] for member in found]
            drawn[f"Validation {name} by {knob}"] = svg_plot.points(numbers.tolist(), scores, x=knob, y=name)
            write_text(run.workdir / f"{knob}.svg", drawn[f"Validation {name} by {knob}"])
    return drawn


def _number(value: float | None) -> float:
    """Return a number of a JSON file, in which null stands for a non-finite value."""
    return math.nan if value is None else value


def conclusion(report: Mapping[str, Any], task: Task, population: Population, workdir: Path) -> str:
    """Return the last lines of a run: mean and deviation, baselines, best member, speed, folder, verdict."""
    test, name = report["metrics"]["test"], task.primary
    first = population.member(0)
    best = report["members"][report["best"]]
    settings = ", ".join(f"{knob}={value:.4g}" for knob, value in population.settings(report["best"]).items())
    left_out = test.get(f"{name}_left_out", [])
    without = f" (without {', '.join(f'member {i}' for i in left_out)}: not finite)" if left_out else ""
    at = f", step {best['step']}" if "step" in best else ""
    held = report["metrics"]["validation"]
    chosen = ", which chose the step as well" if first.patience is not None else ""
    parts = [
        f"held out {name} {held[name]:.4g} ± {held[f'{name}_std']:.2g} over {population.folds} folds, each row of "
        f"train and validation in one{chosen}"
        if population.folds
        else "",
        f"test {name} {test[name]:.4g} ± {test[f'{name}_std']:.2g} over {len(population) - len(left_out)} members "
        f"n={test['n']:.0f}{without}",
        *baselines.lines(report.get("baselines", ())),
        f"best by validation {report['monitor']}: {settings}{at}, test {name} {best['test'][name]:.4g}, "
        f"kept in {workdir / 'best'}",
        f"{speed(report['member_steps_per_second'])} over all members",
        f"run folder {workdir}",
        report.get("verdict"),
    ]
    return "\n".join(filter(None, parts))

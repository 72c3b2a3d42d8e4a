"""Trackers of other packages as writers: Weights & Biases, MLflow and Trackio, each imported when it is used.

A run is one run of its tracker, also when it goes on: the folder keeps which in `tracking.json`. Tags are SPLIT/METRIC.
"""

import re
import time
from collections.abc import Callable, Container, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any
from uuid import uuid4

from fdl.core.errors import UserError
from fdl.runs.atomic_files import read_json, write_json
from fdl.runs.report.gallery import Example
from fdl.runs.workdir import TRACKING
from fdl.runs.writers.pictures import markdown, sheet, table
from fdl.runs.writers.writer import Examples, RunInfo, Writer, scalars

PATIENCE = 60.0  # seconds at the end of a run for what was not sent yet

_KEEPING = Lock()  # of the threads of several trackers, which share the file

Kept = dict[str, str]  # what a tracker finds its run again by
Lines = Container[tuple[str, int]]  # splits and steps


class Tracker(Writer):
    """A writer that works in a thread of its own, since a network may be slow or gone; its failure is raised later.

    Each split and step is sent once: what the tracker has already is not sent again, and what it lacks of the steps
    before a resume is sent then.
    """

    package = ""
    failed: Exception | None = None
    thread: Thread | None = None

    def open(self, run: RunInfo, kept: Kept) -> Kept:
        """Make a run of the tracker, or open the one that `kept` names, and return what it is found again by."""
        raise NotImplementedError

    def known(self, run: RunInfo) -> Lines:
        """Return what the tracker has of this run already."""
        raise NotImplementedError

    def send(self, step: int, values: Mapping[str, float]) -> None:
        """Send values by tag."""
        raise NotImplementedError

    def show(self, step: int, tag: str, examples: Sequence[Example]) -> None:
        """Send examples of the test split with predictions."""
        raise NotImplementedError

    def end(self, status: str) -> None:
        """Finish the tracker's run; status: finished, stopped or failed."""
        raise NotImplementedError

    def start(self, run: RunInfo) -> None:
        """Start the thread, which opens the tracker's run and sends what that lacks."""
        self.step, self.queue = run.step, SimpleQueue[Callable[[], None] | None]()
        self.thread = Thread(target=self._work, name=f"fdl-{self.package}", daemon=True)
        self.thread.start()
        self._do(self._open, run)
        for line in run.history:
            self._do(self._line, line)

    def write(self, split: str, step: int, epoch: float, values: Mapping[str, Any]) -> None:
        """Send the numbers of a line."""
        self.step = step
        self._do(self._line, {"step": step, "epoch": epoch, "split": split, **values})

    def flush(self) -> None:
        """Raise what failed."""
        if self.failed is not None:
            raise self.failed

    def finish(self, report: Mapping[str, Any], examples: Examples) -> None:
        """Send the examples."""
        for title, shown in examples.items():
            if shown:
                self._do(self.show, self.step, "test/" + re.sub(r"\W+", "_", title.partition(",")[0]).lower(), shown)

    def close(self, error: BaseException | None) -> None:
        """End the tracker's run once all is sent; raise a TimeoutError where that takes over a minute."""
        if self.thread is None or self.failed is not None:
            return
        stopped = isinstance(error, KeyboardInterrupt)
        self._do(self.end, "finished" if error is None else "stopped" if stopped else "failed")
        self.queue.put(None)
        self.thread.join(PATIENCE)
        if self.thread.is_alive():
            raise TimeoutError(f"not all is sent after {PATIENCE:.0f} seconds")
        self.flush()

    def _do(self, call: Callable[..., None], *args: Any) -> None:
        self.flush()
        self.queue.put(partial(call, *args))

    def _work(self) -> None:
        while (call := self.queue.get()) is not None:
            try:
                call()
            except Exception as error:
                self.failed = error
                return

    def _open(self, run: RunInfo) -> None:
        file = run.workdir / TRACKING
        kept = self.open(run, _all_kept(file).get(self.package, {}))
        with _KEEPING:
            write_json(file, {**_all_kept(file), self.package: kept})
        self.lines = self.known(run)

    def _line(self, line: Mapping[str, Any]) -> None:
        split, step = line["split"], line["step"]
        if (split, step) not in self.lines:
            numbers = scalars({name: value for name, value in line.items() if name not in ("step", "split")})
            self.send(step, {f"{split}/{name}": value for name, value in numbers.items()})


class Wandb(Tracker):
    """Weights & Biases; WANDB_PROJECT, WANDB_MODE=offline and its other settings are followed.

    An offline run that goes on is written anew, whole and under the same id: the last one is to be synced.
    """

    package = "wandb"

    def start(self, run: RunInfo) -> None:
        """Ask for a login where that is missing, while nothing is trained yet."""
        import wandb

        if wandb.setup().settings.mode not in ("offline", "disabled"):
            wandb.login()
        super().start(run)

    def open(self, run: RunInfo, kept: Kept) -> Kept:
        """Open a run by an id that is chosen here, so that a second start finds it."""
        import wandb

        project = re.sub(r"[/\\#?%:]", "-", run.project)
        kept = kept or {"id": uuid4().hex[:8], "project": wandb.setup().settings.project or project}
        self.run = wandb.init(
            **kept,
            name=run.name,
            config={**run.config, "workdir": str(run.workdir)},
            resume="allow",
            reinit="create_new",
            settings=wandb.Settings(console="off"),  # the terminal is the run's
        )
        return kept

    def known(self, run: RunInfo) -> Lines:
        """Return nothing: it has what is before its next step, which `send` compares with."""
        return ()

    def send(self, step: int, values: Mapping[str, float]) -> None:
        """Add values to the row of a step, unless it has a later one: rows cannot be changed."""
        if step >= self.run.step:
            self.run.log(dict(values), step=step)

    def show(self, step: int, tag: str, examples: Sequence[Example]) -> None:
        """Log a picture, or a table."""
        import wandb

        page, (head, rows) = sheet(examples), table(examples)
        self.run.log({tag: wandb.Image(page) if page else wandb.Table(head, rows)}, step=step)

    def end(self, status: str) -> None:
        """Finish the run."""
        self.run.finish(exit_code=int(status == "failed"))


class Mlflow(Tracker):
    """MLflow; MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME and its other settings are followed."""

    package = "mlflow"

    def open(self, run: RunInfo, kept: Kept) -> Kept:
        """Open a run by its id."""
        import os

        from mlflow import MlflowClient

        self.client = MlflowClient()
        if kept:
            self.client.update_run(kept["run"], status="RUNNING")
        else:
            name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or run.project
            known = self.client.get_experiment_by_name(name)
            experiment = known.experiment_id if known else self.client.create_experiment(name)
            kept = {"run": self.client.create_run(experiment, run_name=run.name).info.run_id}
            for knob, value in {**run.config, "workdir": run.workdir}.items():
                self.client.log_param(kept["run"], _plain(knob), str(value)[:500])
        self.run = kept["run"]
        return kept

    def known(self, run: RunInfo) -> Lines:
        """Return the steps of every metric of the run."""
        tags = self.client.get_run(self.run).data.metrics
        histories = {tag: self.client.get_metric_history(self.run, tag) for tag in tags}
        return {(tag.partition("/")[0], each.step) for tag, history in histories.items() for each in history}

    def send(self, step: int, values: Mapping[str, float]) -> None:
        """Log a batch, which is there as a whole or not at all."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self.client.log_batch(self.run, metrics=[Metric(_plain(tag), x, now, step) for tag, x in values.items()])

    def show(self, step: int, tag: str, examples: Sequence[Example]) -> None:
        """Log an artifact: a picture, or a table in Markdown."""
        page = sheet(examples)
        if page:
            self.client.log_image(self.run, page, f"{tag}.png")
        else:
            self.client.log_text(self.run, markdown(examples), f"{tag}.md")

    def end(self, status: str) -> None:
        """Set the status."""
        self.client.set_terminated(self.run, {"finished": "FINISHED", "stopped": "KILLED"}.get(status, "FAILED"))


class Trackio(Tracker):
    """Trackio; TRACKIO_DIR, TRACKIO_SPACE_ID and its other settings are followed."""

    package = "trackio"

    def open(self, run: RunInfo, kept: Kept) -> Kept:
        """Open a run by its name, of which the latest is resumed."""
        import trackio

        resume = "allow" if kept else "never"
        kept = kept or {"project": run.project, "name": run.name}
        config = {**run.config, "workdir": str(run.workdir)}
        self.run = trackio.init(**kept, config=config, resume=resume, embed=False)
        return kept

    def known(self, run: RunInfo) -> Lines:
        """Return the steps in the database of this machine; a Space or a server is not asked."""
        from trackio.sqlite_storage import SQLiteStorage

        logs = SQLiteStorage.get_logs(self.run.project, self.run.name, run_id=self.run.id)
        return {(tag.partition("/")[0], row["step"]) for row in logs for tag in row if "/" in tag}

    def send(self, step: int, values: Mapping[str, float]) -> None:
        """Log a row."""
        self.run.log(dict(values), step=step)

    def show(self, step: int, tag: str, examples: Sequence[Example]) -> None:
        """Log a picture, or a table in Markdown."""
        import trackio

        page = sheet(examples)
        self.run.log({tag: trackio.Image(page) if page else trackio.Markdown(markdown(examples))}, step=step)

    def end(self, status: str) -> None:
        """Finish the run."""
        self.run.finish()


TRACKERS: Mapping[str, Callable[[], Tracker]] = {"wandb": Wandb, "mlflow": Mlflow, "trackio": Trackio}


def trackers(*names: str) -> list[Tracker]:
    """Return the writers of these packages: wandb, mlflow, trackio.

    Raises a UserError for one that is unknown or not installed.
    """
    for name in names:
        if name not in TRACKERS:
            raise UserError(f"--track={name} is none of {', '.join(TRACKERS)}; choose of these, or write a fdl.Writer")
        spec = find_spec(name)
        if spec is None or spec.origin is None:  # a folder of that name, which wandb makes where it is used
            raise UserError(f"--track={name} needs the package {name}; pip install 'fdl[{name}]', or leave it out")
    return [TRACKERS[name]() for name in dict.fromkeys(names)]


def _all_kept(file: Path) -> dict[str, Kept]:
    return dict(read_json(file)) if file.exists() else {}


def _plain(name: str) -> str:
    """Return a name with the characters that MLflow takes."""
    return re.sub(r"[^\w\-./ ]", "_", name)

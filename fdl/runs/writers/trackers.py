"""Trackers of other packages as writers: Weights & Biases, MLflow and Trackio, each imported when it is used.

A run is one run of its tracker, also when it goes on: the folder keeps which in `tracking.json`. Tags are SPLIT/METRIC.
"""

import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from uuid import uuid4

from fdl.core.errors import UserError
from fdl.runs.report.gallery import Example
from fdl.runs.writers.pictures import markdown, sheet, table
from fdl.runs.writers.tracker import Kept, Lines, Row, Tracker
from fdl.runs.writers.writer import RunInfo

BATCH = 1000  # metrics that MLflow takes at once


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

    def make(self, run: RunInfo) -> Kept:
        """Return an id that is chosen here, and the project."""
        import wandb

        project = re.sub(r"[/\\#?%:]", "-", run.project)
        return {"id": uuid4().hex[:8], "project": wandb.setup().settings.project or project}

    def open(self, run: RunInfo, kept: Kept, new: bool) -> None:
        """Open the run of an id, or make it."""
        import wandb

        self.run = wandb.init(
            **kept,
            name=run.name,
            config={**run.config, "workdir": str(run.workdir)},
            resume="allow",
            reinit="create_new",
            settings=wandb.Settings(console="off"),  # the terminal is the run's
        )

    def known(self, run: RunInfo) -> Lines:
        """Return nothing: it has what is before its next step, which `send` compares with."""
        return ()

    def send(self, rows: Sequence[Row]) -> None:
        """Add values to the row of a step, unless it has a later one: rows cannot be changed."""
        for step, values in rows:
            if step >= self.run.step:
                self.run.log(dict(values), step=step)

    def send_examples(self, step: int, tag: str, examples: Sequence[Example]) -> None:
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

    def make(self, run: RunInfo) -> Kept:
        """Make a run in the experiment of its project, and return its id."""
        from mlflow import MlflowClient

        client, name = MlflowClient(), os.environ.get("MLFLOW_EXPERIMENT_NAME") or run.project
        known = client.get_experiment_by_name(name)
        experiment = known.experiment_id if known else client.create_experiment(name)
        return {"run": client.create_run(experiment, run_name=run.name).info.run_id}

    def open(self, run: RunInfo, kept: Kept, new: bool) -> None:
        """Open a run by its id, and log its parameters, which may be logged again where they are equal."""
        from mlflow import MlflowClient

        self.client, self.run = MlflowClient(), kept["run"]
        self.client.update_run(self.run, status="RUNNING")
        for knob, value in run.config.items():
            self.client.log_param(self.run, _plain(knob), str(value)[:500])

    def known(self, run: RunInfo) -> Lines:
        """Return the steps of every metric of the run."""
        tags = self.client.get_run(self.run).data.metrics
        histories = {tag: self.client.get_metric_history(self.run, tag) for tag in tags}
        return {(tag.partition("/")[0], each.step) for tag, history in histories.items() for each in history}

    def send(self, rows: Sequence[Row]) -> None:
        """Log a batch, which is there as a whole or not at all, unless it is too large for one."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(_plain(tag), value, now, step) for step, values in rows for tag, value in values.items()]
        for begin in range(0, len(metrics), BATCH):
            self.client.log_batch(self.run, metrics=metrics[begin : begin + BATCH])

    def send_examples(self, step: int, tag: str, examples: Sequence[Example]) -> None:
        """Log an artifact for each step, of the test split for its one: a picture, or a table in Markdown."""
        page, name = sheet(examples), tag if tag.startswith("test/") else f"{tag}/{step:09}"
        if page:
            self.client.log_image(self.run, page, f"{name}.png")
        else:
            self.client.log_text(self.run, markdown(examples), f"{name}.md")

    def end(self, status: str) -> None:
        """Set the status."""
        self.client.set_terminated(self.run, {"finished": "FINISHED", "stopped": "KILLED"}.get(status, "FAILED"))


class Trackio(Tracker):
    """Trackio; TRACKIO_DIR, TRACKIO_SPACE_ID and its other settings are followed."""

    package = "trackio"

    def make(self, run: RunInfo) -> Kept:
        """Return the project and the name of a run."""
        return {"project": run.project, "name": run.name}

    def open(self, run: RunInfo, kept: Kept, new: bool) -> None:
        """Open a run by its name, of which the latest is gone on with, or make it."""
        import trackio

        config = {**run.config, "workdir": str(run.workdir)}
        self.run = trackio.init(**kept, config=config, resume="never" if new else "allow", embed=False)

    def known(self, run: RunInfo) -> Lines:
        """Return the steps in the database of this machine; a Space or a server is not asked."""
        from trackio.sqlite_storage import SQLiteStorage

        logs = SQLiteStorage.get_logs(self.run.project, self.run.name, run_id=self.run.id)
        return {(tag.partition("/")[0], row["step"]) for row in logs for tag in row if "/" in tag}

    def send(self, rows: Sequence[Row]) -> None:
        """Log each step."""
        for step, values in rows:
            self.run.log(dict(values), step=step)

    def send_examples(self, step: int, tag: str, examples: Sequence[Example]) -> None:
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


def _plain(name: str) -> str:
    """Return a name with the characters that MLflow takes."""
    return re.sub(r"[^\w\-./ ]", "_", name)

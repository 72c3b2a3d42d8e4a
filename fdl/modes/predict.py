"""Write a trained model's predictions for a split or a file, one line per example.

Shape legend: B batch.
"""

import csv
import zipfile
from collections.abc import Callable, Iterator, Mapping
from itertools import tee
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from fdl.core import steps
from fdl.core.errors import UserError
from fdl.data.dataset import LazySource, Source, Spec, columns
from fdl.data.validate import check_values
from fdl.engine import loader
from fdl.engine.checks import evaluate_batch_size
from fdl.engine.placement import prepare
from fdl.engine.program import each_call
from fdl.experiment import Experiment
from fdl.modes.evaluate import trained
from fdl.parallel.compiled import Call
from fdl.runs.atomic_files import json_text, whole
from fdl.runs.workdir import local

WRITERS = (".jsonl", ".csv")
FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def predict(
    experiment: Experiment,
    workdir: Path | str,
    *,
    split: str = "test",
    input: str | None = None,
    output: str | None = None,
    checkpoint: Literal["last", "best"] = "last",
    log: Callable[[str], None] = print,
) -> Path:
    """Write the predictions of a run's checkpoint and return the file.

    split:  the examples to predict; each line includes the target if that is a single number.
    input:  instead, an .npy file of inputs [n, ...] in the dataset's format, or an .npz file of them by name.
    output: a .jsonl or .csv file; by default predictions-SPLIT.jsonl in the run folder.
    A line holds the row and the task's predictions: a class, its name and the probabilities, or a value in the units of
    the targets.
    """
    workdir = local(workdir)
    if input and split != "test":
        raise UserError(f"--split={split} and --input={input} both select examples; leave one of them out")
    target = Path(output) if output else workdir / f"predictions-{Path(input).stem if input else split}.jsonl"
    if target.suffix not in WRITERS:
        raise UserError(f"--output={output} has no known format; end it in {' or '.join(WRITERS)}")
    refuse_precious(target)
    executor = prepare(experiment)
    source = read(Path(input), experiment) if input else experiment.dataset.load(split)
    step, state = trained(experiment, workdir, checkpoint, log)
    state = executor.put_state(state)
    answer = steps.prepare(steps.predict_step(experiment.model, experiment.task), experiment.dataset.transform)
    call = Call(executor, steps.fuse(answer))

    def lines() -> Iterator[dict[str, Any]]:
        all_rows = loader.evaluation_rows(
            batch_size=evaluate_batch_size(experiment, executor.num_shards), size=len(source)
        )
        batches, sent = tee(map(source.fetch, all_rows.indices))
        chunks = (jax.tree.map(lambda x: np.asarray(x)[None], batch) for batch in sent)
        called = each_call(call, state, chunks)
        for indices, weights, batch, (_, found) in zip(*all_rows, batches, called, strict=True):
            answers = {name: np.asarray(column[0]) for name, column in found.items()}
            targets = None if input else batch.targets
            for i in np.flatnonzero(weights):
                yield line(int(indices[i]), targets, answers, int(i), experiment.dataset.spec)

    target.parent.mkdir(parents=True, exist_ok=True)
    write(target, lines())
    log(f"step {step}: {len(source)} predictions in {target}")
    return target


def refuse_precious(target: Path) -> None:
    """Raise a ValueError if predictions would overwrite another kind of file, such as a log or the data."""
    if target.exists():
        first = b"a folder or a pipe"
        if target.is_file():
            with target.open("rb") as file:
                first = file.read(6)
        if first and not first.startswith((b'{"row"', b"row,")):
            raise UserError(f"--output={target} is there and holds no predictions; choose another file, or remove it")


def read(file: Path, experiment: Experiment) -> Source | LazySource:
    """Return the examples of an .npy or .npz file; raise a ValueError if shapes differ from the dataset's inputs."""
    if not file.is_file() or file.suffix not in (".npy", ".npz"):
        raise UserError(f"--input={file} is no .npy or .npz file; save the inputs as one with numpy.save")
    try:
        loaded = np.load(file, allow_pickle=False)
        inputs: Any = dict(loaded) if file.suffix == ".npz" else loaded
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"--input={file} holds no arrays of numbers: {str(error).splitlines()[0]}") from None
    wanted = experiment.dataset.spec.inputs
    if isinstance(inputs, dict) and not isinstance(wanted, Mapping) and len(inputs) == 1:
        (inputs,) = inputs.values()
    seen = jax.tree.map(lambda x: x.shape[1:], inputs)
    shapes = jax.tree.map(lambda x: x.shape, wanted)
    if seen != shapes:
        raise UserError(
            f"--input={file} holds examples of {seen}, {experiment.dataset.name} has {shapes}; give them that shape"
        )
    source = columns(jax.tree.map(lambda x, like: x.astype(like.dtype), inputs, wanted))
    everything = np.arange(len(source))
    check_values(source.fetch(everything), experiment.dataset.spec, f"--input={file}", "input", everything)
    return source


def line(row: int, targets: Any, answers: Mapping[str, np.ndarray], i: int, spec: Spec) -> dict[str, Any]:
    """Return the output of the i-th example of a batch; the dataset's offset is added back in 64 bits."""
    found: dict[str, Any] = {"row": row}
    if isinstance(targets, np.ndarray) and targets.ndim == 1:
        found["target"] = targets[i].item() + spec.offset if spec.offset else targets[i].item()
    for name, column in answers.items():
        shift = spec.offset if name == "value" else 0
        found[name] = (column[i].astype(np.float64) + shift).tolist() if shift else column[i].tolist()
        if name == "class" and spec.names and column.ndim == 1:
            found["name"] = spec.names[int(column[i])]
    return found


def write(file: Path, lines: Iterator[dict[str, Any]]) -> None:
    """Write the lines as JSON, or as CSV with one column per array element; atomically."""
    with whole(file) as out:
        if file.suffix == ".jsonl":
            out.writelines(json_text(each, ensure_ascii=False) + "\n" for each in lines)
            return
        writer = None
        for each in lines:
            flat = dict(cells(each))
            writer = writer or _started(out, flat)
            writer.writerow({name: plain(value) for name, value in flat.items()})


def plain(value: Any) -> Any:
    """Escape text that a spreadsheet would run as a formula, with a leading apostrophe."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULAS) else value


def cells(line: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Flatten a line: `probabilities.3` is the fourth of `probabilities`."""
    for name, value in line.items():
        if isinstance(value, list):
            yield from cells({f"{name}.{i}": part for i, part in enumerate(value)})
        else:
            yield name, value


def _started(out: Any, first: Mapping[str, Any]) -> "csv.DictWriter[str]":
    writer = csv.DictWriter(out, list(first))
    writer.writeheader()
    return writer

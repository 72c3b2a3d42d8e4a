"""New data as the inputs of a trained run, through the plan that was fitted in training and through no other parser.

Shape legend: n examples.
"""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from fdl.core.errors import UserError
from fdl.data.dataset import Dataset, columns
from fdl.data.modalities.media_plan import MediaPlan, TextPlan, WordsPlan, inputs_plan
from fdl.data.modalities.new_examples import NewRows as NewRows
from fdl.data.modalities.new_examples import read_rows, refuse_lacking, some_of
from fdl.data.modalities.new_series import new_series
from fdl.data.modalities.plan import Plan
from fdl.data.modalities.series import series
from fdl.data.modalities.table import refuse_infinite
from fdl.data.pixels import Unreadable
from fdl.data.readers.clips import CLIPS
from fdl.data.readers.documents import TEXTS
from fdl.data.readers.find import find
from fdl.data.readers.memory import as_records, frame_of_array
from fdl.data.readers.pictures import picture_suffixes
from fdl.data.readers.recordings import SOUNDS
from fdl.data.readers.tables.containers import TABLES, suffix_of
from fdl.data.records import Column, Records
from fdl.data.validate import check_values


def new_rows(dataset: Dataset, data: Any) -> NewRows:
    """Return new data as inputs; raise a UserError where it is not of the kind that the run was trained on.

    data: arrays in the dataset's own format always; for tables and series a DataFrame, an Arrow table, a list of
    mappings, a mapping of columns or a file; for media a file, folder or pattern, or a list of files, arrays or texts.
    """
    fitted = dataset.fitted
    if isinstance(data, str | Path) and Path(data).suffix in (".npy", ".npz"):
        return _arrays(dataset, _load(Path(data)), f"{data}")
    if "plan" in fitted:
        return _table(dataset, Plan.from_json(fitted["plan"]), data)
    if "inputs" in fitted:
        plan = inputs_plan(fitted)
        if isinstance(plan, WordsPlan):
            return _sentences(dataset, plan, data)
        return _texts(dataset, plan, data) if isinstance(plan, TextPlan) else _media(dataset, plan, data)
    if dataset.modality == series.__name__ and not _fits(dataset, data):
        return new_series(dataset, data)
    if isinstance(data, str | Path):
        raise UserError(
            f"{dataset.name} keeps no plan by which {data} could become inputs; give arrays of its format, in memory "
            "or as an .npy or .npz file"
        )
    return _arrays(dataset, data, "the data")


# ── Arrays ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _load(file: Path) -> Any:
    try:
        loaded = np.load(file, allow_pickle=False)
        return dict(loaded) if file.suffix == ".npz" else loaded
    except FileNotFoundError:
        raise UserError(f"there is no {file}; give an .npy or .npz file") from None
    except Exception as error:  # what NumPy raises of a damaged file is of many kinds
        raise UserError(f"{file} holds no arrays of numbers: {str(error).splitlines()[0]}") from None


def _arrays(dataset: Dataset, data: Any, what: str) -> NewRows:
    """Return arrays in the dataset's format, checked as a source's are."""
    wanted = dataset.spec.inputs
    if isinstance(data, Mapping) and not isinstance(wanted, Mapping) and len(data) == 1:
        (data,) = data.values()
    try:
        arrays = jax.tree.map(np.asarray, data, is_leaf=lambda x: isinstance(x, list))
    except ValueError:  # NumPy's of lists of different lengths
        raise UserError(f"{what} has rows of different lengths; {dataset.name} has rows of one shape") from None
    seen, shapes = (jax.tree.map(lambda x: x.shape, tree) for tree in (arrays, wanted))
    rows = jax.tree.map(lambda shape: shape[1:], seen, is_leaf=lambda x: isinstance(x, tuple))
    if rows != shapes or any(leaf.dtype.kind not in "biuf" for leaf in jax.tree.leaves(arrays)):
        raise UserError(f"{what} holds examples of {rows}, {dataset.name} has {shapes}; give them that shape")
    source = columns(jax.tree.map(lambda x, like: x.astype(like.dtype), arrays, wanted))
    everything = np.arange(len(source))
    check_values(source.fetch(everything), dataset.spec, what, "input", everything)
    return NewRows(inputs=source.fetch(everything).inputs, size=len(source))


def _fits(dataset: Dataset, data: Any) -> bool:
    """Say whether data are arrays of the dataset's own format."""
    wanted = jax.tree.map(lambda x: x.shape, dataset.spec.inputs)
    if isinstance(data, np.ndarray):
        return not isinstance(wanted, Mapping) and data.shape[1:] == wanted
    arrays = isinstance(data, Mapping) and all(isinstance(each, np.ndarray) for each in data.values())
    return arrays and {name: each.shape[1:] for name, each in data.items()} == wanted


# ── Tables ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _table(dataset: Dataset, plan: Plan, data: Any) -> NewRows:
    """Return the rows of a table, their unused columns, and what was missing or unseen, counted."""
    if _fits(dataset, data):
        return _arrays(dataset, data, "the data")
    records = _read_table(dataset, plan, data)
    refuse_lacking(records, dataset, plan.inputs)
    by_split = _columns(records)
    for split, size in records.sizes.items():
        refuse_infinite(records, plan, by_split[split], split, np.arange(size))
    whole = _joined(list(by_split.values()))
    inputs, counted = plan.encode_counted({name: whole[name] for name in plan.inputs})
    size = sum(records.sizes.values())
    notes = [
        f"{name}: {count:,} of {size:,} values are {_WHAT[what]}"
        for name, kinds in counted.items()
        for what, count in kinds.items()
        if count
    ]
    carried = {name: values for name, values in whole.items() if name not in plan.inputs}
    return NewRows(inputs=inputs, size=size, carried=carried, notes=tuple(notes))


_WHAT = {"missing": "missing", "unseen": "of categories never seen in training, which count as missing"}


def _read_table(dataset: Dataset, plan: Plan, data: Any) -> Records:
    if isinstance(data, np.ndarray):
        data = _numbered(dataset, plan, data)
    return read_rows(data, plan.schema, "table")


def _numbered(dataset: Dataset, plan: Plan, data: np.ndarray) -> Any:
    """Return the rows of an array as a table, where training had an array as well: its columns are x0, x1, …"""
    names = [column.name for column in plan.columns if column.role != "target"]
    frame = frame_of_array(data) if data.ndim == 2 else None
    if frame is None or names != list(frame.columns):
        raise UserError(
            f"an array of {data.shape} has no names of columns; give a DataFrame or a list of mappings with the "
            f"columns of {dataset.name}"
        )
    return frame


def _columns(records: Records) -> dict[str, dict[str, Column]]:
    """Return every column of each split, read once."""
    return {split: {name: records.column(split, name) for name in records.fields} for split in records.sizes}


def _joined(parts: Sequence[Mapping[str, Column]]) -> dict[str, Column]:
    """Return the columns of all splits, one after another."""
    first, *more = parts
    return {name: [value for part in parts for value in part[name]] if more else first[name] for name in first}


# ── Texts ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _texts(dataset: Dataset, plan: TextPlan, data: Any) -> NewRows:
    """Return texts: one, a list of them, a .txt file of a text per line, or a table with their column."""
    if _fits(dataset, data):
        return _arrays(dataset, data, "the data")
    carried: dict[str, Column] = {}
    if isinstance(data, str) and not (suffix_of(Path(data)) in (*TABLES, ".txt") and Path(data).exists()):
        texts = [data]
    elif isinstance(data, Sequence) and all(isinstance(text, str) for text in data):
        texts = list(data)
    else:
        records = find(str(data), kind="text") if isinstance(data, str | Path) else as_records(data, name="the data")
        column = records.choose(plan.column if plan.column in records.fields else "", "inputs", ("text",))
        whole = _joined(list(_columns(records).values()))
        texts = [str(text or "") for text in whole.pop(column)]
        carried = whole
    if not texts:
        raise UserError("there is no text; give one, or a list of them")
    inputs = plan.encode(texts, lambda i: f"text {i}")
    empty = sum(not text.strip() for text in texts)
    notes = (f"{empty:,} of {len(texts):,} texts are empty",) if empty else ()
    return NewRows(inputs=inputs, size=len(texts), carried=carried, notes=notes)


def _sentences(dataset: Dataset, plan: WordsPlan, data: Any) -> NewRows:
    """Return sentences: a list of them, each of words or a text that blanks divide, or a file with its words."""
    carried: dict[str, Column] = {}
    if isinstance(data, str | Path):
        records = find(str(data), kind="text" if _has_lines(Path(data)) else "tagging")
        if "text" in records.fields:
            data = records.column("train", "text")
        else:
            column = records.choose(plan.column if plan.column in records.fields else "", "inputs", ("list",))
            carried = _joined(list(_columns(records).values()))
            data = carried.pop(column)
    words = [each.split() if isinstance(each, str) else [str(word) for word in each] for each in data]
    if not words or not all(words):
        raise UserError("a sentence has no word; leave it out" if words else "there is no sentence; give one or more")
    inputs = plan.encode(words, lambda i: f"sentence {i}")
    return NewRows(inputs=inputs, size=len(words), lengths=inputs["lengths"], carried={**carried, plan.column: words})


def _has_lines(file: Path) -> bool:
    """Say whether a file holds a sentence a line, as text, and not a word a line."""
    if file.suffix not in TEXTS or not file.is_file():
        return False
    text = file.read_text(encoding="utf-8", errors="replace")
    return "\t" not in text and not re.search(r"\n[ \r]*\n", text.strip())


# ── Pictures, sounds and videos ─────────────────────────────────────────────────────────────────────────────────────


def _media(dataset: Dataset, plan: MediaPlan, data: Any) -> NewRows:
    """Return files: one, a folder or pattern of them, or a list; or values in memory, decoded already."""
    if _fits(dataset, data):
        return _arrays(dataset, data, "the data")
    if isinstance(data, str | Path):
        files = _files(plan, str(data))
        return _of_files(plan, files)
    if isinstance(data, Sequence) and data and all(isinstance(each, str | Path) for each in data):
        return _of_files(plan, [str(each) for each in data])
    values = list(data) if isinstance(data, Sequence) else [data] if np.ndim(data) == len(_shape(plan)) else list(data)
    if not values:
        raise UserError(f"there is no {plan.kind}; give a file, a folder, or a list of them")
    arrays = [np.asarray(each) for each in values]
    return NewRows(inputs=plan.encode(arrays, lambda i: f"{plan.kind} {i}"), size=len(arrays))


def _shape(plan: MediaPlan) -> tuple[Any, ...]:
    return {"image": (0, 0, 0), "audio": (0,), "video": (0, 0, 0, 0)}[plan.kind]


def _files(plan: MediaPlan, path: str) -> list[str]:
    """Return the files of this kind that a path, a folder or a pattern names, sorted."""
    suffixes = {"audio": SOUNDS, "video": CLIPS}.get(plan.kind) or picture_suffixes()
    whole = Path(os.path.expanduser(path))
    if whole.is_file():
        return [str(whole)]
    if whole.is_dir():
        found = [file for file in whole.rglob("*") if file.is_file() and not file.name.startswith(".")]
    else:
        matching = Path(whole.anchor or ".").glob(str(whole.relative_to(whole.anchor)))
        found = [file for file in matching if file.is_file()]
    files = sorted(str(file) for file in found if file.suffix.lower() in suffixes)
    if not files:
        seen = f"{len(found)} files of other kinds" if found else "nothing"
        raise UserError(f"{path} holds no {plan.kind} but {seen}; give a file, a folder or a pattern such as '*.png'")
    return files


def _of_files(plan: MediaPlan, files: Sequence[str]) -> NewRows:
    values, wrong = [], []
    for file in files:
        try:
            values.append(plan.read(file))
        except (Unreadable, ValueError, OSError) as error:
            wrong.append(f"{file} ({error})")
    if wrong:
        raise UserError(f"{len(wrong)} of {len(files)} files cannot be read: {some_of(wrong)}; mend or remove them")
    return NewRows(inputs=plan.encode(values, lambda i: files[i]), size=len(files), carried={"file": list(files)})

"""New data as the inputs of a trained run, by the plan that was fitted in training alone; n: examples."""

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
from fdl.data.modalities.new_examples import other_column, read_rows, refuse_lacking, rows_at, some_of, trained_column
from fdl.data.modalities.new_series import new_series
from fdl.data.modalities.plan import Plan
from fdl.data.modalities.series import series
from fdl.data.modalities.table import refuse_infinite
from fdl.data.pixels import Unreadable
from fdl.data.readers.documents import TEXTS
from fdl.data.readers.find import find
from fdl.data.readers.folders import media_files
from fdl.data.readers.hub_media import attach, new_items
from fdl.data.readers.memory import as_records, frame_of_array
from fdl.data.readers.remote.address import is_address
from fdl.data.readers.table_files import table_file
from fdl.data.readers.tables.containers import TABLES, suffix_of
from fdl.data.records import Column, Records
from fdl.data.validate import check_values


def new_rows(dataset: Dataset, data: Any) -> NewRows:
    """Return new data as inputs; raise a UserError where it is not of the kind that the run was trained on.

    data: arrays in the dataset's own format always; for tables and series a DataFrame, an Arrow table, a list of
    mappings, a mapping of columns or a file; for media a file, folder or pattern, or a list of files, arrays or texts.
    A file or folder may lie at an address.
    """
    if isinstance(data, str) and is_address(data):
        return rows_at(data, lambda copy: new_rows(dataset, copy))
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
        f"{name}: {count:,} of {size:,} values are {_WHAT[what]}{_written(records.fields[name].note)}"
        for name, kinds in counted.items()
        for what, count in kinds.items()
        if count
    ]
    carried = {name: values for name, values in whole.items() if name not in plan.inputs}
    return NewRows(inputs=inputs, size=size, carried=carried, notes=tuple(notes))


_WHAT = {"missing": "missing", "unseen": "of categories never seen in training, which count as missing"}


def _written(note: str) -> str:
    """Return how missing values are written, where they are not just empty, as in: 1 missing as 'big'."""
    return f" ({note})" if " missing as " in f" {note}" else ""


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
    said: list[str] = []
    if isinstance(data, str) and not (suffix_of(Path(data)) in (*TABLES, ".txt") and Path(data).exists()):
        texts = [data]
    elif not isinstance(data, str) and isinstance(data, Sequence) and all(isinstance(text, str) for text in data):
        texts = list(data)
    else:
        records = find(str(data), kind="text") if isinstance(data, str | Path) else as_records(data, name="the data")
        column, *said = trained_column(records, plan.column, "text")
        carried = _joined(list(_columns(records).values()))
        texts = [str(text or "") for text in carried.pop(column)]
    if not texts:
        raise UserError("there is no text; give one, or a list of them")
    inputs = plan.encode(texts, lambda i: f"text {i}")
    empty = sum(not text.strip() for text in texts)
    said += [f"{empty:,} of {len(texts):,} texts are empty"] if empty else []
    return NewRows(inputs=inputs, size=len(texts), carried=carried, notes=tuple(said))


def _sentences(dataset: Dataset, plan: WordsPlan, data: Any) -> NewRows:
    """Return sentences: a list of them, each of words or a text that blanks divide, or a file with its words."""
    carried: dict[str, Column] = {}
    said: list[str] = []
    if isinstance(data, str | Path):
        records = find(str(data), kind="text" if _has_lines(Path(data)) else "tagging")
        if "text" in records.fields:
            data = records.column("train", "text")
        else:
            column, *said = trained_column(records, plan.column, "list")
            carried = _joined(list(_columns(records).values()))
            data = carried.pop(column)
    words = [each.split() if isinstance(each, str) else [str(word) for word in each] for each in data]
    if not words or not all(words):
        raise UserError("a sentence has no word; leave it out" if words else "there is no sentence; give one or more")
    inputs = plan.encode(words, lambda i: f"sentence {i}")
    carried[plan.column] = words
    return NewRows(inputs=inputs, size=len(words), lengths=inputs["lengths"], carried=carried, notes=tuple(said))


def _has_lines(file: Path) -> bool:
    """Say whether a file holds a sentence a line, as text, and not a word a line."""
    if file.suffix not in TEXTS or not file.is_file():
        return False
    text = file.read_text(encoding="utf-8", errors="replace")
    return "\t" not in text and not re.search(r"\n[ \r]*\n", text.strip())


# ── Pictures, sounds and videos ─────────────────────────────────────────────────────────────────────────────────────


def _media(dataset: Dataset, plan: MediaPlan, data: Any) -> NewRows:
    """Return files: one, a folder or pattern of them, a list or a table that names or holds them; or decoded values."""
    if _fits(dataset, data):
        return _arrays(dataset, data, "the data")
    if (records := _listing(plan, data)) is not None:
        return _listed(dataset, plan, records, Path(data) if isinstance(data, str | Path) else Path("table"))
    if isinstance(data, str | Path):
        return _of_files(plan, media_files(plan.kind, str(data)))
    if isinstance(data, Sequence) and data and all(isinstance(each, str | Path) for each in data):
        return _of_files(plan, [str(each) for each in data])
    values = list(data) if isinstance(data, Sequence) else [data] if np.ndim(data) == len(_shape(plan)) else list(data)
    if not values:
        raise UserError(f"there is no {plan.kind}; give a file, a folder, or a list of them")
    arrays = [np.asarray(each) for each in values]
    return NewRows(inputs=plan.encode(arrays, lambda i: f"{plan.kind} {i}"), size=len(arrays))


def _listing(plan: MediaPlan, data: Any) -> Records | None:
    """Return the table that lists pictures, sounds or videos or holds their bytes, if the data is one.

    Of a folder it is the one table with the column of training, such as a metadata.csv beside the files.
    """
    if isinstance(data, str | Path):
        path = Path(os.path.expanduser(data))
        if path.is_dir():
            tables = [file for file in path.iterdir() if file.name[0] not in "._" and suffix_of(file) in TABLES]
            records = table_file(tables[0]) if len(tables) == 1 else None
            return records if records is not None and plan.column in records.fields else None
        return table_file(path) if path.is_file() and suffix_of(path) in TABLES else None
    rows = isinstance(data, Sequence) and data and all(isinstance(row, Mapping) for row in data)
    frame = type(data).__module__.partition(".")[0] in ("pandas", "pyarrow")
    return read_rows(data, {}, "table") if rows or frame or isinstance(data, Mapping) else None


def _listed(dataset: Dataset, plan: MediaPlan, records: Records, path: Path) -> NewRows:
    """Return what a table lists or holds, its other columns beside; files are looked for as in training."""
    folder = path.expanduser() if path.expanduser().is_dir() else path.expanduser().parent
    whole = _joined(list(_columns(records).values()))
    if (items := new_items(records, plan.column, plan.kind, folder)) is not None:
        places, values = [where for where, _ in items], _read_all(plan, items)
    else:
        drawn = attach(records, {"train": folder}, plan.kind, needed=False)  # pictures as numbers in a cell
        if plan.column not in drawn.fields or drawn.fields[plan.column].kind != plan.kind:
            raise UserError(
                f"{records.name} has no column {plan.column} of {plan.kind} files or bytes, which {dataset.name} was "
                f"trained on; its columns are {some_of(list(records.fields))}"
            )
        values = list(_joined(list(_columns(drawn).values()))[plan.column])
        places = [f"{records.name} row {i}" for i in range(len(values))]
        del whole[plan.column]
    carried = {
        name: cells for name, cells in whole.items() if not any(isinstance(cell, bytes | Mapping) for cell in cells)
    }
    said = () if plan.column in (*records.fields, "") else (other_column(records, plan.column, f"of {plan.kind}s"),)
    return NewRows(inputs=plan.encode(values, lambda i: places[i]), size=len(values), carried=carried, notes=said)


def _shape(plan: MediaPlan) -> tuple[Any, ...]:
    return {"image": (0, 0, 0), "audio": (0,), "video": (0, 0, 0, 0)}[plan.kind]


def _of_files(plan: MediaPlan, files: Sequence[str]) -> NewRows:
    values = _read_all(plan, [(file, file) for file in files])
    return NewRows(inputs=plan.encode(values, lambda i: files[i]), size=len(files), carried={"file": list(files)})


def _read_all(plan: MediaPlan, items: Sequence[tuple[str, Any]]) -> list[Any]:
    """Return what files or bytes hold, by the reader of the plan, each beside what a user finds it by."""
    values, wrong = [], []
    for where, item in items:
        try:
            values.append(plan.read(item))
        except (Unreadable, ValueError, OSError) as error:
            wrong.append(f"{where} ({error})")
    if wrong:
        raise UserError(f"{len(wrong)} of {len(items)} files cannot be read: {some_of(wrong)}; mend or remove them")
    return values

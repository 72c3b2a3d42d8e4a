"""What a run folder keeps of its dataset, and the dataset that is made from it where the data itself is not there.

A modality's function, such as `table`, is decorated by `keeps`. While a run is restored it returns the kept dataset:
the same spec, fitted values and transform, made without reading any data. Examples are loaded where they are needed.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields, replace
from functools import wraps
from typing import Any, NoReturn, ParamSpec

import jax
import numpy as np

from fdl.core.errors import UserError
from fdl.core.types import PyTree
from fdl.data.dataset import Dataset, LazySource, Source, Spec
from fdl.data.readers.supplied import supplied
from fdl.data.records import Field, Records

KEPT, NOTES = "dataset", "notes"  # entries of a run folder's dataset.json beside the fitted values
P = ParamSpec("P")
_RESTORED: ContextVar["KeptDataset | None"] = ContextVar("restored", default=None)


@dataclass(frozen=True, kw_only=True)
class KeptDataset:
    """The dataset of a run, as its folder keeps it.

    value:    of dataset.json. contents: the fingerprint of the data files that the run was trained on.
    load:     `split -> examples`; reads the data, or raises a UserError where it is not there or has changed.
    """

    value: Mapping[str, Any]
    contents: str
    load: Callable[[str], Source | LazySource]

    @property
    def fitted(self) -> dict[str, Any]:
        """The values that were fitted on train."""
        return {name: value for name, value in self.value.items() if name not in (KEPT, NOTES)}

    @property
    def modality(self) -> str:
        """The name of the function that made the dataset; empty where no modality's did."""
        name: str = self.value.get(KEPT, {}).get("modality", "")
        return name

    @property
    def spec(self) -> Spec:
        """The spec of the dataset."""
        return spec_from_json(self.value[KEPT]["spec"])

    def dataset(self, **made: Any) -> Dataset:
        """Return the dataset; made: its transform and tokenizer, which JSON cannot keep."""
        kept = self.value[KEPT]
        return Dataset(
            name=kept["name"],
            spec=self.spec,
            load=self.load,
            fitted=self.fitted,
            contents=lambda: self.contents,
            notes=tuple(self.value.get(NOTES, ())),
            modality=self.modality,
            columns=kept["columns"],
            parsing=kept.get("parsing", {}),
            **made,
        )

    def records(self) -> Records:
        """Return records with the columns of the data and none of its rows."""
        kept = self.value[KEPT]

        def read(split: str, *_: Any) -> NoReturn:
            self.load(split)
            raise UserError(f"the page reads rows of {kept['name']} itself; give all its flags, so that it may")

        return Records(
            name=kept["name"],
            fields={name: Field(kind=kind) for name, kind in kept["columns"].items()},
            sizes=kept["spec"]["sizes"],
            read=read,
        )


def dataset_json(dataset: Dataset) -> dict[str, Any]:
    """Return what a run folder keeps of a dataset, of a fold of the whole one, in JSON's types."""
    dataset = dataset.whole or dataset
    kept = {
        "modality": dataset.modality,
        "name": dataset.name,
        "columns": dict(dataset.columns),
        "parsing": dict(dataset.parsing),
        "spec": spec_json(dataset.spec),
    }
    return {**dataset.fitted, NOTES: list(dataset.notes), KEPT: kept}


@contextmanager
def restoring(kept: KeptDataset) -> Iterator[None]:
    """Let modalities return the kept dataset, in this block, and `find` its records."""
    if not kept.modality:
        yield
        return
    token = _RESTORED.set(kept)
    try:
        with supplied(kept.records()):
            yield
    finally:
        _RESTORED.reset(token)


def keeps(remake: Callable[..., Mapping[str, Any]]) -> Callable[[Callable[P, Dataset]], Callable[P, Dataset]]:
    """Return the decorator of a modality's function, whose datasets a run folder keeps.

    remake: `(kept, **keywords of the call) -> transform and tokenizer`, what JSON cannot keep.
    """

    def decorate(function: Callable[P, Dataset]) -> Callable[P, Dataset]:
        name = function.__name__

        @wraps(function)
        def made(*args: P.args, **keywords: P.kwargs) -> Dataset:
            kept = _RESTORED.get()
            if kept is not None and kept.modality == name:
                return kept.dataset(**remake(kept, **keywords))
            first = args[0] if args else None
            columns = {each: field.kind for each, field in first.fields.items()} if isinstance(first, Records) else {}
            found = function(*args, **keywords)
            origin = (first.origin,) if isinstance(first, Records) and first.origin else ()
            return replace(found, modality=name, columns=columns, notes=(*origin, *found.notes))

        return made

    return decorate


def no_more(kept: KeptDataset, **_: Any) -> dict[str, Any]:
    """Return nothing: of a modality whose datasets JSON keeps whole."""
    return {}


def spec_json(spec: Spec) -> dict[str, Any]:
    """Return a spec in JSON's types."""
    plain = {each.name: getattr(spec, each.name) for each in fields(spec)}
    shapes = {name: _shapes_json(plain[name]) for name in ("inputs", "targets")}
    return {**plain, **shapes, "sizes": dict(spec.sizes)}


def spec_from_json(kept: Mapping[str, Any]) -> Spec:
    """Return the spec that was kept by `spec_json`."""
    names = kept["names"]
    return Spec(
        **{
            **kept,
            "inputs": _shapes(kept["inputs"]),
            "targets": _shapes(kept["targets"]),
            "weights": tuple(kept["weights"]),
            "names": None if names is None else tuple(names),
            "categories": tuple(kept["categories"]),
        }
    )


def _shapes_json(shapes: PyTree) -> Any:
    if isinstance(shapes, Mapping):
        return {name: _shapes_json(each) for name, each in shapes.items()}
    return None if shapes is None else [list(shapes.shape), np.dtype(shapes.dtype).name]


def _shapes(kept: Any) -> PyTree:
    if isinstance(kept, Mapping):
        return {name: _shapes(each) for name, each in kept.items()}
    return None if kept is None else jax.ShapeDtypeStruct(tuple(kept[0]), np.dtype(kept[1]))

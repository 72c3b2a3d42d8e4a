"""The data of a run that is restored from its folder: read only where examples are needed, and compared."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

from fdl.core.errors import UserError
from fdl.data.dataset import Dataset, LazySource, Source
from fdl.experiment import Experiment


@dataclass(frozen=True, kw_only=True)
class RunData:
    """The data of a run, read by its page on demand, and refused where it is not what it was.

    contents: the fingerprint of its files, which holds their folder's name; empty where they were moved.
    """

    folder: Path
    fitted: Mapping[str, Any]
    contents: str
    make: Callable[[], Experiment]

    @cached_property
    def _dataset(self) -> Dataset:
        try:
            made = self.make().dataset
        except (UserError, OSError) as error:
            raise UserError(
                f"the data that {self.folder} was trained on is not here ({' '.join(str(error).split())}); say where "
                "it is by --dataset, or give new data with --input=FILE"
            ) from None
        here = _values(json.loads(json.dumps(dict(made.fitted))))
        if here != _values({name: self.fitted.get(name) for name in made.fitted}):
            self._refuse("has other scales, classes or words")
        if self.contents and made.contents() != self.contents:
            self._refuse("has changed")
        return made

    def _refuse(self, seen: str) -> NoReturn:
        raise UserError(
            f"what lies where the data of {self.folder} was {seen}: results would be of other "
            "examples; bring back what it was, give new data with --input=FILE, or train anew in another folder"
        )

    def load(self, split: str) -> Source | LazySource:
        """Return the examples of a split."""
        return self._dataset.load(split)


def _values(fitted: Mapping[str, Any]) -> dict[str, Any]:
    """Return fitted values without the notes of a plan, which name its files."""
    plan = fitted.get("plan")
    return {**fitted, "plan": {**plan, "notes": []}} if isinstance(plan, Mapping) else {**fitted}

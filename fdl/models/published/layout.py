"""A layout of published weights: all tensors of a model as one library names them, converted in both directions."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from fdl.core.differences import first_few
from fdl.core.errors import UserError
from fdl.core.types import PyTree
from fdl.models.leaf_names import flat_names, nested
from fdl.models.published.entries import Entry


class Layout(NamedTuple):
    """How a library names the tensors of a model.

    name: of the library. prefix: of the names of a body inside of a model with a head, which files of the body lack.
    """

    name: str
    entries: Sequence[Entry]
    prefix: str = ""

    def count(self, tensors: Mapping[str, np.ndarray]) -> int:
        """Return how many of the names are the layout's, whatever the numbers in them."""
        known = {_pattern(entry.name.removeprefix(self.prefix)) for entry in self.entries}
        return sum(_pattern(name.removeprefix(self.prefix)) in known for name in tensors)

    def variables(self, tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """Return the variables that tensors hold; raise a UserError that names what is missing or too much."""
        by_name = {name.removeprefix(self.prefix): tensor for name, tensor in tensors.items()}
        entries = {entry.name.removeprefix(self.prefix): entry for entry in self.entries}
        patterns = set(map(_pattern, entries))
        if more := [name for name in by_name if name not in entries and _pattern(name) in patterns]:
            raise UserError(f"the weights have more layers than the model: {first_few(more, 1)}; choose a larger size")
        leaves: dict[str, np.ndarray] = {}
        for name, entry in entries.items():
            if name in by_name:
                try:
                    leaves |= zip(entry.paths, entry.read(by_name[name]), strict=True)
                except (ValueError, IndexError) as error:
                    shape = list(by_name[name].shape)
                    raise UserError(f"{entry.name} {shape} is of another model or another size") from error
            elif not entry.optional:
                raise KeyError(entry.name)
        return nested(leaves)

    def tensors(self, variables: PyTree) -> dict[str, np.ndarray]:
        """Return variables as the tensors that the library reads; raise a UserError where it has none for a leaf."""
        leaves = flat_names(variables)
        paths = {path for entry in self.entries for path in entry.paths}
        if lacking := [name for name in leaves if name not in paths]:
            raise UserError(f"{self.name} has no name for {first_few(lacking, 1)}; leave out --names")
        return {
            entry.name: np.asarray(entry.write(*(leaves[path] for path in entry.paths)), order="C")
            for entry in self.entries
            if all(path in leaves for path in entry.paths)
        }


def _pattern(name: str) -> str:
    return re.sub(r"\d+", "#", name)

"""Modules that have moved: an import of the old place gives what the new one has, and says so, for one release."""

import sys
import warnings
from collections.abc import Mapping, Sequence
from importlib import import_module
from types import ModuleType
from typing import Any


def forward(package: str, moved: Mapping[str, str]) -> None:
    """Let `from package.OLD import name` find a name in its new module, with a FutureWarning that shows the line.

    moved: the old module -> the new one, both inside the package; where it was split, the new ones, with blanks
        between. Nothing is imported before a name is used.
    """
    for old, new in moved.items():
        homes = [f"{package}.{part}" for part in new.split()]
        sys.modules.setdefault(f"{package}.{old}", _forwarder(package, f"{package}.{old}", homes))


def _forwarder(package: str, old: str, homes: Sequence[str]) -> ModuleType:
    module = ModuleType(old, f"Moved to {' and '.join(homes)}.")

    def find(name: str) -> Any:
        # Python and its tools ask any module for __path__, __file__ and the like; those are no names of a user's.
        if name.startswith("__"):
            raise AttributeError(f"module {old!r} has no attribute {name!r}")
        for home in homes:
            if hasattr(import_module(home), name):
                place = package if hasattr(sys.modules[package], name) else home
                warning = f"{old} has moved; write: from {place} import {name} (the old import works until fdl 0.3)"
                warnings.warn(warning, FutureWarning, stacklevel=2)
                return getattr(import_module(home), name)
        raise AttributeError(f"{old} is {' and '.join(homes)} since fdl 0.2, where {name!r} has another name")

    vars(module)["__getattr__"] = find
    return module

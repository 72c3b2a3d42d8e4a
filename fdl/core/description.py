"""Descriptions of values in JSON's types: two that are alike compute the same, in any process and on any device.

What a description holds is what its user wrote: classes with their fields, arrays by digest, functions of a user by
their bytecode with what they close over. It never holds what the installed versions decide, nor a program as traced.
"""

import dataclasses
import dis
import enum
import functools
import hashlib
import inspect
import json
import math
import sys
import types
from collections.abc import Mapping, Sequence, Set
from pathlib import PurePath
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from fdl.core.digest import digest_of_array
from fdl.core.recorded import is_default, name_of, recipe_of
from fdl.core.source_code import file_of, is_installed, own_imports

_LINEN = ("parent", "name", "scope")  # of every linen module: where it is, not what it computes
# methods that dataclasses write themselves
_GENERATED = ("__init__", "__repr__", "__eq__", "__hash__", "__setattr__", "__delattr__", "__replace__")


class UndescribedError(Exception):
    """A value that no description tells from another; the words say which and what to write instead."""


def describe(value: Any, *, code: bool = True) -> Any:
    """Return a value in JSON's types; raise UndescribedError where it cannot be distinguished from another.

    code: whether functions and classes of a user are described by their bytecode too, for which Python's version
          counts; not where a page answers for it.
    """
    return _Describer(code).value(value)


class _Describer:
    def __init__(self, code: bool):
        self.code, self.seen = code, set[int]()

    def value(self, value: Any) -> Any:
        if value is None or isinstance(value, bool | str):
            return value
        if isinstance(value, enum.Enum):
            return f"{name_of(type(value))}.{value.name}"
        if isinstance(value, int | float | np.generic | np.dtype | PurePath | range | complex | bytes):
            return self.plain(value)
        if isinstance(value, np.ndarray | jax.Array):
            return self.array(value)
        if isinstance(value, optax.GradientTransformation) or callable(value):
            return self.function(value)
        if isinstance(value, Mapping):
            return {str(key): self.value(item) for key, item in value.items()}
        if isinstance(value, Set):
            return sorted((self.value(item) for item in value), key=json.dumps)
        if isinstance(value, tuple | list):
            items = [self.value(item) for item in value]
            return {"class": name_of(type(value)), "values": items} if hasattr(value, "_fields") else items
        if isinstance(value, jax.ShapeDtypeStruct):
            return f"{np.dtype(value.dtype).name}{list(value.shape)}"
        if dataclasses.is_dataclass(value):
            return self.fields(value)
        raise UndescribedError(f"{_short(value)} cannot be described; make it a dataclass, an array or a plain value")

    def plain(self, value: Any) -> Any:
        if isinstance(value, np.generic):
            value = value.item() if value.dtype.kind in "biuf" else str(value)
        if isinstance(value, bytes):
            return hashlib.sha256(value).hexdigest()[:32]
        if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
            return value
        return str(value)

    def array(self, value: np.ndarray | jax.Array) -> Any:
        if isinstance(value, jax.core.Tracer):
            raise UndescribedError("a number that JAX traces has no value yet; describe it outside of the program")
        typed = isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key)
        array = np.asarray(jax.random.key_data(value) if typed else value)
        if array.dtype.kind == "O":
            return [self.value(item) for item in array.reshape(-1)]
        return f"{array.dtype.name}{list(array.shape)} {digest_of_array(array)}"

    def fields(self, value: Any) -> Any:
        """Describe a dataclass: its class, and the fields that are compared and not the default."""
        left_out = _LINEN if isinstance(value, nn.Module) else ()
        described = {"class": self.function(type(value))}
        for field in dataclasses.fields(value):
            item = getattr(value, field.name)
            if field.init and field.compare and field.name not in left_out and not is_default(item, field.default):
                described[field.name] = self.value(item)
        return described

    def function(self, value: Any) -> Any:
        """Describe anything that can be called, and optimizers, which are two functions."""
        if recipe := recipe_of(value):
            return {"made by": recipe.factory, **self.value(recipe.arguments)}
        if isinstance(value, optax.GradientTransformation):
            raise UndescribedError(
                "it is a bare Optax optimizer, two functions that do not say what made them; write it as "
                "fdl.recorded(optax.adam)(1e-3), with your factory for optax.adam, or take one of fdl.optim"
            )
        if isinstance(value, functools.partial):
            return {"partial": self.function(value.func), "args": self.value(value.args), **self.value(value.keywords)}
        if (owner := getattr(value, "__self__", None)) is not None and not isinstance(owner, types.ModuleType):
            return {"method": getattr(value, "__name__", ""), "of": self.value(owner)}
        if isinstance(value, type):
            return self.own_class(value)
        name, module = name_of(value), getattr(value, "__module__", None) or "builtins"
        if is_installed(module) and "<locals>" not in name and "<lambda>" not in name and hasattr(value, "__name__"):
            return name
        if hasattr(value, "__wrapped__"):
            return self.function(value.__wrapped__)
        if isinstance(value, types.FunctionType):
            if is_installed(module) and module.partition(".")[0] != "fdl":
                raise UndescribedError(f"{name} closes over what it does not say; write fdl.recorded(its factory)(…)")
            return self.own_function(value, name)
        if dataclasses.is_dataclass(value):
            return self.fields(value)
        raise UndescribedError(f"{_short(value)} cannot be described; make it a function or a dataclass")

    def own_function(self, function: types.FunctionType, name: str) -> Any:
        """Describe a function by its name, what it closes over, its defaults, and a user's one by what it does."""
        if id(function) in self.seen:
            return name
        self.seen.add(id(function))
        described: dict[str, Any] = {"function": name}
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        held = {variable: cell.cell_contents for variable, cell in cells if _is_filled(cell)}
        described |= self.value({k: v for k, v in held.items() if v is not function})
        if function.__defaults__ or function.__kwdefaults__:
            described["defaults"] = self.value([function.__defaults__, function.__kwdefaults__])
        if self.code and not is_installed(function.__module__ or ""):
            described["code"] = f"{_code(function.__code__, function.__doc__)} (Python {_PYTHON})"
            described |= self.globals(function)
        return described

    def globals(self, function: types.FunctionType) -> dict[str, Any]:
        """Describe the functions, classes and values of a user's module that a function reads by name."""
        found = {}
        for name in sorted(_global_names(function.__code__)):
            value = function.__globals__.get(name)
            if isinstance(value, types.ModuleType):
                if not is_installed(value.__name__) and file_of(value):
                    found[f"module {name}"] = own_imports(f"import {value.__name__}")
            elif value is not None and id(value) not in self.seen:
                found[f"global {name}"] = self.value(value)
        return found

    def own_class(self, kind: type) -> Any:
        """Describe a class by its name, and a user's one by its bases and what its methods do."""
        name = name_of(kind)
        if is_installed(kind.__module__) or not self.code or id(kind) in self.seen:
            return name
        self.seen.add(id(kind))
        described: dict[str, Any] = {"class": name, "bases": [self.own_class(base) for base in kind.__bases__]}
        for attribute, value in vars(kind).items():
            method = inspect.unwrap(getattr(value, "fget", None) or getattr(value, "__func__", value))
            if isinstance(method, types.FunctionType):
                if method.__code__.co_filename != "<string>" or attribute not in _GENERATED:
                    described[attribute] = self.own_function(method, method.__qualname__)
            elif not attribute.startswith("_") and not callable(value) and attribute not in _LINEN:
                described[attribute] = self.value(value)
        return described


_PYTHON = ".".join(map(str, sys.version_info[:2]))


def _code(code: types.CodeType, doc: str | None = None) -> str:
    """Return a digest of what a function does: not of its comments, its docstring or where it stands."""
    constants = code.co_consts[1:] if doc is not None and code.co_consts[:1] == (doc,) else code.co_consts
    parts = [code.co_code.hex(), repr(code.co_names), *map(_constant, constants)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _constant(value: Any) -> str:
    if isinstance(value, types.CodeType):
        return _code(value)
    if isinstance(value, tuple | frozenset):
        items = [_constant(item) for item in value]
        return f"{type(value).__name__} {sorted(items) if isinstance(value, frozenset) else items}"
    return repr(value)


def _global_names(code: types.CodeType) -> set[str]:
    names = {step.argval for step in dis.get_instructions(code) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    inner: Sequence[types.CodeType] = [each for each in code.co_consts if isinstance(each, types.CodeType)]
    return names.union(*map(_global_names, inner))


def _is_filled(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018 (whether it raises is the question)
    except ValueError:
        return False
    return True


def _short(value: Any) -> str:
    return f"a {type(value).__module__}.{type(value).__qualname__}"

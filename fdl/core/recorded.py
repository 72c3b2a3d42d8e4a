"""Factories whose results carry what made them: an optimizer is two closures, and two of them cannot be compared."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, ParamSpec, TypeVar

import optax

from fdl.core.source_code import is_installed

P = ParamSpec("P")
Result = TypeVar("Result")


class Recipe(NamedTuple):
    """The factory that made a value, as `package:name` and itself, and the arguments that are not its defaults."""

    factory: str
    arguments: Mapping[str, Any]
    make: Callable[..., Any]

    def remake(self, **changed: Any) -> Any:
        """Return what the factory makes of the same arguments, but for these."""
        bound = inspect.signature(self.make).bind_partial()
        bound.arguments.update({**self.arguments, **changed})
        return self.make(*bound.args, **bound.kwargs)


def recorded(factory: Callable[P, Result]) -> Callable[P, Result]:
    """Return the factory with results that carry its name and arguments, for the identity of a run folder.

    fdl's own factories of optimizers and schedules are recorded; others become so by `recorded(optax.lion)(1e-3)`.
    It takes factories of functions and of Optax transformations; other results are returned as they are.
    """

    @functools.wraps(factory)
    def make(*args: P.args, **kwargs: P.kwargs) -> Result:
        made = factory(*args, **kwargs)
        recipe = Recipe(name_of(factory), _given(factory, args, kwargs), make)
        if isinstance(made, optax.GradientTransformation):
            result: Result = made._replace(update=_carrying(made.update, recipe))
            return result
        return _carrying(made, recipe) if inspect.isfunction(made) else made

    return make


def recipe_of(value: Any) -> Recipe | None:
    """Return what made a function or an Optax transformation, or None where it does not say."""
    function = value.update if isinstance(value, optax.GradientTransformation) else value
    recipe = getattr(function, "__recipe__", None)
    return recipe if isinstance(recipe, Recipe) else None


def name_of(value: Any) -> str:
    """Return `package:name` of a function or class; inside installed packages names move from version to version."""
    module = getattr(value, "__module__", None) or "builtins"
    home = module.partition(".")[0] if is_installed(module) else module
    return f"{home}:{getattr(value, '__qualname__', None) or getattr(value, '__name__', type(value).__name__)}"


def _carrying(function: Any, recipe: Recipe) -> Any:
    """Return a function of its own that does the same: one that a factory hands out twice must not tell of the last."""

    @functools.wraps(function)
    def same(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    same.__recipe__ = recipe  # type: ignore[attr-defined]
    return same


def _given(factory: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments by name, less those that are the default: a later version may have more of them."""
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):  # some builtins have none
        return {**{str(i): value for i, value in enumerate(args)}, **kwargs}
    given = signature.bind(*args, **kwargs).arguments
    return {name: value for name, value in given.items() if not is_default(value, signature.parameters[name].default)}


def is_default(value: Any, default: Any) -> bool:
    """Say whether a value is a default; arrays are never, and 1 is not True."""
    if value is default:
        return True
    return type(value) is type(default) and isinstance(value, int | float | str | tuple) and value == default

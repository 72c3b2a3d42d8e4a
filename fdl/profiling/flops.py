"""FLOPs of a step, counted from its jaxpr; the body of a scan counts once per iteration."""

from collections.abc import Callable, Iterator
from math import prod
from typing import Any, NamedTuple

import jax

from fdl.models.kernels.native import convolution, lstm


class Work(NamedTuple):
    """What a function computes.

    flops:      floating point operations of its matrix products and convolutions.
    primitives: the names of the operations in its jaxpr.
    """

    flops: float
    primitives: frozenset[str]


def survey(function: Callable[..., Any], *args: Any) -> Work:
    """Return what a function computes, traced once.

    A product [m, k] x [k, n] counts 2 m k n, a convolution 2 x outputs x inputs per output. Elementwise operations are
    excluded, as is usual for model FLOPs.
    """
    found = list(equations(jax.make_jaxpr(function)(*args).jaxpr))
    names = frozenset(eqn.primitive.name for eqn, _ in found)
    return Work(float(sum(times * _cost(eqn) for eqn, times in found)), names)


def count(function: Callable[..., Any], *args: Any) -> float:
    """Return the floating point operations of `survey`."""
    return survey(function, *args).flops


def equations(jaxpr: Any, times: float = 1) -> Iterator[tuple[Any, float]]:
    """Yield every equation of a jaxpr and of nested ones, with its number of executions; all branches are counted."""
    for eqn in jaxpr.eqns:
        yield eqn, times
        inner = times * eqn.params["length"] if eqn.primitive.name == "scan" else times
        for value in eqn.params.values():
            for sub in value if isinstance(value, list | tuple) else (value,):
                sub = getattr(sub, "jaxpr", sub)
                if hasattr(sub, "eqns"):
                    yield from equations(sub, inner)


def _cost(eqn: Any) -> float:
    name = eqn.primitive.name
    if name == "dot_general":
        (contract, _), _ = eqn.params["dimension_numbers"]
        lhs = eqn.invars[0].aval.shape
        result: float = 2.0 * prod(eqn.outvars[0].aval.shape) * prod(lhs[i] for i in contract)
        return result
    if name == "conv_general_dilated":
        numbers = eqn.params["dimension_numbers"]
        kernel = eqn.invars[1].aval.shape
        # The gradient of a strided convolution dilates its input with zeros, which are not counted as work.
        per_output = prod(kernel) / kernel[numbers.rhs_spec[0]] / prod(eqn.params["lhs_dilation"])
        result = 2.0 * prod(eqn.outvars[0].aval.shape) * per_output / eqn.params["batch_group_count"]
        return result
    if name == "ffi_call":
        call = eqn.params.get("target_name", ""), *(tuple(v.aval for v in side) for side in (eqn.invars, eqn.outvars))
        return convolution.flops(*call) + lstm.flops(*call)
    return 0.0

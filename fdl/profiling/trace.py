"""Traces by JAX's profiler and events of its monitoring: the longest operations of a call, and compilations."""

import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax

from fdl.core.errors import UserError

SCAFFOLD = ("jit(fused)", "while", "body", "closed_call")  # scopes that enclose every step


COMPILE, TRACE, LOWER = "backend_compile_duration", "jaxpr_trace_duration", "jaxpr_to_mlir_module_duration"


def traffic(compiled: Any) -> tuple[float, float]:
    """Return the bytes that a step accesses (the body of a loop counts once) and the bytes that a call allocates."""
    cost = compiled.cost_analysis()
    cost = cost[0] if isinstance(cost, list) else cost
    held = compiled.memory_analysis()
    parts = ("argument_size_in_bytes", "output_size_in_bytes", "temp_size_in_bytes")
    shared = getattr(held, "alias_size_in_bytes", 0)
    return float((cost or {}).get("bytes accessed", 0.0)), float(sum(getattr(held, p, 0) for p in parts) - shared)


@contextmanager
def listening() -> Iterator[dict[str, list[float]]]:
    """Collect JAX's monitoring events by the last part of their names: durations in seconds, 1 for plain events."""
    events: dict[str, list[float]] = {}
    active = [True]

    def on_duration(event: str, duration_secs: float, **_: Any) -> None:
        if active:
            events.setdefault(event.rsplit("/", 1)[-1], []).append(duration_secs)

    def on_event(event: str, **_: Any) -> None:
        on_duration(event, 1.0)

    jax.monitoring.register_event_duration_secs_listener(on_duration)
    jax.monitoring.register_event_listener(on_event)
    try:
        yield events
    finally:
        active.clear()  # JAX has no public way to unregister a listener


def refuse_profilers() -> None:
    """Raise a ValueError if Python or JAX is being profiled or traced."""
    from jax._src import profiler

    state = getattr(profiler, "_profile_state", None)
    if sys.getprofile() or sys.gettrace() or getattr(state, "profile_session", None) is not None:
        raise UserError("a profiler is running and would be timed as well; stop it, or use --profile after the windows")


def top_ops(run: Callable[[], Any], folder: Path, most: int = 20) -> dict[str, float]:
    """Trace one call into a folder and return its longest operations in ms; loop bodies, not the loops themselves."""
    folder.mkdir(parents=True, exist_ok=True)
    with jax.profiler.trace(str(folder)):
        run()
    newest = max(folder.rglob("*.xplane.pb"), key=lambda file: file.stat().st_mtime)
    spent: Counter[str] = Counter()
    for plane in jax.profiler.ProfileData.from_file(str(newest)).planes:
        for line in plane.lines:
            if plane.name.startswith("/device") or "XLA" in line.name:
                for event in line.events:
                    if "::" not in event.name and not event.name.startswith(("while", "call", "conditional")):
                        spent[event.name] += event.duration_ns / 1e6
    return dict(spent.most_common(most))


def origins(program: str) -> dict[str, str]:
    """Return, for each operation of a compiled program's text, its scope in the model and step."""
    named = re.findall(r"%([\w.-]+) = .*?op_name=\"([^\"]*)\"", program)
    return {op: "/".join(w for w in name.split("/") if w not in SCAFFOLD) for op, name in named}

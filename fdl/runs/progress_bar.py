"""What a run shows while it trains: a progress bar on a terminal and in a notebook, and a kept line per evaluation."""

import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tqdm.asyncio import tqdm_asyncio
from tqdm.auto import tqdm

from fdl.core.log import Log
from fdl.parallel import processes

# The metrics come before the bar, because tqdm truncates on the right in a narrow terminal.
FORMAT = "{desc}: {percentage:3.0f}%{postfix} |{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}]"
WIDEST = 80  # columns of the bar, so that it and the kept lines above are as wide
BEST = "★"  # marks the best evaluation so far
NOTEBOOK = tqdm is not tqdm_asyncio  # what `auto` gives elsewhere


@contextmanager
def bar(total: int, done: int, unit: str, title: str, quiet: bool = False) -> Iterator["tqdm[Any]"]:
    """Show a progress bar on standard error, where that is a terminal, or in a notebook."""
    columns, rows = _columns()
    size: dict[str, Any] = {"dynamic_ncols": True} if NOTEBOOK else {"ncols": columns, "nrows": rows}
    with tqdm(
        total=total,
        initial=done,
        unit=unit,
        desc=title,
        bar_format=FORMAT,
        mininterval=0.2,
        disable=quiet or not (NOTEBOOK or sys.stderr.isatty()) or not processes.first(),
        **size,
    ) as shown:
        if not NOTEBOOK:
            shown.dynamic_ncols = _columns  # follows a terminal that gets narrower
        yield shown


def _columns(stream: Any = None) -> tuple[int, int]:
    """Return how wide and high a bar may be on this terminal now."""
    columns, rows = shutil.get_terminal_size()
    return min(WIDEST, columns), rows


def keep(shown: "tqdm[Any]", log: Log, line: str) -> None:
    """Log a line that stays above the bar."""
    with shown.external_write_mode():
        log(line)


def brief(values: dict[str, Any]) -> str:
    """Format scalars briefly, such as `loss=0.031 accuracy=0.991`."""
    return " ".join(f"{name}={value:.4g}" for name, value in values.items() if isinstance(value, int | float))


def headline(metrics: dict[str, Any], primary: str) -> str:
    """Return what fits beside a bar: the loss and the metric that the task is judged by, or the first two there are."""
    main = {name: metrics[name] for name in ("loss", primary) if name in metrics}
    return brief(main or dict(list(metrics.items())[:2]))


def evaluated(
    at: tuple[int, float], last: tuple[int, float], metrics: Mapping[str, Any], names: tuple[str, ...], best: bool
) -> str:
    """Return the line of one evaluation: `step 400 epoch 8.0 val loss 0.2134 accuracy 0.9444 ★`.

    at, last: step and epoch, of this evaluation and of the end. names: of the metrics to show, where they are numbers.
    best: whether it is the best so far.
    """
    step, epoch = str(at[0]).rjust(len(str(last[0]))), f"{at[1]:.1f}".rjust(len(f"{last[1]:.1f}"))
    shown = [f"{name} {_digits(metrics[name])}" for name in dict.fromkeys(names) if _is_number(metrics.get(name))]
    return " ".join([f"step {step} epoch {epoch} val", *shown, *([BEST] if best else [])])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _digits(value: float) -> str:
    """Return a number in four digits, zeros at its end included, so that lines below each other align."""
    return f"{value:#.4g}".rstrip(".")

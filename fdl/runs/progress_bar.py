"""The progress bar, on a terminal and in a notebook."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm.auto import tqdm

from fdl.parallel import processes

# The metrics come before the bar, because tqdm truncates on the right in a narrow terminal.
FORMAT = "{desc}: {percentage:3.0f}%{postfix} |{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}]"


@contextmanager
def bar(total: int, done: int, unit: str, title: str, quiet: bool = False) -> Iterator["tqdm[Any]"]:
    """Show a progress bar on standard error, updated rarely if that is not a terminal."""
    interval, silent = 0.2 if sys.stderr.isatty() else 10.0, quiet or not processes.first()
    with tqdm(
        total=total,
        initial=done,
        unit=unit,
        desc=title,
        bar_format=FORMAT,
        mininterval=interval,
        dynamic_ncols=True,
        disable=silent,
    ) as shown:
        yield shown


def brief(values: dict[str, Any]) -> str:
    """Format scalars briefly, such as `loss=0.031 accuracy=0.991`."""
    return " ".join(f"{name}={value:.4g}" for name, value in values.items() if isinstance(value, int | float))


def headline(metrics: dict[str, Any], primary: str) -> str:
    """Return what fits beside a bar: the loss and the metric that the task is judged by, or the first two there are."""
    main = {name: metrics[name] for name in ("loss", primary) if name in metrics}
    return brief(main or dict(list(metrics.items())[:2]))

"""Progress: a bar on a terminal and in a notebook, and nothing that slows the run."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm.auto import tqdm

from fdl.parallel import processes


@contextmanager
def bar(total: int, done: int, unit: str, title: str) -> Iterator["tqdm[Any]"]:
    """Visualize a progress bar on standard error; where that is no terminal it speaks seldom."""
    interval, silent = 0.2 if sys.stderr.isatty() else 10.0, not processes.first()
    with tqdm(
        total=total, initial=done, unit=unit, desc=title, mininterval=interval, dynamic_ncols=True, disable=silent
    ) as shown:
        yield shown


def brief(values: dict[str, Any]) -> str:
    """Return scalars in a few characters, such as `loss=0.031 accuracy=0.991`."""
    return " ".join(f"{name}={value:.4g}" for name, value in values.items() if isinstance(value, int | float))

"""The newest checkpoint that can be read, where some are damaged."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from fdl.core.errors import Damaged, Fault

Found = TypeVar("Found")


def newest_sound(
    folder: Path, steps: Iterable[int], read: Callable[[int], Found], log: Callable[[str], None]
) -> Found | None:
    """Return what is read of the last of these steps that is not damaged, or None where there is none; say what is.

    Where there are some and none is sound, raise a Fault: a run never starts over by itself.
    """
    damages: list[Damaged] = []
    for step in sorted(steps, reverse=True):
        try:
            found = read(step)
        except Damaged as error:
            damages.append(error)
            continue
        for damage in damages:
            log(f"warning: {damage}; step {step} is taken")
        return found
    if damages:
        raise Fault(f"no checkpoint is sound: {'; '.join(map(str, damages))}; remove {folder} to start over")
    return None

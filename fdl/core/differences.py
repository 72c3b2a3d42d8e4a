"""What differs between two mappings, and what of a long list is shown."""

from collections.abc import Mapping, Sequence
from typing import Any

THEN_AND_NOW = "{name} was {before} and is {now}"
THERE_AND_HERE = "{name} is {before} there and {now} here"


def differences(before: Mapping[str, Any], now: Mapping[str, Any], template: str = THEN_AND_NOW) -> list[str]:
    """Return a line for each name whose values differ; what one side lacks is absent there.

    >>> differences({"cores": 2, "jax": "0.7"}, {"cores": 4, "jax": "0.7"})
    ['cores was 2 and is 4']
    """
    return [
        template.format(name=name, before=before.get(name, "absent"), now=now.get(name, "absent"))
        for name in {**before, **now}
        if before.get(name) != now.get(name)
    ]


def flat(value: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Return a nested mapping as one with dotted names.

    >>> flat({"model": {"width": 3, "norm": {}}, "seed": 0})
    {'model.width': 3, 'model.norm': {}, 'seed': 0}
    """
    found: dict[str, Any] = {}
    for key, one in value.items():
        found |= flat(one, f"{above}{key}.") if isinstance(one, Mapping) and one else {f"{above}{key}": one}
    return found


def first_few(lines: Sequence[str], most: int = 3) -> str:
    """Return the first lines, joined, and how many more there are.

    >>> first_few(["a", "b", "c"], 2)
    'a; b and 1 more'
    """
    return "; ".join(lines[:most]) + (f" and {len(lines) - most} more" if len(lines) > most else "")


def shown(value: Any) -> Any:
    """Return a value as people write it: 40 for 40.0."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value

"""HTML elements of the report, escaped, and its tables of names and values."""

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any


def element(tag: str, text: object, attributes: str = "") -> str:
    """Return an HTML element with escaped text; all text from outside goes through it."""
    return f"<{tag}{attributes}>{escape(str(text))}</{tag}>"


def section(heading: str, body: str) -> str:
    """Return a section of the page, or nothing where its body is empty. body: HTML."""
    return f"<section>{element('h2', heading)}{body}</section>" if body else ""


def table(head: Iterable[object], rows: Iterable[Iterable[object]], kind: str = "") -> str:
    """Return a table that scrolls sideways where it is wider than the page; the first cell of a row is its name."""
    top = "".join(element("th", name) for name in head)
    body = "".join(
        f"<tr>{element('th', first)}{''.join(element('td', cell) for cell in rest)}</tr>" for first, *rest in rows
    )
    return f'<div class="wide"><table class="{kind}"><tr>{top}</tr>{body}</table></div>'


def pairs(values: Mapping[str, Any]) -> str:
    """Return a table of names and values; a list is shown with blanks between, and what has no value is left out."""
    rows = []
    for name, value in values.items():
        shown = worded(value)
        if shown:
            rows.append(f"<tr>{element('th', name)}{element('td', shown)}</tr>")
    return f'<table class="pairs">{"".join(rows)}</table>' if rows else ""


def worded(value: Any) -> str:
    """Return a value of JSON's types in words: `jax 0.10.2, numpy 2.3`, `128 128`, empty for what is empty."""
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {part}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    return str(value)


def number(value: float) -> str:
    """Return a number in at most six digits, a whole or a large one with separators."""
    whole = float(value).is_integer() or abs(value) >= 1e5
    return f"{value:,.0f}" if whole and abs(value) < 1e15 else f"{value:.6g}"


def duration(seconds: float) -> str:
    """Return a time as people write it: `8.2 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, hours = seconds / 60, seconds / 3600
    if minutes < 60:
        return f"{int(minutes)} min {int(seconds % 60)} s"
    return f"{int(hours):,} h {int(minutes % 60)} min"


def speed(steps: float) -> str:
    """Return steps per second, also of slow steps: `1,234 steps/s`, `0.47 steps/s`."""
    return f"{steps:,.0f} steps/s" if steps >= 10 else f"{steps:.2g} steps/s"

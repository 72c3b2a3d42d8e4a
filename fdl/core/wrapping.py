"""Text wrapped to the columns of a terminal."""

import textwrap

WIDTH = 80  # columns of the default terminal


def wrapped(line: str, indent: int | None = None) -> str:
    """Wrap a line at blanks to 80 columns; by default continuation lines are indented to the start of its text.

    A line such as `Data    1,797 images` continues under `1,797`.
    """
    if indent is None:
        head, gap, _ = line.strip().partition("  ")
        first = len(line) - len(line.lstrip())
        indent = first + len(head) + len(gap) + _blanks(line.strip()[len(head) + len(gap) :]) if gap else first
        indent = indent if indent <= WIDTH // 2 else first
    lines = textwrap.wrap(
        line, WIDTH, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False,
        replace_whitespace=False, drop_whitespace=True,
    )  # fmt: skip
    return "\n".join(lines)


def _blanks(text: str) -> int:
    return len(text) - len(text.lstrip())

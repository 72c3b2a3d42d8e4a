"""Classes in the report: the confusion matrix, what is confused most, and a table of each class."""

from collections.abc import Sequence
from html import escape

from fdl.runs.report.elements import element, number, table

READABLE = 20  # classes whose counts are written into the matrix; of more it is a picture
MOST, SIDE = 10, 900

Counts = Sequence[Sequence[float]]


def confusion(counts: Counts, names: Sequence[str] | None) -> str:
    """Return the confusion matrix, true class (row) by predicted class (column), and the pairs confused most.

    Each cell is shaded by its share of its row: blue where right, orange where wrong.
    """
    labels = [str(name) for name in names or range(len(counts))]
    shown = _numbers(counts, labels) if len(counts) <= READABLE else _pixels(counts, labels)
    wrong = [(n, i, j) for i, row in enumerate(counts) for j, n in enumerate(row) if i != j and n]
    top = [(labels[i], labels[j], number(n)) for n, i, j in sorted(wrong, reverse=True)[:MOST]]
    most = table(("true", "taken for", "times"), top) if top and len(counts) > 2 else ""
    return (
        f'<p class="note">rows: true class, columns: predicted class, shaded by the share of the row</p>{shown}{most}'
    )


def _numbers(counts: Counts, labels: Sequence[str]) -> str:
    rows = []
    for i, (label, row) in enumerate(zip(labels, counts, strict=True)):
        whole, cells = sum(row) or 1, []
        for j, n in enumerate(row):
            share = n / whole
            kinds = f"{'s0' if i == j else 's1'}{' deep' if share > 0.5 else '' if n else ' none'}"
            cells.append(element("td", number(n), f' class="{kinds}" style="--p:{share:.3f}"'))
        rows.append(f"<tr>{_label(label)}{''.join(cells)}</tr>")
    head = "".join(map(_label, labels))
    return f'<div class="wide"><table class="confusion"><tr><th></th>{head}</tr>{"".join(rows)}</table></div>'


def _label(name: str) -> str:
    return element("th", name, f' title="{escape(name)}"')


def _pixels(counts: Counts, labels: Sequence[str]) -> str:
    """Return the matrix as a picture whose cells say on hover what they are."""
    side, cells = SIDE / len(counts), []
    for i, row in enumerate(counts):
        whole = sum(row) or 1
        for j, n in enumerate(row):
            if n:
                title = element("title", f"true {labels[i]}, predicted {labels[j]}: {number(n)}")
                opacity = max(0.08, n / whole)
                place = f'x="{j * side:.1f}" y="{i * side:.1f}" width="{side:.1f}" height="{side:.1f}"'
                kind = "s0" if i == j else "s1"
                cells.append(f'<rect class="bar {kind}" {place} fill-opacity="{opacity:.2f}">{title}</rect>')
    frame = f'<rect class="grid" width="{SIDE}" height="{SIDE}"/>'
    return (
        f'<svg viewBox="0 0 {SIDE} {SIDE}" style="width:100%;max-width:44rem" role="img">{frame}{"".join(cells)}</svg>'
    )


def per_class(counts: Counts, names: Sequence[str] | None) -> str:
    """Return precision, recall and F1 of each class, the worst first; beyond twenty classes the rest is folded."""
    labels = [str(name) for name in names or range(len(counts))]
    found = []
    for i, label in enumerate(labels):
        right, true, predicted = counts[i][i], sum(counts[i]), sum(row[i] for row in counts)
        f1 = 2 * right / (true + predicted) if true + predicted else 0.0
        shares = (_share(right, predicted), _share(right, true), _share(2 * right, true + predicted))
        found.append((f1, (label, *shares, number(true))))
    rows = [row for _, row in sorted(found, key=lambda one: one[0])]
    head = ("class", "precision", "recall", "F1", "n")
    if len(rows) <= READABLE:
        return table(head, rows)
    rest = f"<details><summary>{len(rows) - MOST} classes more</summary>{table(head, rows[MOST:])}</details>"
    return f'<p class="note">the worst {MOST} of {len(rows)}</p>{table(head, rows[:MOST])}{rest}'


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.3f}" if whole else "–"

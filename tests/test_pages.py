import ast

import numpy as np
import pytest

from fdl import pages
from fdl.core.differences import shown
from fdl.experiment import maker

PAGE = '''"""One line.

More."""

from typing import Literal

import a_package_that_does_not_exist


def experiment(
    *,
    width: int = 8,  # units of the layer
    rate: float = 1e-3,
    widths: tuple[int, ...] = (1, 2),  # several
    cell: Literal["lstm", "gru"] = "gru",
    limit: int | None = None,
    fast: bool = False,
):
    ...
'''


@pytest.fixture
def page(tmp_path):
    file = tmp_path / "mine.py"

    def read(text):
        file.write_text(text)
        return pages.read(str(file))

    return read


def test_the_signature_is_the_list_of_knobs_and_nothing_is_imported(page):
    read = page(PAGE)
    assert read.summary == "One line."
    kinds = [(k.name, k.kind, k.default, k.help) for k in read.knobs]
    assert kinds == [
        ("width", int, 8, "units of the layer"),
        ("rate", float, 1e-3, ""),
        ("widths", int, (1, 2), "several"),
        ("cell", str, "gru", ""),
        ("limit", int, None, ""),
        ("fast", bool, False, ""),
    ]
    assert [k.name for k in read.knobs if k.many] == ["widths"]
    assert [k.name for k in read.knobs if k.optional] == ["limit"]
    assert read.knobs[3].choices == ("lstm", "gru")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def experiment(:", "not a Python page"),
        ("x = 1", "defines a function experiment"),
        ("x = (", "was never closed (mine.py, line 1)"),
        ("x = '\0'", "null bytes"),
        ("def experiment(width: int = 3): ...", "keyword-only"),
        ("def experiment(*, width=3): ...", "knob width: a knob has a literal default"),
        ("def experiment(*, width: int): ...", "knob width: a knob has a literal default"),
        ("def experiment(*, width: int = f()): ...", "knob width: a knob has a literal default"),
        ("def experiment(*, width: list[int] = 3): ...", "knob width: a knob has a literal default"),
    ],
)
def test_a_page_that_is_none_is_refused_by_name(page, text, message):
    with pytest.raises(ValueError, match=r"mine\.py") as error:
        page(text)
    assert message in str(error.value)


def test_unknown_names_get_a_suggestion(page):
    with pytest.raises(ValueError, match="did you mean 'digits_mlp'"):
        pages.read("digits_mpl")
    with pytest.raises(ValueError, match="has no knob 'widht'; did you mean 'width'"):
        page(PAGE).complete({"widht": 3})


def test_every_shipped_page_says_what_it_is():
    assert "digits_mlp" in pages.names()
    for name in pages.names():
        read = pages.read(name)
        assert read.summary
        assert {"seed", "batch_size"} <= {knob.name for knob in read.knobs}, name


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"width": "x"}, "width='x' is not a whole number; its default is 8"),
        ({"width": 2.5}, "width=2.5 is not a whole number"),
        ({"width": True}, "width=True is not a whole number"),
        ({"width": -1}, "width=-1 is below 0"),
        ({"widths": (1, -2)}, "is below 0"),
        ({"widths": 3}, "widths=3 is not several"),
        ({"rate": float("nan")}, "rate=nan is no number"),
        ({"rate": float("inf")}, "rate=inf is no number"),
        ({"cell": "rnn"}, "cell='rnn' is not one of lstm, gru"),
        ({"fast": 1}, "fast=1 is not true or false"),
    ],
)
def test_a_value_that_is_not_the_knobs_is_refused(page, knobs, message):
    with pytest.raises(ValueError, match=message):
        page(PAGE).complete(knobs)


def test_a_page_that_makes_no_experiment_is_named(page):
    made = maker(str(page("def experiment(*, seed: int = 0): ...").path))
    with pytest.raises(ValueError, match=r"mine\.py: experiment\(\) returns None; return an Experiment"):
        made()


def test_values_that_fit_are_taken(page):
    taken = {"width": np.int64(3), "rate": 1, "widths": (), "cell": "lstm", "limit": -1, "fast": True}
    assert page(PAGE).complete(taken) == taken


def test_the_code_of_a_page_is_what_it_computes(page):
    code = page(PAGE).code
    same = PAGE.replace("More.", "Much more.").replace("# several", "# many").replace("= 8", "= 9")
    same = same.replace("    ...", '    """Says."""\n\n    ...  # nothing')
    assert page(same).code == code
    assert page(PAGE.replace("    ...", "    return None")).code != code


def test_a_number_is_the_same_however_it_was_given(page):
    """A run belongs to the digest of its knobs: what launch.py parses as 40.0, a notebook may have set as 40."""
    whole, real = (page(PAGE).complete({"rate": rate}) for rate in (40, 40.0))
    assert repr(whole) == repr(real)
    assert shown(40.0) == 40
    assert [repr(shown(x)) for x in (40.0, 0.5, 1e300, 3, True, "a", None)] == [
        "40", "0.5", "1e+300", "3", "True", "'a'", "None",
    ]  # fmt: skip


@pytest.mark.parametrize("name", pages.names())
def test_shipped_pages_share_their_habits(name):
    read = pages.read(name)
    assert all(knob.kind is float for knob in read.knobs if knob.name == "epochs")
    (function,) = (node for node in ast.parse(read.text).body if getattr(node, "name", "") == "experiment")
    assert ast.get_docstring(function) is None, "the page's own docstring says it"
    imported = [node.module for node in ast.walk(ast.parse(read.text)) if isinstance(node, ast.ImportFrom)]
    deep = {"fdl.data.datasets", "fdl.data.modalities", "fdl.data.readers"}
    assert not [module for module in imported if module and any(module.startswith(part) for part in deep)]

"""Pages: the files of `experiments/`, parsed without running them.

A page is a docstring and a function `experiment(*, knob: type = default, ...)`. The parameters are its knobs
(hyperparameters), and the comment after a knob is its help text. They are read from the syntax tree, without importing
the page or JAX, so that `--help`, `--list` and errors about flags are instant.
"""

import ast
import difflib
import io
import math
import tokenize
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fdl.core.errors import UserError
from fdl.core.source_code import digest_of_tree, own_files, own_imports, without_words

_HERE = Path(__file__).resolve().parent
# In a wheel the pages lie inside the package; in the repository they lie beside it.
SHIPPED = next(folder for folder in (_HERE / "experiments", _HERE.parent / "experiments") if folder.is_dir())
KINDS = {"int": int, "float": float, "str": str, "bool": bool}
TYPES: dict[type, Any] = {int: int, float: (int, float), str: str, bool: bool}
KIND = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


@dataclass(frozen=True, kw_only=True)
class Knob:
    """One parameter of a page.

    kind: int, float, str or bool. choices: the values of a `Literal`, or None. many: it is a `tuple[kind, ...]`.
    optional: whether None is allowed. help: the comment after it.
    """

    name: str
    kind: type
    default: Any
    choices: tuple[str, ...] | None = None
    many: bool = False
    optional: bool = False
    help: str = ""

    def check(self, value: Any) -> None:
        """Raise a ValueError if the value is invalid for this knob.

        Numbers must be finite; an integer whose default is 0 or more must not be negative. Arrays and JAX tracers are
        not checked.
        """
        if hasattr(value, "dtype") or (value is None and self.optional):
            return
        if self.many and not isinstance(value, tuple | list):
            raise UserError(f"{self.name}={value!r} is not several; give a tuple of {self.kind.__name__}")
        for one in value if self.many else [value]:
            if not isinstance(one, TYPES[self.kind]) or (isinstance(one, bool) and self.kind is not bool):
                raise UserError(f"{self.name}={value!r} is not {KIND[self.kind]}; its default is {self.default!r}")
            if self.choices and one not in self.choices:
                raise UserError(f"{self.name}={value!r} is not one of {', '.join(self.choices)}")
            if self.kind is float and not math.isfinite(one):
                raise UserError(f"{self.name}={value} is no number to compute with; its default is {self.default!r}")
            if self.kind is int and one < 0 and self._counts():
                raise UserError(f"{self.name}={value} is below 0, yet it is a count; its default is {self.default!r}")

    def exact(self, value: Any) -> Any:
        """Return the value in this knob's type: 40 becomes 40.0 for a float.

        Runs are identified by a digest of their knobs, in which 40 and 40.0 differ.
        """
        if self.kind is not float:
            return value
        if self.many and isinstance(value, tuple | list):
            return tuple(float(one) if isinstance(one, int) else one for one in value)
        return float(value) if isinstance(value, int) else value

    def _counts(self) -> bool:
        if self.default is None:
            return False
        return min(self.default if self.many else [self.default], default=0) >= 0


@dataclass(frozen=True, kw_only=True)
class Page:
    """A parsed page: its name, file, docstring, knobs and source text."""

    name: str
    path: Path
    doc: str
    knobs: tuple[Knob, ...]
    text: str

    @property
    def summary(self) -> str:
        """Return the first line of the docstring."""
        return self.doc.strip().split("\n", 1)[0]

    @property
    def code(self) -> str:
        """Return the digest of the page's code without comments, docstrings and the knobs' defaults.

        The knobs' values are part of a run's identity separately. Modules beside the page that it imports, directly or
        indirectly, are included.
        """
        tree = ast.parse(self.text)
        if function := _function(tree):
            function.args.kw_defaults = [None for _ in function.args.kw_defaults]
        return digest_of_tree(without_words(tree))

    def imports(self) -> dict[str, str]:
        """Return the modules besides installed packages that the page imports, with a digest of each."""
        return own_imports(self.text, package="experiments", beside=self.path.resolve().parent)

    def files(self) -> dict[str, Path]:
        """Return the files of the modules besides installed packages that the page imports."""
        return own_files(self.text, package="experiments", beside=self.path.resolve().parent)

    def complete(self, knobs: dict[str, Any]) -> dict[str, Any]:
        """Return the values of all knobs, defaults included; raise a ValueError for an unknown or invalid one."""
        known = {knob.name: knob.default for knob in self.knobs}
        for name in knobs:
            if name not in known:
                raise UserError(f"{self.name} has no knob {name!r}{meant(name, known)}; it has {', '.join(known)}")
        for knob in self.knobs:
            knob.check(knobs.get(knob.name, knob.default))
        return {knob.name: knob.exact(knobs.get(knob.name, knob.default)) for knob in self.knobs}


def names() -> list[str]:
    """Return the names of all pages, sorted."""
    return sorted(path.stem for path in SHIPPED.glob("*.py") if not path.stem.startswith("_"))


def read(name: str) -> Page:
    """Parse a page by name, or by path if the name ends in .py; raise a ValueError if that fails."""
    path = Path(name) if name.endswith(".py") else SHIPPED / f"{name}.py"
    if not path.is_file() or (path.parent == SHIPPED and path.stem not in names()):
        raise UserError(
            f"no experiment {name!r}{meant(name, names())}; --list shows them all, a path to a .py file works too"
        )
    try:
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text, str(path))
    except (SyntaxError, ValueError) as error:  # bytes that are no text, and text that is no Python
        raise UserError(f"{path}: not a Python page: {error}") from None
    found = _function(tree)
    if found is None:
        raise UserError(f"{path}: a page defines a function experiment(*, knobs...) -> Experiment; this one does not")
    return Page(
        name=path.stem, path=path, doc=ast.get_docstring(tree) or "", knobs=_knobs(found, path, text), text=text
    )


def meant(name: str, known: Sequence[str] | dict[str, Any]) -> str:
    """Return `; did you mean 'x'?` for the nearest known name, or nothing."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _function(tree: ast.Module) -> ast.FunctionDef | None:
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "experiment"]
    return found[0] if found else None


def _knobs(function: ast.FunctionDef, path: Path, text: str) -> tuple[Knob, ...]:
    spec = function.args
    if spec.args or spec.posonlyargs or spec.vararg or spec.kwarg:
        raise UserError(f"{path}:{function.lineno}: knobs are keyword-only: write experiment(*, ...)")
    comments = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.COMMENT
    }
    return tuple(
        _knob(arg, default, path, comments.get(arg.lineno, ""))
        for arg, default in zip(spec.kwonlyargs, spec.kw_defaults, strict=True)
    )


def _knob(arg: ast.arg, default: ast.expr | None, path: Path, comment: str) -> Knob:
    where = f"{path}:{arg.lineno}: knob {arg.arg}"
    rule = "a knob has a literal default and is int, float, str, bool, Literal['a', 'b'], tuple[int, ...] or X | None"
    kind: ast.expr | None
    kind, optional, many, choices = arg.annotation, False, False, None
    if isinstance(kind, ast.BinOp) and isinstance(kind.op, ast.BitOr) and _is_none(kind.right):
        kind, optional = kind.left, True
    if isinstance(kind, ast.Subscript) and isinstance(kind.value, ast.Name):
        inner = kind.slice.elts if isinstance(kind.slice, ast.Tuple) else [kind.slice]
        generic = kind.value.id
        if generic == "Literal":
            choices = tuple(x.value for x in inner if isinstance(x, ast.Constant) and isinstance(x.value, str))
            kind = ast.Name("str") if len(choices) == len(inner) else None
        elif generic == "tuple":
            kind, many = inner[0], True
    word = kind.id if isinstance(kind, ast.Name) else ""
    if word not in KINDS:
        raise UserError(f"{where}: {rule}")
    try:
        value = ast.literal_eval(default) if default is not None else ...
    except ValueError:
        value = ...
    if value is ...:
        raise UserError(f"{where}: {rule}")
    return Knob(
        name=arg.arg, kind=KINDS[word], default=value, choices=choices, many=many, optional=optional, help=comment
    )


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


CODE = "code of the page"
IMPORTS = "modules of the page"
PARTS, UNDESCRIBED = "parts", "undescribed"  # what is described of an experiment, and why some of it is not

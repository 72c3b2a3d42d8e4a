"""Source code: what is installed and has a version, what is a user's own and changes, and digests of the latter."""

import ast
import hashlib
import importlib.util
import os
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

_PACKAGES = ("site-packages", "dist-packages")
_STANDARD = tuple({os.path.realpath(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")})


def is_installed(module: str) -> bool:
    """Say whether a module, by its full name, is fdl's, Python's or of an installed package.

    A package that is installed in place (editable) is its user's own, and so are `__main__` and a notebook.
    """
    top = module.partition(".")[0]
    if top in ("fdl", "builtins") or top in sys.stdlib_module_names:
        return True
    loaded = sys.modules.get(module)
    return loaded is not None and module != "__main__" and is_installed_file(file_of(loaded))


def is_installed_file(file: str | None) -> bool:
    """Say whether a module's file is Python's or an installed package's; one without a file is built in."""
    if file is None:
        return True
    path = Path(os.path.realpath(file))
    return any(part in _PACKAGES for part in path.parts) or any(path.is_relative_to(folder) for folder in _STANDARD)


def file_of(module: ModuleType) -> str | None:
    """Return the file of a module, or None."""
    return getattr(module, "__file__", None)


def without_words(tree: ast.AST) -> ast.AST:
    """Return the syntax tree less what computes nothing: docstrings; comments are not in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return tree


def digest_of_tree(tree: ast.AST) -> str:
    """Return 12 hex digits that change with the code of a syntax tree."""
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest()[:12]


def own_imports(text: str, package: str = "", beside: Path | None = None) -> dict[str, str]:
    """Return the modules of a user that some code imports, anywhere in it and in them, with a digest of each.

    package: what relative imports begin from. beside: the folder that is looked in first, as a script's own is.
    Installed packages have a version instead, and fdl is one of them.
    """
    sources = _own_sources(text, package, beside)
    return {name: digest_of_tree(without_words(tree)) for name, (_, tree) in sources.items()}


def own_files(text: str, package: str = "", beside: Path | None = None) -> dict[str, Path]:
    """Return the files of the modules that `own_imports` finds."""
    return {name: file for name, (file, _) in _own_sources(text, package, beside).items()}


def _own_sources(text: str, package: str, beside: Path | None) -> dict[str, tuple[Path, ast.Module]]:
    """Return the file and the syntax tree of each module of a user that some code imports; of those that parse."""
    found: dict[str, tuple[Path, ast.Module]] = {}
    waiting = [(text, package)]
    while waiting:
        tree = ast.parse(waiting[-1][0])
        for name in _imported(tree, waiting.pop()[1]):
            file = None if name in found or is_installed(name) else _find(name, beside)
            if file and file.endswith(".py") and not is_installed_file(file):
                source = Path(file).read_text(encoding="utf-8")
                try:
                    found[name] = Path(file), ast.parse(source)
                except (SyntaxError, ValueError):
                    continue  # Python says what is wrong with it when it is imported
                waiting.append((source, name if file.endswith("__init__.py") else name.rpartition(".")[0]))
    return dict(sorted(found.items()))


def _imported(tree: ast.AST, package: str) -> Iterator[str]:
    """Yield the full name of every module that a tree may import, and of what encloses it."""
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        for name in names:
            parts = name.split(".")
            yield from (".".join(parts[:count]) for count in range(1, len(parts) + 1))


def _find(name: str, beside: Path | None) -> str | None:
    if beside is not None:
        path = beside.joinpath(*name.split("."))
        for file in (path / "__init__.py", path.with_suffix(".py")):
            if file.is_file():
                return str(file)
    if name in sys.modules:
        return file_of(sys.modules[name])
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, AttributeError, ValueError):
        return None
    return spec.origin if spec else None

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import fdl
import fdl.data

ROOT = Path(__file__).resolve().parents[2]


def forwarded():
    ours = {name: module for name, module in sys.modules.items() if name.startswith("fdl.")}
    return [name for name, module in ours.items() if (module.__doc__ or "").startswith("Moved to fdl.")]


def test_an_old_import_gives_what_the_new_one_gives_and_says_where_it_is():
    with pytest.warns(FutureWarning, match="write: from fdl.data import digits") as seen:
        from fdl.data.digits import digits
    assert digits is fdl.data.digits
    assert seen[0].filename == __file__
    with pytest.warns(FutureWarning, match="write: from fdl.runs.checkpoints.warm_start import of_run"):
        from fdl.weights import of_run
    assert of_run is import_module("fdl.runs.checkpoints.warm_start").of_run
    with pytest.raises(ImportError, match="cannot import name 'digitz'"):
        from fdl.data.digits import digitz  # noqa: F401


def test_what_has_moved_is_there():
    assert len(forwarded()) > 30
    for name in forwarded():
        for home in sys.modules[name].__doc__.removeprefix("Moved to ").rstrip(".").split(" and "):
            assert not (ROOT / Path(*name.split("."))).with_suffix(".py").exists(), f"{name} is a module of its own"
            import_module(home)


def test_forwarding_imports_nothing():
    code = "import sys, fdl, fdl.core.moved_modules; assert not {'jax', 'numpy', 'fdl.data'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.parametrize("package", [fdl, fdl.data])
def test_names_that_are_imported_when_used_are_those_that_types_and_tab_know(package):
    imported = [
        (node.module, alias.name)
        for block in ast.parse(Path(package.__file__).read_text()).body
        if isinstance(block, ast.If)
        for node in ast.walk(block)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    homes = {
        name: home if home.startswith("fdl.") else f"{package.__name__}.{home}" for name, home in package._HOMES.items()
    }
    assert {name: home for home, name in imported} == homes
    assert set(homes) <= set(package.__all__) <= set(dir(package))
    for name in package.__all__:
        assert getattr(package, name) is not None

"""The layers of the package, their pictures in the documentation, and what else the architecture promises.

`python tests/test_architecture.py` draws the pictures anew.
"""

import ast
import re
import subprocess
import sys
import textwrap
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# The layers, lowest first: a file imports from its own layer or lower ones. This is their only list; the pictures in
# docs/design.md and CONTRIBUTING.md are held to it below.
LAYERS = [
    ("core", "pages"),
    ("parallel", "optim", "models", "tasks", "data"),
    ("profiling", "runs"),
    ("experiment",),
    ("engine",),
    ("trained",),
    ("modes",),
    ("cli", "__main__"),
]
LAYER = {package: number for number, packages in enumerate(LAYERS) for package in packages}
SEPARATE = {"optim", "models", "tasks", "data", "parallel"}  # on one layer, and none imports another
FILES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
    for file in sorted((ROOT / "fdl").rglob("*.py"))
}


PICTURES = ("docs/design.md", "CONTRIBUTING.md")  # between the lines <!-- layers --> and <!-- end of layers -->
PICTURED = re.compile(r"(<!-- layers -->\n).*?(<!-- end of layers -->\n)", re.DOTALL)


def picture() -> str:
    """Return the layers as text, the highest first: each package with what its docstring says of it."""
    rows = []
    for number, packages in reversed(list(enumerate(LAYERS))):
        for name in packages:
            file = FILES[f"fdl.{name}"]
            says = (ast.get_docstring(ast.parse(file.read_text())) or "").split("\n", 1)[0]
            says = says.split(". ", 1)[0].rstrip(".").split(": ", 1)[-1]
            shown = f"{name}/" if file.name == "__init__.py" else f"{name}.py"
            rows += textwrap.wrap(f"{number}  {shown:13} {says}", 110, subsequent_indent=" " * 17)
    among = ", ".join(name for packages in LAYERS for name in packages if name in SEPARATE)
    return "\n".join(["```", *rows, "```", "", *textwrap.wrap(f"Of {among}, none imports another.", 120), ""])


def imports(file: Path):
    """Yield each module of fdl that a file imports, with the line."""
    for node in ast.walk(ast.parse(file.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            module = name if name in FILES else name.rpartition(".")[0]
            if module.startswith("fdl."):
                yield module, node.lineno


def package(module: str) -> str:
    return module.split(".")[1]


def test_no_two_test_files_have_one_name():
    """pytest imports tests by their file's name alone, and a second one of a name is an error of the whole suite."""
    names = Counter(file.name for file in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []


def test_a_file_imports_only_from_its_own_layer_or_lower_ones():
    wrong = []
    for module, file in FILES.items():
        if module == "fdl":
            continue
        here = package(module)
        assert here in LAYER, f"{file} is on no layer: name it in {__file__}"
        for other, line in imports(file):
            there = package(other)
            if there != here and (LAYER[there] > LAYER[here] or {here, there} <= SEPARATE):
                wrong.append(f"{file.relative_to(ROOT)}:{line}: {here} (layer {LAYER[here]}) imports {other}")
    assert not wrong, "\n".join(wrong)


def test_the_pictures_of_the_layers_are_up_to_date():
    for name in PICTURES:
        (begin, end), text = PICTURED.search((ROOT / name).read_text()).groups(), (ROOT / name).read_text()
        assert begin + picture() + end in text, f"{name} is stale; run: python tests/test_architecture.py"


def test_files_that_the_documentation_names_are_there():
    for name in (
        *PICTURES,
        "README.md",
        "CHANGELOG.md",
        *(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")),
    ):
        text = (ROOT / name).read_text().split("## 0.1.0")[0]
        named = r"[` ]((?:fdl|tests|experiments|benchmarks|docs|notebooks)/[\w/]+(?:\.\w+|/))(?=[`\s])"
        for path in re.findall(named, text):
            place = ROOT / path
            assert (place.parent if place.stem == "NAME" else place).exists(), f"{name} names {path}"


def test_no_files_import_each_other_in_a_circle():
    waits_for = {module: {other for other, _ in imports(file)} - {module} for module, file in FILES.items()}
    TopologicalSorter(waits_for).prepare()  # raises CycleError with the circle


def test_pages_use_no_mode_and_the_command_line_uses_no_more_than_it_shows():
    for file in sorted((ROOT / "experiments").glob("*.py")):
        for other, line in imports(file):
            assert LAYER[package(other)] <= LAYER["experiment"], f"{file}:{line} imports {other}"
    assert {package(other) for other, _ in imports(ROOT / "launch.py")} == {"__main__"}
    light = {"cli", "core", "pages", "parallel.targets", "runs.page_copy"}  # --help answers before JAX is imported
    for name in ("__main__", "cli.flags", "cli.help_text", "cli.parsers"):
        used = {other.removeprefix("fdl.") for other, _ in imports(FILES[f"fdl.{name}"])}
        assert {other if other in light else other.split(".")[0] for other in used} <= light, name


def test_no_model_knows_a_task_a_dataset_or_a_device():
    known = {"models", "core"}
    asks = {"devices", "local_devices", "device_count", "local_device_count", "device_put", "device_get"}
    asks |= {"default_backend", "process_index", "process_count", "pmap"}
    for file in sorted((ROOT / "fdl" / "models").rglob("*.py")):
        for other, line in imports(file):
            assert package(other) in known, f"{file}:{line} imports {other}"
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute):
                assert node.attr not in asks, f"{file}:{node.lineno} asks for {node.attr}"


def test_only_the_command_line_knows_flags():
    for file in (file for module, file in FILES.items() if package(f"{module}.") not in ("cli", "__main__")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "absl":
                assert "flags" not in {alias.name for alias in node.names}, f"{file}:{node.lineno} knows flags"


def test_nothing_imports_tensorflow_before_a_dataset_asks_for_it():
    for file in sorted((ROOT / "fdl").rglob("*.py")):
        for node in ast.parse(file.read_text()).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] in ("tensorflow", "torch") for name in names), f"{file}:{node.lineno}"


def test_training_imports_no_reader():
    code = "import sys, fdl.modes.train; print([name for name in sys.modules if name.startswith('fdl.data.readers.f')])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_no_file_names_the_host_of_a_registry():
    hosts = re.compile(r"\b(pypi|pythonhosted|download\.pytorch|anaconda|npmjs|crates)\.(org|com|io)\b")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not in a git checkout")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).suffix in (".py", ".md", ".toml", ".txt", ".yml", ".yaml", ".ipynb", ".json", ""):
            found = hosts.search((ROOT / name).read_text(encoding="utf-8", errors="ignore"))
            assert found is None or name == "tests/test_architecture.py", f"{name} names {found and found[0]}"


def test_nothing_that_is_read_as_data_can_run_as_code():
    modules = {"pickle", "cloudpickle", "marshal", "shelve", "yaml"}
    for file in sorted((ROOT / "fdl").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            where = f"{file}:{getattr(node, 'lineno', 0)}"
            assert not modules & {name.split(".")[0] for name in names}, where
            if isinstance(node, ast.Call):
                called = node.func.id if isinstance(node.func, ast.Name) else ""
                assert called not in ("eval", "exec", "compile", "__import__"), where
                allowed = [word.value for word in node.keywords if word.arg == "allow_pickle"]
                assert all(isinstance(value, ast.Constant) and not value.value for value in allowed), where


if __name__ == "__main__":
    for name in PICTURES:
        page = (ROOT / name).read_text()
        (ROOT / name).write_text(PICTURED.sub(lambda found: found[1] + picture() + found[2], page))


def test_what_is_wrong_with_the_input_is_a_user_error():
    for file in sorted((ROOT / "fdl").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                raised = node.exc.func.id if isinstance(node.exc.func, ast.Name) else ""
                assert raised != "ValueError", f"{file}:{node.lineno}: raise UserError, which becomes one line"


def test_files_functions_and_packages_stay_small():
    wrong = []
    for file in FILES.values():
        text = file.read_text()
        if len(text.splitlines()) > 300:
            wrong.append(f"{file}: {len(text.splitlines())} lines, at most 300")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno >= 60:
                wrong.append(f"{file}:{node.lineno}: {node.name} has more than 60 lines")
    free = {"__init__.py", "__main__.py", "__pycache__", "py.typed"}
    most = {ROOT / "fdl": 14, ROOT / "fdl" / "data": 13}
    for folder in {file.parent for file in FILES.values()}:
        entries = {entry.name for entry in folder.iterdir()} - free
        if len(entries) > most.get(folder, 25):
            wrong.append(f"{folder}: {len(entries)} entries, at most {most.get(folder, 25)}")
    assert not wrong, "\n".join(wrong)

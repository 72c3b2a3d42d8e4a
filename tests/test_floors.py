import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FLOORS = {
    "types": 0, "axis": 0, "pages": 0, "fault": 0, "disk": 0, "memory": 0, "clockwork": 0, "watch": 0,
    "ops": 0, "beam": 0, "models": 1, "tasks": 1, "data": 1, "optim": 1,
    "steps": 2, "executors": 2, "feed": 2, "checkpoint": 2, "folder": 2, "record": 2, "progress": 2, "flops": 2,
    "accelerator": 2, "due": 2, "weights": 2, "sampling": 2, "plot": 2, "report": 2, "lock": 2, "stop": 2,
    "processes": 1, "pieces": 2, "chips": 2, "starts": 2, "pictures": 2,
    "experiment": 3, "program": 3, "population": 3, "options": 3,
    "modes": 4,
    "cli": 5,
}  # fmt: skip
APART = {"models", "tasks", "data", "optim"}  # on one floor, but never import each other


def imports(file: Path):
    """Yield each `fdl` room that a file imports, with the line."""
    for node in ast.walk(ast.parse(file.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module] if node.module != "fdl" else [f"fdl.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "fdl" and len(parts) > 1:
                yield parts[1], node.lineno


def room(file: Path) -> str:
    return file.relative_to(ROOT / "fdl").parts[0].removesuffix(".py")


def test_a_room_imports_only_from_lower_floors():
    wrong = []
    for file in sorted((ROOT / "fdl").rglob("*.py")):
        here = room(file)
        if here == "__init__":
            continue
        assert here in FLOORS, f"{file} is on no floor: name it in {__file__} and in docs/design.md"
        for other, line in imports(file):
            if other != here and (FLOORS[other] > FLOORS[here] or {here, other} <= APART):
                wrong.append(f"{file.relative_to(ROOT)}:{line}: {here} (floor {FLOORS[here]}) imports {other}")
    assert not wrong, "\n".join(wrong)


def test_pages_use_no_mode_and_launch_uses_cli_and_pages_alone():
    for file in sorted((ROOT / "experiments").glob("*.py")):
        for other, line in imports(file):
            assert FLOORS[other] <= 3, f"{file}:{line} imports {other}"
    assert {other for other, _ in imports(ROOT / "launch.py")} == {"cli", "pages"}


def test_no_model_knows_a_task_a_dataset_or_a_device():
    known = {"models", "ops", "axis", "beam", "types"}
    asks = {"devices", "local_devices", "device_count", "local_device_count", "device_put", "device_get"}
    asks |= {"default_backend", "process_index", "process_count", "pmap"}
    for file in sorted((ROOT / "fdl" / "models").rglob("*.py")):
        for other, line in imports(file):
            assert other in known, f"{file}:{line} imports {other}"
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute):
                assert node.attr not in asks, f"{file}:{node.lineno} asks for {node.attr}"


def test_only_launch_knows_flags():
    for file in sorted((ROOT / "fdl").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "absl":
                assert "flags" not in {alias.name for alias in node.names}, f"{file}:{node.lineno} knows flags"


def test_nothing_imports_tensorflow_before_a_dataset_asks_for_it():
    for file in sorted((ROOT / "fdl").rglob("*.py")):
        for node in ast.parse(file.read_text()).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] in ("tensorflow", "torch") for name in names), f"{file}:{node.lineno}"


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

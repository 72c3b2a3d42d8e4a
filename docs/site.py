"""What the documentation site has besides the pages in this folder: made by `nox -s docs`, never by hand.

The front page is the README; the reference is made from docstrings, a page for each package; the index of experiments
from the pages of `experiments/` and what `results.json` measured of them.
"""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# Links to what has no page here.
ELSEWHERE = re.compile(r"\[([^\]]+)\]\((?:\.\./)*(?:notebooks/[^)]*|CONTRIBUTING\.md|experiments/[^)]*)\)")
FORMULA = re.compile(
    r"(?P<code>^```.*?^```|`[^`\n]+`)|\$\$(?P<block>.+?)\$\$|\$(?P<inline>[^$\n]+)\$", re.DOTALL | re.MULTILINE
)
FRONT = ("trained", "modes.fit", "modes.train", "modes.evaluate", "modes.predict", "modes.export", "modes.generate")
SINGLE = ("experiment", "optim")
PACKAGES = ("models", "tasks", "data", "core", "engine", "parallel", "runs", "profiling")


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages."""
    from mkdocs.structure.files import File

    made = {"index.md": front_page(), "experiments.md": experiments(), **dict(reference())}
    for name, text in made.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Point links at pages of the site, and leave the words where the site has no page."""
    markdown = with_formulas(ELSEWHERE.sub(r"\1", markdown))
    return (
        markdown.replace("(../README.md)", "(index.md)")
        .replace("#gh-light-mode-only", "#only-light")
        .replace("#gh-dark-mode-only", "#only-dark")
    )


def with_formulas(markdown: str) -> str:
    """Return the text with $formulas$ as MathML, which browsers show by themselves; code is left alone."""
    from latex2mathml.converter import convert

    def drawn(found: re.Match[str]) -> str:
        if found["code"]:
            return found["code"]
        display = found["block"] is not None
        return str(convert((found["block"] or found["inline"]).strip(), display="block" if display else "inline"))

    return FORMULA.sub(drawn, markdown)


def front_page() -> str:
    """Return the README as a page of this folder."""
    return (ROOT / "README.md").read_text(encoding="utf-8").replace("](docs/", "](")


def reference() -> Iterator[tuple[str, str]]:
    """Yield the pages of the reference: name and text."""
    yield "api/fdl.md", _page("fdl: training and trained runs", [f"fdl.{name}" for name in FRONT])
    for name in SINGLE:
        yield f"api/{name}.md", _page(f"fdl.{name}", [f"fdl.{name}"])
    for name in PACKAGES:
        folder = ROOT / "fdl" / name
        modules = [
            ".".join(file.relative_to(ROOT).with_suffix("").parts)
            for file in sorted(folder.rglob("*.py"))
            if file.name != "__init__.py" and not file.name.startswith("_")
        ]
        yield f"api/{name}.md", _page(f"fdl.{name}", modules)


def _page(title: str, modules: list[str]) -> str:
    return "\n\n".join([f"# {title}", *(f"::: {module}" for module in modules)]) + "\n"


def experiments() -> str:
    """Return the index of the experiments: what each is, what it reached, and what that cost."""
    results = json.loads((ROOT / "docs" / "results.json").read_text(encoding="utf-8"))
    lines = [
        "# Experiments",
        "",
        "Each is a page of `experiments/`; `fdl --experiment=NAME --help` shows its knobs. Measured values are those "
        "of [the results](results.md), with the knobs as they stand there.",
        "",
        "| experiment | what it is | measured | steps | seconds |",
        "|---|---|---|---:|---:|",
    ]
    for file in sorted((ROOT / "experiments").glob("[!_]*.py")):
        about = (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").split("\n", 1)[0]
        row = next((row for name, row in results.items() if name.split(" ")[0] == file.stem), None)
        measured = ["", "", ""]
        if row is not None:
            measured = [f"{row['metric']} {row['value']:.4g}", f"{row['steps']:,}", f"{row['seconds']:,.0f}"]
        lines.append(f"| `{file.stem}` | {about} | {' | '.join(measured)} |")
    return "\n".join(lines) + "\n"

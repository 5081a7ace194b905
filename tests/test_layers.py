"""Imports point downwards only."""

import ast
from pathlib import Path

import loraforge

HOME = Path(loraforge.__file__).parent
# The first part below `loraforge` -> its level. A module may import from a lower level, or from its own part.
LEVELS = {
    "__init__": 0,
    "errors": 0,
    "findings": 0,
    "config": 1,
    "toml_file": 1,
    "dataset": 2,
    "engine": 3,  # above dataset: the embedded engine reads pictures and buckets as the checks do
    "captioning": 3,
    "trigger": 4,
    "machine": 2,
    "presets": 3,
    "settings": 4,
    "advice": 5,
    "run": 6,
    "report": 7,
    "cli": 8,
    "__main__": 9,
}


def imports(path: Path) -> set[str]:
    """Return the parts of loraforge that a file imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "loraforge":
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names if alias.name in LEVELS}
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("loraforge.")}
    return found


def test_imports_point_downwards():
    """No module imports from its own level elsewhere, or from above."""
    upward = []
    for path in sorted(HOME.rglob("*.py")):
        part = path.relative_to(HOME).parts[0].removesuffix(".py")
        assert part in LEVELS, f"{part} has no level: add it to LEVELS and to CONTRIBUTING.md"
        upward += [
            f"{path.relative_to(HOME)} imports {other}"
            for other in imports(path)
            if other != part and LEVELS[other] >= LEVELS[part]
        ]
    assert upward == []


def test_no_file_is_longer_than_an_afternoons_read():
    """Every file stays within 300 lines."""
    long = {path.name: lines for path in HOME.rglob("*.py") if (lines := len(path.read_text().splitlines())) > 300}
    assert long == {}

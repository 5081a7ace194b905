"""Imports point downwards only."""

import ast
from pathlib import Path

import loraforge

HOME = Path(loraforge.__file__).parent
# Part -> its level; a part may have another cut out of it. A module imports from lower levels, or its own part.
LEVELS = {
    "__init__": 0,
    "errors": 0,
    "findings": 0,
    "config": 1,
    "toml_file": 1,
    "dataset": 2,
    "machine": 2,
    "engine": 3,
    "captioning": 4,
    "trigger": 5,
    "presets": 4,
    "settings": 5,
    "dataset.lint": 6,
    "advice": 7,
    "run": 8,
    "compare": 9,
    "ship": 10,
    "report": 11,
    "cli": 12,
    "__main__": 13,
}


def part(module: str) -> str:
    """Return the part that a module below `loraforge` belongs to."""
    first, second = [*module.split("."), ""][:2]
    return f"{first}.{second}" if f"{first}.{second}" in LEVELS else first


def imports(path: Path) -> set[str]:
    """Return the parts of loraforge that a file imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "loraforge":
            base = node.module.removeprefix("loraforge").removeprefix(".")
            names = [f"{base}.{alias.name}".strip(".") for alias in node.names]
            found |= {part(name) for name in names if part(name) in LEVELS}
        elif isinstance(node, ast.Import):
            found |= {part(alias.name[10:]) for alias in node.names if alias.name.startswith("loraforge.")}
    return found


def test_imports_point_downwards():
    """No module imports from its own level elsewhere, or from above."""
    upward = []
    for path in sorted(HOME.rglob("*.py")):
        own = part(".".join(path.relative_to(HOME).with_suffix("").parts))
        assert own in LEVELS, f"{own} has no level: add it to LEVELS and to CONTRIBUTING.md"
        upward += [
            f"{path.relative_to(HOME)} imports {other}"
            for other in imports(path)
            if other != own and LEVELS[other] >= LEVELS[own]
        ]
    assert upward == []


def test_no_file_is_longer_than_an_afternoons_read():
    """Every file stays within 300 lines."""
    long = {path.name: lines for path in HOME.rglob("*.py") if (lines := len(path.read_text().splitlines())) > 300}
    assert long == {}

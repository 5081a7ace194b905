"""The presets: sparse TOML files, one purpose each, every value with its reason beside it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loraforge.errors import ConfigError
from loraforge.toml_file import parse_toml


@dataclass(frozen=True, slots=True)
class Preset:
    """One preset file.

    Attributes:
        name: file name without `.toml`.
        purpose: its first comment line.
        text: the file itself; the comments are the reasons.
        values: nested tables, as a settings layer.
    """

    name: str
    purpose: str
    text: str
    values: dict[str, Any]


def folder() -> Path:
    """Return where presets live: inside an installed package, or beside it in a checkout."""
    packaged = Path(__file__).parent / "_presets"
    return packaged if packaged.is_dir() else Path(__file__).parent.parent / "presets"


def names() -> list[str]:
    """Return the names of all presets, sorted."""
    return sorted(path.stem for path in folder().glob("*.toml"))


def presets() -> Iterator[Preset]:
    """Read all presets, by name."""
    return (read_preset(name) for name in names())


def read_preset(name: str) -> Preset:
    """Read one preset.

    Raises:
        ConfigError: there is none of that name; names the nearest.
    """
    if name not in names():
        import difflib

        close = difflib.get_close_matches(name, names(), n=1, cutoff=0.5)
        guess = f"; did you mean {close[0]}?" if close else ""
        raise ConfigError(f'preset = "{name}": there is no such preset{guess}', f"choose one of {', '.join(names())}")
    text = (folder() / f"{name}.toml").read_text(encoding="utf-8")
    purpose = text.partition("\n")[0].lstrip("# ").strip()
    return Preset(name, purpose, text, parse_toml(text, f"preset {name}"))

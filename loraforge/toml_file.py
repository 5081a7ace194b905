"""Read TOML; say where it is wrong so that it can be mended at once."""

import re
import tomllib
from pathlib import Path
from typing import Any

from loraforge.errors import ConfigError

_POSITION = re.compile(r"\(at line (\d+), column (\d+)\)")


def read_toml(path: Path, origin: str | None = None) -> dict[str, Any]:
    """Read a TOML file; a syntax error shows the line and a caret.

    Raises:
        ConfigError: missing, unreadable, not UTF-8 or not TOML.
    """
    name = origin or str(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        hint = "write one with `loraforge init DIR --images PATH --trigger WORD`"
        raise ConfigError(f"{name}: there is no such file", hint) from None
    except IsADirectoryError:
        raise ConfigError(f"{name}: is a folder, not a settings file", f"name a file: {name}/forge.toml") from None
    except UnicodeDecodeError as fault:
        raise ConfigError(f"{name}: is not UTF-8 text (byte {fault.start})", "save it as UTF-8") from None
    except OSError as fault:
        raise ConfigError(f"{name}: can't be read: {fault.strerror}", "check the path and its permissions") from None
    return parse_toml(text.replace("\r\n", "\n"), name)


def parse_toml(text: str, name: str) -> dict[str, Any]:
    """Parse TOML text; see `read_toml`."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        raise ConfigError(f"{name}: {_pointed(text, str(fault))}", _toml_hint(text, str(fault))) from None
    except (ValueError, RecursionError) as fault:
        raise ConfigError(f"{name}: a value is beyond what TOML holds: {fault}", "write a smaller value") from None


def _pointed(text: str, fault: str) -> str:
    what = _POSITION.sub("", fault).strip()
    if at_end := fault.endswith("(at end of document)"):
        what = fault.removesuffix("(at end of document)").strip()
    position = _POSITION.search(fault)
    lines = text.split("\n")
    line, column = (int(position[1]), int(position[2])) if position else (len(lines), len(lines[-1]) + 1)
    shown = lines[line - 1] if line <= len(lines) else ""
    place = "at the end" if at_end else f"line {line}, column {column}"
    gutter = f"{line:>4} | "
    return f"{place}: {what}\n{gutter}{shown}\n{' ' * (len(gutter) + column - 1)}^"


def _toml_hint(text: str, fault: str) -> str:
    if "\\" in text and ("escape" in fault.lower() or "\\" in fault or "hex" in fault.lower()):
        return r"write Windows paths with single quotes 'C:\pictures' or forward slashes"
    if "twice" in fault or "overwrite" in fault.lower() or "immutable" in fault:
        return "name each table and each setting once"
    return "text stands in quotes, lists in [ ], true and false in lower case"

"""Layers of settings: default < preset < file < command line. Every value remembers which layer set it."""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loraforge.errors import ConfigError
from loraforge.settings.fields import leaves_known, tables_known

# Tables of free keys whose values are other programs' own; there `"none"` takes a key away again.
_REMOVABLE = frozenset({"engine.extra", "optimizer.args"})
_KEY = re.compile(r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$")


@dataclass(frozen=True, slots=True)
class Layer:
    """One source of settings.

    Attributes:
        origin: what to call it in a message, such as `forge.toml` or `--set`.
        values: nested tables as TOML gives them.
        base: folder that relative paths of this layer start from.
    """

    origin: str
    values: Mapping[str, Any]
    base: Path


@dataclass(slots=True)
class Merged:
    """All layers laid over each other; `origins` maps each dotted leaf to the layer that set it."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)


def from_assignments(assignments: Sequence[str], base: Path) -> Layer:
    """Turn `--set a.b=c` arguments into a layer; values are TOML, bare words are text.

    Raises:
        ConfigError: naming every argument without `=` or with a malformed key.
    """
    values: dict[str, Any] = {}
    faults = []
    for assignment in assignments:
        key, equals, raw = assignment.partition("=")
        key = key.strip()
        if not equals or not _KEY.match(key):
            faults.append(f"--set {assignment!r}: expected section.key=value")
            continue
        assign(values, key, _value(key, raw.strip()))
    if faults:
        raise ConfigError("\n".join(faults), "for example --set network.rank=32")
    return Layer("--set", values, base)


def assign(values: dict[str, Any], dotted: str, value: object) -> None:
    """Put a value at a dotted path, making the tables on the way; what is no table on the way is replaced."""
    *tables, leaf = dotted.split(".")
    for table in tables:
        inner = values.get(table)
        if not isinstance(inner, dict):
            inner = values[table] = {}
        values = inner
    values[leaf] = value


def merge(layers: Sequence[Layer]) -> Merged:
    """Lay later layers over earlier ones, leaf by leaf; paths are made absolute, `"none"` unsets."""
    merged = Merged()
    for layer in layers:
        for dotted, value in leaves(layer.values):
            if value == "none" and dotted.rpartition(".")[0] in _REMOVABLE:
                _remove(merged, dotted)
                continue
            assign(merged.values, dotted, _settled(dotted, value, layer.base))
            for stale in [path for path in merged.origins if _holds(dotted, path) or _holds(path, dotted)]:
                del merged.origins[stale]
            merged.origins[dotted] = layer.origin
    return merged


def _holds(table: str, path: str) -> bool:
    return path.startswith(f"{table}.")


def leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted path, value) for every leaf; an empty table is a leaf too, so that it can be refused."""
    for key, value in values.items():
        path = f"{prefix}{key}"
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{path}.")
        elif not isinstance(value, dict) or path not in tables_known():
            yield path, value


def _remove(merged: Merged, dotted: str) -> None:
    *tables, leaf = dotted.split(".")
    values: Any = merged.values
    for table in tables:
        values = values.get(table) if isinstance(values, dict) else None
    if isinstance(values, dict):
        values.pop(leaf, None)
    merged.origins.pop(dotted, None)


def nearest(dotted: str, extra_names: Mapping[str, str]) -> str | None:
    """Return the setting that a mistyped dotted path most likely meant.

    Args:
        dotted: the unknown path.
        extra_names: other programs' names for our settings, such as `network_dim` for `network.rank`.
    """
    import difflib

    known = [*leaves_known(), *sorted(tables_known())]
    leaf = dotted.rpartition(".")[2]
    if leaf in extra_names:
        return extra_names[leaf]
    section = dotted.rpartition(".")[0]
    siblings = [path for path in known if path.rpartition(".")[0] == section]
    for candidates, wanted in ((siblings, dotted), (known, dotted)):
        if close := difflib.get_close_matches(wanted, candidates, n=1, cutoff=0.75):
            return close[0]
    by_leaf = {path.rpartition(".")[2]: path for path in reversed(known)}
    close = difflib.get_close_matches(leaf, by_leaf, n=1, cutoff=0.75)
    return by_leaf[close[0]] if close else None


def _settled(dotted: str, value: object, base: Path) -> object:
    setting = leaves_known().get(dotted)
    if setting is None or not isinstance(value, str):
        return value
    if value == "none" and setting.nullable:
        return None
    # On this system a Windows path is one odd file name; leave it as it is, so that the message shows what was typed.
    if setting.is_path and value and "\x00" not in value and not re.match(r"^[A-Za-z]:[\\/]", value):
        try:
            return str(base / Path(value).expanduser())
        except RuntimeError:  # "~someone" without such a user
            return value
    return value


def _value(key: str, raw: str) -> object:
    setting = leaves_known().get(key)
    if setting is not None and setting.is_text and not raw.startswith(('"', "'")):
        return raw
    try:
        return tomllib.loads(f"value = {raw}")["value"] if "\n" not in raw else raw
    except (ValueError, RecursionError):
        return raw

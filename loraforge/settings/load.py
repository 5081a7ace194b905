"""Load settings: lay the layers, validate once, report every fault with its value, allowance and origin."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from loraforge.config.job import Job, contradictions
from loraforge.config.launch import LOGIN
from loraforge.engine.owned import OWNED
from loraforge.errors import ConfigError
from loraforge.presets import read_preset
from loraforge.settings.fields import leaves_known, tables_known
from loraforge.settings.layers import Layer, from_assignments, leaves, merge, nearest
from loraforge.toml_file import read_toml

DEFAULT_FILE = "forge.toml"


@dataclass(frozen=True, slots=True)
class Settings:
    """A validated job and where each of its values came from.

    Attributes:
        job: the settings; paths are absolute.
        origins: dotted path -> layer, for every value that is not a built-in default.
        base: folder of the settings file, or the working folder without one.
    """

    job: Job
    origins: Mapping[str, str]
    base: Path

    def origin(self, dotted: str) -> str:
        """Name the layer that decided a setting."""
        return self.origins.get(dotted, "default")


def load(
    file: Path | None,
    *,
    preset: str | None = None,
    flags: Mapping[str, tuple[str, object]] | None = None,
    assignments: Sequence[str] = (),
    cwd: Path,
    contradictory: bool = False,
) -> Settings:
    """Load default < preset < file < flags < `--set`.

    Args:
        file: the settings file; None for none.
        preset: name given on the command line; it beats the file's.
        flags: dotted path -> (flag, value) for options with a name of their own, such as `--images`.
        assignments: `--set` arguments.
        cwd: folder that command-line paths start from.
        contradictory: take settings that can't go together too, to judge a run that has had them.

    Raises:
        ConfigError: all faults of all layers in one report.
    """
    base = file.absolute().parent if file is not None else cwd
    stack: list[Layer] = []
    if file is not None:
        stack.append(Layer(str(file), read_toml(file), base))
    for dotted, (flag, value) in (flags or {}).items():
        stack.append(Layer(flag, _nested(dotted, value), cwd))
    stack.append(from_assignments(assignments, cwd))
    if preset is not None:
        stack.append(Layer("--preset", {"preset": preset}, cwd))
    name = next((layer.values["preset"] for layer in reversed(stack) if "preset" in layer.values), None)
    if isinstance(name, str) and name != "none":
        stack.insert(0, Layer(f"preset {name}", read_preset(name).values, base))
    merged = merge([Layer("default", {"output": {"dir": "runs"}}, base), *stack])
    origins = {path: origin for path, origin in merged.origins.items() if origin != "default"}
    try:
        job = Job.model_validate(merged.values)
    except ValidationError as fault:
        raise ConfigError(_report(_faults(fault, merged.values, origins))) from None
    if logins := [path for path, value in leaves(job.model_dump(mode="json")) if LOGIN.search(str(value))]:
        why = "holds the login of an address, which would be written into files"
        raise ConfigError(_report(f"{path} {why} (set by {_origin(path, origins)})" for path in logins))
    if not contradictory and (clashes := list(contradictions(job))):
        raise ConfigError(_report(_clash(job, path, why, origins) for path, why in clashes))
    return Settings(job, origins, base)


def _nested(dotted: str, value: object) -> dict[str, Any]:
    for key in reversed(dotted.split(".")):
        value = {key: value}
    return value  # type: ignore[return-value]  # the loop ran at least once


def _report(lines: Iterator[str]) -> str:
    faults = list(dict.fromkeys(lines))
    head = "one setting is wrong:" if len(faults) == 1 else f"{len(faults)} settings are wrong:"
    return "\n".join([head, *(f"  {fault}" for fault in faults)])


def _clash(job: Job, path: str, why: str, origins: Mapping[str, str]) -> str:
    value = _at(path, job.model_dump(mode="json"))
    return f"{path} = {shown(value)} {why} (set by {_origin(path, origins)})"


def _faults(error: ValidationError, values: Mapping[str, Any], origins: Mapping[str, str]) -> Iterator[str]:
    told: set[str] = set()
    for fault in error.errors(include_url=False):
        path = _dotted(fault["loc"])
        if path in told:  # one line a setting: Pydantic reports each member of a union
            continue
        told.add(path)
        # In a free table not the value is at fault, but what it is called.
        if "[key]" in fault["loc"] and fault["type"] != "value_error":
            yield f"{path} is no name: it begins with a letter or _ and holds no other signs than these and digits"
            continue
        yield f"{_fault(path, fault, values)} (set by {_origin(path, origins)})"


def _fault(path: str, fault: Any, values: Mapping[str, Any]) -> str:
    if fault["type"] == "extra_forbidden":
        close = nearest(path, OWNED)
        return f"{path} is not a setting" + (
            f"; did you mean {close}?" if close else "; docs/settings.md lists them all"
        )
    from loraforge.settings.schema import settings  # words for people, needed for faults only

    setting = settings().get(path)
    if setting is None and path not in tables_known():  # a key or value of a free table, such as launch.env.NAME
        setting = settings().get(path.rpartition(".")[0])
        own = fault["msg"].removeprefix("Value error, ")
        allowed = f": must be {setting.items}" if setting else f": {own}"
        return path + (f" {own}" if fault["type"] == "value_error" else allowed)
    if setting is None:
        return f"[{path}] must be a table, not {shown(_at(path, values))}"
    own = fault["msg"].removeprefix("Value error, ") if fault["type"] == "value_error" else f"must be {setting.allowed}"
    return f"{path} = {shown(_at(path, values))}: {own}"


def _origin(path: str, origins: Mapping[str, str]) -> str:
    near = (origin for leaf, origin in origins.items() if leaf.startswith(f"{path}.") or path.startswith(f"{leaf}."))
    return origins.get(path) or next(near, "default")


def _at(path: str, values: Mapping[str, Any]) -> object:
    value: object = values
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _dotted(location: tuple[int | str, ...]) -> str:
    """Drop what Pydantic adds to a location: names of union members, indexes, dictionary-key markers."""
    path = ""
    for part in location:
        if not isinstance(part, str) or part == "[key]":
            continue
        candidate = f"{path}.{part}" if path else part
        if path in leaves_known() and not leaves_known()[path].is_table:
            break
        path = candidate
        if path.rpartition(".")[0] in leaves_known():
            break
    return path


def shown(value: object) -> str:
    """Show a value as the user could have written it, cut to a readable length."""
    if isinstance(value, str):
        text = f'"{value}"' if value.isprintable() and '"' not in value else json.dumps(value)
    elif isinstance(value, list) and all(isinstance(item, str) for item in value):
        text = json.dumps(value, ensure_ascii=False)
    elif isinstance(value, bool):
        text = str(value).lower()
    elif value is None:
        text = '"none"'
    else:
        try:
            text = str(value)
        except ValueError:  # an integer beyond Python's digits for printing
            text = "a huge number"
    return text if len(text) <= 80 else f"{text[:77]}..."

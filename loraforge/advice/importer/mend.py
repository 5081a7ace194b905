"""The last look: whatever was imported is settings that loraforge accepts, or it is not imported."""

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from loraforge.advice.importer.findings import found
from loraforge.advice.importer.values import shown
from loraforge.config.job import Job, contradictions
from loraforge.errors import ConfigError
from loraforge.findings import Finding

_ROUNDS = 30


def mend(values: dict[str, Any]) -> Iterator[Finding]:
    """Take out of `values` what can't stand, in place, and say so.

    Raises:
        ConfigError: values can't be made acceptable.
    """
    for _ in range(_ROUNDS):
        try:
            job = Job.model_validate(values)
        except ValidationError as fault:
            paths = dict.fromkeys(_path(error["loc"], values) for error in fault.errors(include_url=False))
            for path in paths:
                yield from _refuse(path, values)
            continue
        clash = next(contradictions(job), None)
        if clash is None:
            return
        path, why = clash
        yield found("settings-contradict", path, f"It {why}.", "its default is used")
        if not _drop(path, values):
            break
    raise ConfigError("these settings contradict each other beyond repair", "import a simpler recipe")


def _refuse(path: str, values: dict[str, Any]) -> Iterator[Finding]:
    value: Any = values
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    if _drop(path, values):
        yield found("value-refused", path, f"{shown(value)} is outside what loraforge accepts.", "its default is used")


def _path(location: tuple[int | str, ...], values: dict[str, Any]) -> str:
    """Return the dotted path of a fault as far as it lies in tables."""
    path: list[str] = []
    table: Any = values
    for part in location:
        if not isinstance(table, dict) or part not in table:
            break
        path.append(str(part))
        table = table[part]
    return ".".join(path)


def _drop(path: str, values: dict[str, Any]) -> bool:
    *tables, leaf = path.split(".")
    table: Any = values
    for name in tables:
        table = table.get(name) if isinstance(table, dict) else None
    if not isinstance(table, dict) or leaf not in table:
        return False
    del table[leaf]
    return True

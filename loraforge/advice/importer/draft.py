"""The settings while they are being made from a source."""

from collections.abc import Mapping
from typing import Any

from loraforge.advice.importer.defaults import DEFAULTS
from loraforge.advice.importer.findings import found
from loraforge.advice.importer.source import Given, Source
from loraforge.advice.importer.values import Value, read
from loraforge.config.job import Job
from loraforge.engine.options import Option
from loraforge.findings import Finding


class Draft:
    """Values and findings so far, and what of the source is still to be read.

    Args:
        source: the recipe taken apart.
        options: the engine's options.
    """

    def __init__(self, source: Source, options: Mapping[str, Option]) -> None:
        self.source = source
        self.options = options
        self.values: dict[str, Any] = {}
        self.findings: list[Finding] = list(source.findings)
        self._ours = Job()

    def has(self, name: str) -> bool:
        """Tell whether the source gives an option, readable or not."""
        return name in self.source.options or name in self.source.data

    def take(self, name: str) -> Value | None:
        """Read an option and cross it off; None where it is unset or can't be read. A dataset file beats the rest."""
        outer = self.source.options.pop(name, None)
        given: Given | None = self.source.data.pop(name, outer)
        if given is None or name not in self.options:
            return None
        value, findings = read(self.options[name], given)
        # A dataset file checks by itself, and takes a whole number for another one; a text it takes for none.
        lenient = given is not outer and not isinstance(given.value, str)
        self.findings += [one for one in findings if not (lenient and one.code == "wrong-type")]
        return value

    def flag(self, name: str) -> bool:
        """Read a switch; False where it is unset, as the engine does."""
        return bool(self.take(name))

    def whole(self, name: str) -> int | None:
        """Read a whole number."""
        value = self.take(name)
        return value if isinstance(value, int) else None

    def real(self, name: str) -> float | None:
        """Read a number."""
        value = self.take(name)
        return float(value) if isinstance(value, int | float) else None

    def word(self, name: str) -> str | None:
        """Read a text; an empty one is none."""
        value = self.take(name)
        return value or None if isinstance(value, str) else None

    def words(self, name: str) -> list[Any]:
        """Read a list; an unset one is empty."""
        value = self.take(name)
        return value if isinstance(value, list) else []

    def engine_default(self, name: str) -> Any:
        """Return what the engine takes where an option is unset."""
        return self.options[name].default if name in self.options else None

    def put(self, path: str, value: object) -> None:
        """Set a setting."""
        section, _, rest = path.partition(".")
        table = self.values.setdefault(section, {})
        *tables, leaf = rest.split(".")
        for name in tables:
            table = table.setdefault(name, {})
        table[leaf] = value

    def get(self, path: str) -> Any:
        """Return what was set, else loraforge's default."""
        value: Any = self.values
        for name in path.split("."):
            if not isinstance(value, dict) or name not in value:
                return self._default(path)
            value = value[name]
        return value

    def put_default(self, path: str, value: object) -> None:
        """Set what the engine takes where the source says nothing; say so where loraforge takes something else."""
        if value == self._default(path):
            return
        self.put(path, value)
        self.say_default(path)

    def say_default(self, path: str) -> None:
        """Say that a default of the engine was left unset."""
        default = DEFAULTS[path]
        self.note(default.code, path, default.why, default.fix)

    def note(self, code: str, where: str, message: str, fix: str) -> None:
        """Add a finding."""
        self.findings.append(found(code, where, message, fix))

    def _default(self, path: str) -> Any:
        value: Any = self._ours
        for name in path.split("."):
            value = getattr(value, name, None)
        return value

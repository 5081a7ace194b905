"""Read one value as the engine's parser would, or as its author meant it."""

import math
import re
from collections.abc import Sequence
from difflib import get_close_matches

from loraforge.advice.importer.findings import found
from loraforge.advice.importer.source import Given
from loraforge.engine.options import Option
from loraforge.findings import Finding

Scalar = bool | int | float | str
Value = Scalar | list[Scalar]

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_LONGEST = 4096


class UnreadableError(ValueError):
    """The value can't be read as what is wanted."""


def read(option: Option, given: Given) -> tuple[Value | None, list[Finding]]:
    """Return the value, None where it can't be used, and what is wrong with it."""
    if given.value is None:
        return None, []
    try:
        value, wrong = _shaped(option, given)
    except (UnreadableError, ValueError, OverflowError):
        fix = f"--{option.name} takes {_words(option)}; the engine's default {option.default} is used"
        return None, [
            found("unreadable-value", given.where, f"{shown(given.value)} can't be read as {_words(option)}.", fix)
        ]
    findings = [_type_finding(option, given, value)] if wrong else []
    if option.choices is not None and value not in option.choices:
        return None, [*findings, _choice_finding(option, given, value)]
    return value, findings


def number(value: object) -> float:
    """Return a finite number.

    Raises:
        UnreadableError: it is none.
    """
    if isinstance(value, str):
        text = value.strip()
        value = float(text[:-1]) / 100 if text.endswith("%") else float(text[:_LONGEST])
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UnreadableError
    return float(value)


def text(value: object) -> str:
    """Return one line of clean text: no control characters, no lone surrogates."""
    if isinstance(value, list | tuple):
        return ",".join(text(item) for item in value)
    raw = str(value)[:_LONGEST]
    return _CONTROL.sub("", raw).replace("\n", " ").encode("utf-8", "replace").decode().strip()


def shown(value: object) -> str:
    """Show a value in a message, cut to a readable length."""
    line = text(value)
    return f'"{line}"' if len(line) <= 60 else f'"{line[:57]}..."'


def _shaped(option: Option, given: Given) -> tuple[Value, bool]:
    """Return the value and whether a file gives it in a type the engine would stumble over."""
    value = given.value
    if option.takes_list:
        if isinstance(value, list):
            pairs = [_scalar(option.type, item, typed=given.typed) for item in value if item is not None]
            return [item for item, _ in pairs], any(wrong for _, wrong in pairs)
        if isinstance(value, str) and option.type == "str":
            return [str(word) for word in value.split()], given.typed
        return [_scalar(option.type, value, typed=given.typed)[0]], False
    if isinstance(value, dict):
        raise UnreadableError
    if isinstance(value, list):
        if option.type not in {"str", "Path"}:
            raise UnreadableError
        return text(value), given.typed
    return _scalar(option.type, value, typed=given.typed)


def _scalar(kind: str, value: object, *, typed: bool) -> tuple[Scalar, bool]:
    match kind:
        case "bool":
            return bool(value), not isinstance(value, bool)
        case "int":
            plain = number(value)
            if not plain.is_integer():
                raise UnreadableError
            exact = int(value) if isinstance(value, int) else int(plain)
            return exact, not _is_int(value) if typed else not _reads_as_int(value)
        case "float":
            return number(value), typed and isinstance(value, str)
        case "int_or_float":
            plain = number(value)
            whole = _is_int(value) if typed else _reads_as_int(value)
            return (int(plain) if whole else plain), typed and isinstance(value, str)
        case _:
            if isinstance(value, dict):
                raise UnreadableError
            return text(value), typed and not isinstance(value, str)


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _reads_as_int(value: object) -> bool:
    return _is_int(value) or (isinstance(value, str) and re.fullmatch(r"\s*[+-]?\d+\s*", value) is not None)


def _words(option: Option) -> str:
    if option.choices is not None:
        return "one of " + ", ".join(str(choice) for choice in option.choices if choice is not None)
    kinds = {"int": "a whole number", "float": "a number", "int_or_float": "a number of steps or a fraction"}
    one = kinds.get(option.type, "text")
    return f"a list, each {one}" if option.takes_list else one


def _type_finding(option: Option, given: Given, value: Value) -> Finding:
    if option.type == "bool":
        fix = f"write {option.name} = true, or leave it out"
        return found("truthy-text", given.where, f"{shown(given.value)} counts as true in a config file.", fix)
    message = f"{shown(given.value)} is no {_words(option).removeprefix('a ')} to the engine, which converts nothing."
    return found("wrong-type", given.where, message, f"read as {shown(value)}")


def _choice_finding(option: Option, given: Given, value: Value) -> Finding:
    choices: Sequence[str] = [str(choice) for choice in option.choices or () if choice is not None]
    close = get_close_matches(str(value), choices, n=1)
    guess = f"did you mean {close[0]}? " if close else ""
    fix = f"{guess}the engine's default {option.default} is used"
    return found("not-a-choice", given.where, f"{shown(given.value)} is not {_words(option)}.", fix)

"""`[engine] extra`: any other option of the engine, checked as its own parser would.

The engine takes any key, type and choice from a config file in silence, so what is wrong must be found here.
"""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from loraforge.config.engine import OptionValue
from loraforge.engine.options import Option

Scalar = bool | int | float | str

# What a value of the type is called in a message, singular and plural.
_WORDS = {
    "bool": ("true or false", "true or false"),
    "int": ("a whole number", "whole numbers"),
    "float": ("a number", "numbers"),
    "int_or_float": ("a whole number, or a fraction below 1", "whole numbers, or fractions below 1"),
    "str": ("a text", "texts"),
    "Path": ("a path", "paths"),
}


_PICKLES = (".ckpt", ".pt", ".pth", ".pkl", ".pickle", ".bin")
_WEIGHTS = frozenset({"network_weights", "base_weights", "vae"})  # the engine unpickles whatever is named otherwise


def check_extra(
    extra: Mapping[str, OptionValue], options: Mapping[str, Option], owned: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Yield (dotted path, what is wrong and what is allowed) for every value the engine would misunderstand.

    Args:
        extra: the user's options by the engine's names.
        options: what the engine has.
        owned: engine option -> the setting of loraforge that decides it.
    """
    for name, value in extra.items():
        if fault := _fault(name, value, options, owned):
            yield f"engine.extra.{name}", fault


def _fault(name: str, value: OptionValue, options: Mapping[str, Option], owned: Mapping[str, str]) -> str | None:
    if name in owned:
        return f"is decided by {owned[name]}; set that instead"
    if name not in options:
        return _unknown(name, options, owned)
    option = options[name]
    if isinstance(value, list) != option.takes_list:
        return f"is {_shown(value)}; {_allowed(option)}"
    values: list[Scalar] = list(value) if isinstance(value, list) else [value]
    if not _fits_count(len(values), option.nargs) or not all(_fits_type(item, option.type) for item in values):
        return f"is {_shown(value)}; {_allowed(option)}"
    if option.choices is not None and not all(item in option.choices for item in values):
        return f"is {_shown(value)}; {_allowed(option)}"
    return _imported(name, values) or _pickled(name, values)


def _imported(name: str, values: list[Scalar]) -> str | None:
    if name == "dataset_class" or (name == "lr_scheduler_type" and any("." in str(item) for item in values)):
        return "is refused: the engine imports the module that it names, and runs it"
    return None


def _pickled(name: str, values: list[Scalar]) -> str | None:
    texts = [item.lower() for item in values if isinstance(item, str)]
    if any(text.endswith(_PICKLES) or (name in _WEIGHTS and not text.endswith(".safetensors")) for text in texts):
        shown = ", ".join(map(_shown, values))
        return f"is {shown}; only .safetensors files are read: others are pickles, which can run code"
    return None


def _unknown(name: str, options: Mapping[str, Option], owned: Mapping[str, str]) -> str:
    nearest = get_close_matches(name, [*options, *owned], n=1)
    if not nearest:
        return "is not an option of the engine"
    if nearest[0] in owned:
        return f"is not an option of the engine; {nearest[0]} is, and {owned[nearest[0]]} decides it"
    return f"is not an option of the engine; did you mean {nearest[0]}?"


def _fits_count(count: int, nargs: str | int | None) -> bool:
    if isinstance(nargs, int):
        return count == nargs
    return count >= 1 or nargs == "*"


def _fits_type(value: Scalar, kind: str) -> bool:
    match kind:
        case "bool":
            return isinstance(value, bool)
        case "int":
            return isinstance(value, int) and not isinstance(value, bool)
        case "float":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "int_or_float":  # steps, or a share of all steps
            return not isinstance(value, bool) and (isinstance(value, int) or (isinstance(value, float) and value < 1))
        case "str" | "Path":
            return isinstance(value, str)
        case _:  # a type that only a newer engine has: its own business
            return True


def _allowed(option: Option) -> str:
    one, many = _WORDS.get(option.type, ("a value", "values"))
    if option.choices is not None:
        return f"the engine takes {_either([_shown(choice) for choice in option.choices if choice is not None])}"
    if not option.takes_list:
        return f"the engine takes {one}"
    count = f"{option.nargs} " if isinstance(option.nargs, int) else ""
    return f"the engine takes a list of {count}{many}"


def _either(words: list[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _shown(value: OptionValue) -> str:
    """Write a value as it stands in forge.toml."""
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)

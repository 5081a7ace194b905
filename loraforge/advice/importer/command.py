"""The words of a training command: launcher, script, and the engine's options as argparse would take them."""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import PurePosixPath

from loraforge.advice.importer.carried import INVENTED
from loraforge.advice.importer.findings import found
from loraforge.advice.importer.shell import Command
from loraforge.advice.importer.source import Given, Source
from loraforge.engine.options import Option
from loraforge.engine.owned import OWNED
from loraforge.findings import Finding

SCRIPT = "flux_train_network.py"
_SCRIPT = re.compile(r"(?:^|[\\/])[\w.-]*(?:train|fine_tune|db)[\w.-]*\.py$", re.IGNORECASE)
_ENV = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_NUMBER = re.compile(r"-\.?\d")
_LAUNCHER_SWITCHES = frozenset(
    {"multi_gpu", "cpu", "debug", "quiet", "m", "module", "no_python", "use_deepspeed", "use_fsdp"}
)
_LAUNCHER = frozenset(
    {"num_processes", "num_machines", "gpu_ids", "num_cpu_threads_per_process", "main_process_port", "dynamo_mode",
     "machine_rank", "main_process_ip", *_LAUNCHER_SWITCHES}
)  # fmt: skip
MOST_FINDINGS = 300  # what has more is no recipe
_NO = frozenset({"false", "no", "off", "0"})


def training_command(commands: Sequence[Command]) -> Command | None:
    """Return the command that trains; None where there is none with options."""

    def options(command: Command) -> int:
        return sum(word.startswith("-") and len(word) > 2 for word in command.words)

    def trains(command: Command) -> bool:
        return any(_SCRIPT.search(word) for word in command.words)

    candidates = [command for command in commands if options(command)]
    if not candidates:
        return None
    heads = sorted((command for command in commands if trains(command)), key=_for_flux, reverse=True)

    def rank(command: Command) -> tuple[bool, bool, int]:
        whole = trains(command) and options(command) > 1
        return whole and _for_flux(command), whole, options(command)

    chosen = max(candidates, key=rank)
    if heads and not trains(chosen):  # ARGS=(--a 1 --b 2); accelerate launch train.py "${ARGS[@]}"
        chosen.words[:0] = [word for word in heads[0].words if "$" not in word]
    return chosen


def read_command(words: Sequence[str], options: Mapping[str, Option], source: Source) -> None:
    """Sort the words of a command into a source."""
    words = list(words)
    while words and (match := _ENV.fullmatch(words[0])):
        source.env[match[1]] = match[2]
        words = words[1:]
    at = next((index for index, word in enumerate(words) if _SCRIPT.search(word)), None)
    if at is not None:
        _launcher(words[:at], source)
        name = PurePosixPath(words[at].replace("\\", "/")).name
        if name.lower() != SCRIPT:
            source.findings.append(_other_script(name))
        words = words[at + 1 :]
    else:
        first = next((index for index, word in enumerate(words) if word.startswith("-")), len(words))
        words = words[first:]
    read_options(words, options, source)


def read_options(words: Sequence[str], options: Mapping[str, Option], source: Source) -> None:
    """Read `--name value...` as the engine's parser would, mending what it would refuse."""
    at = 0
    while at < len(words) and len(source.findings) < MOST_FINDINGS:
        word = words[at]
        at += 1
        if not _is_option(word):
            source.findings.append(_stray(word))
            continue
        raw, equals, attached = word.partition("=")
        values = [attached] if equals else []
        while at < len(words) and not _is_option(words[at]):
            values.append(words[at])
            at += 1
        _option(raw, values, options, source)


def resolve(raw: str, options: Mapping[str, Option]) -> tuple[str | None, Finding | None]:
    """Return the engine's option that a name on the command line means, and what is wrong with the name."""
    name = raw.lstrip("-")
    if name in options and raw.startswith("--"):
        return name, None
    spelt = name.replace("-", "_").lower()
    if spelt in options:
        return spelt, found("misspelt-option", raw, f"The engine knows --{spelt} only.", f"write --{spelt}")
    longer = [option for option in options if option.startswith(name)] if len(name) > 2 else []
    if len(longer) == 1:
        return longer[0], found("abbreviated-option", raw, f"Read as --{longer[0]}.", f"write --{longer[0]}")
    return None, unknown(raw, options)


def unknown(where: str, options: Mapping[str, Option]) -> Finding:
    """Say that an option does not exist, and what comes nearest."""
    name = where.rpartition(" ")[2].lstrip("-").replace("-", "_").lower()[:80]
    if name in INVENTED:
        return found(
            "unknown-option", where, "The engine has no such option.", f"what comes nearest is {INVENTED[name]}"
        )
    close = get_close_matches(name, options, n=1, cutoff=0.6)
    if not close:
        return found("unknown-option", where, "The engine has no such option.", "leave it out")
    setting = OWNED.get(close[0], f"engine.extra.{close[0]}")
    return found("unknown-option", where, "The engine has no such option.", f"the nearest is {close[0]} ({setting})")


def _for_flux(command: Command) -> bool:
    return any(PurePosixPath(word.replace("\\", "/")).name.lower() == SCRIPT for word in command.words)


def _is_option(word: str) -> bool:
    return word.startswith("-") and len(word) > 1 and not _NUMBER.match(word) and " " not in word.partition("=")[0]


def _launcher(words: Sequence[str], source: Source) -> None:
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if not word.startswith("-"):
            continue
        raw, equals, value = word.lstrip("-").partition("=")
        name = raw.replace("-", "_")
        if not equals and name not in _LAUNCHER_SWITCHES and at < len(words) and not words[at].startswith("-"):
            value = words[at]
            at += 1
        source.launcher[name] = value


def _option(raw: str, values: list[str], options: Mapping[str, Option], source: Source) -> None:
    if raw.lstrip("-") in _LAUNCHER and raw.lstrip("-") not in options:
        source.launcher[raw.lstrip("-")] = values[0] if values else ""
        return
    name, fault = resolve(raw, options)
    if fault is not None:
        source.findings.append(fault)
    if name is None:
        return
    option = options[name]
    given = _given(option, values, source)
    if given is None:
        return
    before = source.options.get(name)
    if before is not None and before.value != given.value:
        message = "It is given twice with different values; the last one counts."
        source.findings.append(found("repeated-option", f"--{name}", message, "give it once"))
    source.options[name] = given


def _given(option: Option, values: list[str], source: Source) -> Given | None:
    where = f"--{option.name}"
    if option.type == "bool":
        source.findings.extend(_stray(value, where) for value in values)
        return Given(not (values and values[0].lower() in _NO), where)
    if not values and option.nargs not in {"*", "?"}:
        source.findings.append(
            found("missing-value", where, "It stands without a value.", f"give {where} a value, or leave it out")
        )
        return None
    if option.takes_list:
        return Given(list(values), where)
    source.findings.extend(_stray(value, where) for value in values[1:])
    return Given(values[0], where) if values else None


def _stray(word: str, where: str = "") -> Finding:
    place = where or "the command"
    shown = word if len(word) <= 60 else f"{word[:57]}..."
    return found(
        "stray-word", place, f'"{shown}" belongs to no option.', "quote values with spaces; leave the rest out"
    )


def _other_script(name: str) -> Finding:
    message = f"{name} is not {SCRIPT}; what the two have in common was taken."
    return found("other-script", name, message, f"check the values against a recipe for {SCRIPT}")

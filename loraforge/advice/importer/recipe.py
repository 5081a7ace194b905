"""From anything people already have to settings and findings."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import Any

from loraforge.advice.importer import files, kohya_gui_json, kohya_toml
from loraforge.advice.importer.clean import cleaned, decoded, plain
from loraforge.advice.importer.command import read_command, training_command
from loraforge.advice.importer.draft import Draft
from loraforge.advice.importer.findings import found
from loraforge.advice.importer.fluxgym import script_of, split_dataset
from loraforge.advice.importer.forge_toml import forge_toml
from loraforge.advice.importer.mapping import draft_settings
from loraforge.advice.importer.mend import mend
from loraforge.advice.importer.shell import parse as parse_shell
from loraforge.advice.importer.source import Given, Source
from loraforge.config.job import Job
from loraforge.config.launch import LOGIN
from loraforge.engine.options import Option, known_options
from loraforge.errors import ConfigError
from loraforge.findings import Finding

LARGEST = 1 << 20
_HINT = "give it a kohya command, config or dataset TOML, a kohya_ss GUI JSON, a fluxgym folder or an N_name folder"


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import brought.

    Attributes:
        values: nested tables, as a settings layer; they validate as they are.
        findings: what was wrong with the source, in the order in which it was found.
        name: what the source is called.
    """

    values: dict[str, Any]
    findings: list[Finding] = field(default_factory=list)
    name: str = "a recipe"

    def toml(self) -> str:
        """Return the forge.toml."""
        return forge_toml(self.values, self.findings, self.name)


def import_path(path: Path, *, options: Mapping[str, Option] | None = None) -> Imported:
    """Import a file, a fluxgym folder, or a folder of pictures.

    Args:
        path: the file or folder; what it refers to is read from its own folder.
        options: the engine's options; None takes those of the pinned commit.

    Raises:
        ConfigError: nothing can be made of it.
    """
    known = known_options(None) if options is None else options
    if path.is_dir():
        script = script_of(path)
        if script is None:
            return _folder(path, known)
        path = script
    try:
        if not path.exists():
            raise ConfigError(f"{path}: there is no such file or folder", _HINT)
        text = files.read_text(path)
    except OSError as fault:
        raise ConfigError(f"{path}: can't be read: {fault.strerror}", "check the path and its permissions") from None
    if text is None:
        raise ConfigError(f"{path}: can't be read, or is larger than a mebibyte", _HINT)
    return import_text(text, name=path.name, base=path.parent, options=known)


def import_bytes(data: bytes, *, name: str, base: Path | None, options: Mapping[str, Option]) -> Imported:
    """Import what came through a pipe, whatever its encoding; see `import_text`."""
    return import_text(decoded(data), name=name, base=base, options=options)


def import_text(text: str, *, name: str, base: Path | None, options: Mapping[str, Option]) -> Imported:
    """Import a text.

    Args:
        text: a command, TOML or JSON.
        name: what to call it.
        base: folder that its relative paths may be read from; None reads nothing from disk.
        options: the engine's options.

    Raises:
        ConfigError: nothing can be made of it.
    """
    if len(text) > LARGEST:
        raise ConfigError(f"{name}: is larger than a mebibyte, which no recipe is", _HINT)
    login = LOGIN.search(text) is not None
    text = plain(text)
    if not text.strip():
        raise ConfigError(f"{name}: is empty", _HINT)
    try:
        source = _read(text, name, base, options)
        if not (source.options or source.data):
            raise ConfigError(f"{name}: holds no option that the engine knows", _HINT)
        if login:
            fix = "make a new password or token: this text has been around"
            source.findings.append(found("secret-left-out", "the text", "A login in an address was cut out.", fix))
        return _imported(source, options, name)
    except RecursionError:
        raise ConfigError(f"{name}: a value is nested deeper than any recipe nests", _HINT) from None


def _folder(path: Path, options: Mapping[str, Option]) -> Imported:
    if not files.count_pictures(path) and not any(
        files.count_pictures(path / name) for name in files.subfolders(path)[:1000]
    ):
        raise ConfigError(f"{path}: holds no pictures, and no recipe", _HINT)
    source = Source("folder", Path.cwd())
    # The file that is made of it may come to lie anywhere, and paths in it count from there.
    source.options["train_data_dir"] = Given(str(path.absolute()), str(path))
    source.options["caption_extension"] = Given(".txt", str(path))
    return _imported(source, options, str(path))


def _imported(source: Source, options: Mapping[str, Option], name: str) -> Imported:
    draft = Draft(source, options)
    draft_settings(draft)
    draft.findings.extend(mend(draft.values))
    return Imported(draft.values, list(dict.fromkeys(draft.findings)), name)


def _read(text: str, name: str, base: Path | None, options: Mapping[str, Option]) -> Source:
    if text.lstrip()[:1] in {"{", "["} and (values := _json(text)) is not None:
        return _tables(values, name, base, options, gui=True)
    if kohya_toml.looks_like(text):
        values, findings = kohya_toml.parse(text, name)
        source = _tables(values, name, base, options, gui=False)
        source.findings[:0] = findings
        return source
    command, dataset, mended = split_dataset(text)
    source = Source("command", base)
    clean, findings = cleaned(command)
    trained = training_command(parse_shell(clean))
    if trained is None:
        _refuse_broken_json(text, name)
        raise ConfigError(f"{name}: holds no option that the engine knows", _HINT)
    source.findings += [*findings, *mended, *trained.findings()]
    read_command(trained.words, options, source)
    if dataset is not None:
        kohya_toml.read_dataset(dataset, source, name)
    _refer(source, options)
    return source


def _refuse_broken_json(text: str, name: str) -> None:
    if not text.lstrip().startswith("{"):
        return
    try:
        json.loads(text)
    except json.JSONDecodeError as fault:
        place = f"line {fault.lineno}, column {fault.colno}"
        raise ConfigError(f"{name}: {place}: is no JSON: {fault.msg}", "export it again, or mend that line") from None
    except (ValueError, RecursionError):
        return


def _json(text: str) -> dict[str, Any] | None:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None


def _tables(
    values: dict[str, Any], name: str, base: Path | None, options: Mapping[str, Option], *, gui: bool
) -> Source:
    if kohya_toml.is_dataset(values):
        source = Source("dataset", base)
        kohya_toml.read_dataset(values, source, name)
        return source
    if not gui and _is_ours(values, options):
        place = base / name if base is not None and (base / name).exists() else name
        raise ConfigError(f"{name}: is a forge.toml already", f"loraforge check {quote(str(place))}")
    source = Source("gui" if gui else "config", base)
    if gui and kohya_gui_json.is_gui(values):
        kohya_gui_json.read_gui(values, options, source, name)
    else:
        kohya_toml.read_config(values, options, source, name)
    _refer(source, options)
    return source


def _is_ours(values: Mapping[str, Any], options: Mapping[str, Option]) -> bool:
    """Tell a forge.toml from a kohya config, whose tables may have the same names but never our keys."""
    keys = [(section, key) for section, table in values.items() if isinstance(table, dict) for key in table]
    ours = sum(section in Job.model_fields and hasattr(getattr(Job(), section), key) for section, key in keys)
    return ours > sum(key in options for _, key in keys) or (set(values) == {"preset"})


def _refer(source: Source, options: Mapping[str, Option]) -> None:
    """Read the files that a recipe refers to: its config, and its dataset, which is stronger."""
    config = source.options.get("config_file")
    if config is not None and isinstance(config.value, str):
        values = _toml_file(
            source, config.value if config.value.endswith(".toml") else f"{config.value}.toml", "--config_file"
        )
        if values is not None:
            kohya_toml.read_config(values, options, source, config.value)
    dataset = source.options.get("dataset_config")
    if dataset is not None and isinstance(dataset.value, str) and dataset.value and not source.data:
        values = _toml_file(source, dataset.value, "--dataset_config")
        source.dataset_unread = values is None
        if values is not None:
            kohya_toml.read_dataset(values, source, dataset.value)


def _toml_file(source: Source, name: str, where: str) -> dict[str, Any] | None:
    path = files.referred(source.base, name)
    text = files.read_text(path) if path else None
    fix = "import it from its own folder, or set what it says"
    if text is None:
        source.findings.append(
            found(
                "file-not-read",
                where,
                f"{name[:80]} can't be read here; for what it says loraforge's defaults stand.",
                fix,
            )
        )
        return None
    if name.endswith(".json"):
        return _json(text)
    try:
        values, findings = kohya_toml.parse(text, name)
    except ConfigError as fault:
        source.findings.append(found("file-not-read", where, fault.message.split("\n", 1)[0][:200], fix))
        return None
    source.findings += findings
    return values

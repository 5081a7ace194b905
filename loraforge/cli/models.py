"""`loraforge models`: find, verify or fetch the four weight files."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from loraforge.cli.common import human, printable, result, say_findings, settings_file
from loraforge.config.model import Model
from loraforge.engine.header import HeaderError, read_header
from loraforge.engine.hub import Remote, T5Precision, download, tokenizer_files, weight_file
from loraforge.engine.inspection import inspect_all, main_dtype
from loraforge.engine.weights import ROLES, Family, Found, Role, download_folder, find_weights
from loraforge.errors import EXIT_DONE, MachineError
from loraforge.findings import Finding
from loraforge.settings import load

State = Literal["ok", "missing", "faulty"]

# What a broken transfer leaves behind: nothing is lost when the right file takes its place.
_REPLACEABLE = frozenset({"weights-missing", "weights-empty", "weights-truncated", "weights-not-safetensors"})


@dataclass(frozen=True, slots=True)
class Entry:
    """One role's file as it stands: size in bytes, dtype as in its header, both None where it can't be read."""

    role: Role
    path: Path | None
    size: int | None
    dtype: str | None
    findings: tuple[Finding, ...]

    @property
    def state(self) -> State:
        """Whether it serves."""
        if not self.findings:
            return "ok"
        return "missing" if any(finding.code == "weights-missing" for finding in self.findings) else "faulty"


def models(
    *,
    fetch: Annotated[bool, typer.Option("--download", help="Fetch what is missing, the tokenizers included.")] = False,
    folder: Annotated[Path | None, typer.Option("--dir", help="Folder to look in first and to download to.")] = None,
    family: Annotated[
        Literal["flux-dev", "flux-schnell"] | None,
        typer.Option(help="Base model; default: forge.toml's, else flux-dev."),
    ] = None,
    t5: Annotated[
        T5Precision | None, typer.Option(help="Which T5-XXL to fetch: fp16 (9.8 GB, the default) or fp8 (4.9 GB).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> int:
    """Find, verify or fetch the four weight files of FLUX.1.

    Looks at the paths of ./forge.toml, then in --dir, $LORAFORGE_MODELS, the user's models folder and the hub's cache.
    """
    console = human()
    model = _settings(family)
    search = [folder.expanduser().absolute()] if folder is not None else []
    found = find_weights(model, search=search)
    entries = survey(model, found)
    if fetch:
        target = search[0] if search else download_folder()
        wanted = _wanted(model, entries, target, t5)
        if found.tokenizers is None:
            wanted += tokenizer_files(target)
        _fetch(wanted, console)
        found = find_weights(model, search=search)
        entries = survey(model, found)
        for remote in wanted:
            if remote.name.startswith("t5xxl") and remote.path != found.paths["t5xxl"]:
                console.print(f"to train with the T5 just fetched: --set model.t5xxl={remote.path}", markup=False)
    if as_json:
        result(json.dumps(_document(entries, found), indent=2, ensure_ascii=False))
    else:
        _show(console, entries, found)
    ready = all(entry.state == "ok" for entry in entries)
    return EXIT_DONE if ready else MachineError.exit_code


def survey(model: Model, found: Found) -> list[Entry]:
    """Look into each file that was found."""
    findings = list(inspect_all(found, model.family))
    return [_entry(role, found.paths[role], findings) for role in ROLES]


def _settings(family: Family | None) -> Model:
    cwd = Path.cwd()
    flags: Mapping[str, tuple[str, object]] = {"model.family": ("--family", family)} if family else {}
    return load(settings_file(None, cwd), flags=flags, cwd=cwd).job.model


def _entry(role: Role, path: Path | None, findings: Sequence[Finding]) -> Entry:
    own = tuple(finding for finding in findings if finding.where == f"model.{role}")
    try:
        if path is None:
            return Entry(role, None, None, None, own)
        return Entry(role, path, path.stat().st_size, main_dtype(read_header(path)), own)
    except (OSError, HeaderError):
        return Entry(role, path, path.stat().st_size if path is not None and path.is_file() else None, None, own)


def _wanted(model: Model, entries: Sequence[Entry], folder: Path, t5: T5Precision | None) -> list[Remote]:
    """Return what to fetch; raise for a fault that fetching would not mend, or only at the cost of a user's file."""
    wanted = []
    for entry in entries:
        remote = weight_file(entry.role, model.family, t5 or "fp16", folder)
        if entry.state == "ok":
            # Asked for by name, the other T5 comes beside the one that is there.
            if entry.role == "t5xxl" and t5 is not None and not remote.path.exists() and _name(entry) != remote.name:
                wanted.append(remote)
            continue
        fault = entry.findings[0]
        if getattr(model, entry.role) is not None:
            # Another file would not be looked at while the setting points here.
            raise MachineError(fault.message, f"correct model.{entry.role} in the settings, or remove it")
        if entry.path == remote.path and fault.code not in _REPLACEABLE:
            raise MachineError(fault.message, f"move {entry.path} away, then run the same command again")
        wanted.append(remote)
    return wanted


def _name(entry: Entry) -> str:
    return entry.path.name if entry.path is not None else ""


def _fetch(wanted: Sequence[Remote], console: Console) -> None:
    def announce(file: Remote, size: int) -> None:
        line = f"{file.name}, {_gb(size)} from {file.repository} to {file.folder}"
        console.print(line, markup=False)

    if wanted:
        download(wanted, announce=announce)
    else:
        console.print("nothing to fetch")


def _document(entries: Sequence[Entry], found: Found) -> dict[str, object]:
    return {
        "ready": all(entry.state == "ok" for entry in entries),
        "files": [
            {
                "role": entry.role,
                "path": str(entry.path) if entry.path else None,
                "state": entry.state,
                "bytes": entry.size,
                "dtype": entry.dtype,
                "findings": [finding.as_dict() for finding in entry.findings],
            }
            for entry in entries
        ],
        "tokenizers": str(found.tokenizers) if found.tokenizers else None,
        "looked_in": [str(folder) for folder in found.looked_in],
    }


def _show(console: Console, entries: Sequence[Entry], found: Found) -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("file", "state", "size", "dtype"):
        table.add_column(column, no_wrap=True, justify="right" if column == "size" else "left")
    table.add_column("path", overflow="fold")
    for entry in entries:
        size = _gb(entry.size) if entry.size is not None else ""
        table.add_row(entry.role, _state(entry.state), size, entry.dtype or "", _path(entry.path))
    if found.tokenizers is not None:
        table.add_row("tokenizers", _state("ok"), "", "", _path(found.tokenizers))
    else:
        table.add_row("tokenizers", _state("missing"), "", "", "left to the hub: the engine fetches them on first use")
    console.print(table)
    say_findings(finding for entry in entries for finding in entry.findings)
    if any(entry.state == "missing" for entry in entries):
        console.print(
            Text.assemble("\nlooked in", *(Text.assemble("\n  ", _path(folder)) for folder in found.looked_in))
        )


def _state(state: State) -> Text:
    return Text(state, {"ok": "green", "missing": "yellow", "faulty": "red"}[state])


def _path(path: Path | None) -> Text:
    return Text(printable(str(path)) if path is not None else "")


def _gb(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 10**7 else f"{size / 1e3:.1f} kB"

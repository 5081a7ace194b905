"""`loraforge doctor`: is this machine ready to train?"""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from loraforge.advice.checkup import Check
from loraforge.advice.doctor import examine, gather, is_ready
from loraforge.cli.common import human, load_settings, printable, result
from loraforge.errors import EXIT_DONE, MachineError

_MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "missing": ("✗", "bold red")}


def doctor(
    settings: Annotated[
        Path | None, typer.Argument(metavar="FORGE.TOML", help="Settings to be ready for; default: ./forge.toml.")
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> int:
    """Look at machine, engine, model files, disk and hub access; say how to mend what is missing."""
    job = load_settings(settings).job
    with human().status("looking at this machine"):
        checks = examine(job, gather(job))
    ready = is_ready(checks)
    if as_json:
        document = {"ready": ready, "checks": [check.as_dict() for check in checks]}
        result(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        _show(checks, ready=ready)
    return EXIT_DONE if ready else MachineError.exit_code


def _show(checks: list[Check], *, ready: bool) -> None:
    console = human()
    width = max(len(check.name) for check in checks)
    for check in checks:
        mark, style = _MARKS[check.state]
        console.print(Text.assemble((mark, style), f" {check.name:<{width}}  ", _indented(check.message, width + 4)))
        if check.fix:
            console.print(Text.assemble(" " * (width + 4), ("→ ", "bold"), printable(check.fix)))
    missing = sum(check.state == "missing" for check in checks)
    console.print(
        Text("ready to train" if ready else f"not ready: {missing} missing", "green" if ready else "bold red")
    )


def _indented(text: str, columns: int) -> str:
    return printable(text).replace("\n", "\n" + " " * columns)

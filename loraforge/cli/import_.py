"""`loraforge import`: what people already have becomes a forge.toml."""

import json as json_module
import sys
from pathlib import Path

import typer

from loraforge.advice.importer import Imported, import_bytes, import_path
from loraforge.advice.importer.recipe import LARGEST
from loraforge.cli.common import human, result, say_findings
from loraforge.engine.locate import find
from loraforge.engine.options import known_options
from loraforge.errors import EXIT_DONE
from loraforge.findings import ranked


def import_(
    file: str = typer.Argument(
        ..., metavar="FILE|-", help="A script, TOML, GUI JSON, fluxgym folder or N_name folder; - reads from stdin."
    ),
    json: bool = typer.Option(False, "--json", help="Print the file, its values and the findings as JSON."),
) -> int:
    """Turn a pasted kohya command or config into a forge.toml that renders to the same training.

    The file goes to stdout, what was wrong with the source to stderr: `loraforge import train.sh > forge.toml`.
    """
    options = known_options(find())
    if file == "-":
        data = sys.stdin.buffer.read(LARGEST * 4 + 1)
        imported = import_bytes(data, name="stdin", base=Path.cwd(), options=options)
    else:
        imported = import_path(Path(file), options=options)
    if json:
        result(json_module.dumps(_document(imported), ensure_ascii=False, indent=2))
    else:
        result(imported.toml())
        say_findings(imported.findings)
        human().print("docs/import.md explains each finding; `loraforge check` judges the result.", style="dim")
    return EXIT_DONE


def _document(imported: Imported) -> dict[str, object]:
    return {
        "toml": imported.toml(),
        "values": imported.values,
        "findings": [finding.as_dict() for finding in ranked(imported.findings)],
    }

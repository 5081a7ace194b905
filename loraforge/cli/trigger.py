"""`loraforge trigger`."""

import json as jsonlib
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import typer
from rich.table import Table
from rich.text import Text

from loraforge.cli.common import existing, human, result, say_findings
from loraforge.dataset.captions import caption_path, read_caption
from loraforge.dataset.images import some_pictures
from loraforge.engine.hub import download as fetch, tokenizer_files
from loraforge.engine.weights import download_folder
from loraforge.errors import ConfigError
from loraforge.findings import Finding, has_errors
from loraforge.trigger import BETTER, Tokenizers, find_tokenizers, suggest, trigger_findings

_BELOW = "take one of the words below, or any other that is as rare"


def trigger(
    word: str = typer.Argument(..., metavar="WORD", help="The trigger word."),
    images: Path | None = typer.Option(None, help="Folder of captions to check it and the suggestions against."),
    tokenizers: Path | None = typer.Option(
        None, help="Folder with openai_clip-vit-large-patch14 and google_t5-v1_1-xxl."
    ),
    suggestions: int = typer.Option(5, min=0, max=50, help="How many better words to suggest."),
    download: bool = typer.Option(False, "--download", help="Fetch both tokenizers first (a few MB)."),
    json: bool = typer.Option(False, "--json", help="One JSON document on stdout."),
) -> int:
    """Show how the two text encoders read a trigger word, what is wrong with it, and better ones."""
    existing(tokenizers, "--tokenizers")
    captions = _captions(images)
    if download:
        fetch(tokenizer_files(download_folder()))
    found = find_tokenizers([tokenizers] if tokenizers else [])
    findings = list(trigger_findings(word, captions, found))
    words = suggest(word, captions, found, suggestions)
    if json:
        result(jsonlib.dumps(_document(word, found, findings, words), indent=2))
    else:
        if found.present:
            human().print(_table(word, found))
        say_findings(
            replace(finding, fix=_BELOW) if words and finding.fix == BETTER else finding for finding in findings
        )
        if words:
            human().print("Words that are free" + (":" if found.present else ", by their spelling alone:"))
            result("\n".join(words))
    return ConfigError.exit_code if has_errors(findings) else 0


def _captions(images: Path | None) -> list[str]:
    if images is None:
        return []
    return [read_caption(caption_path(picture.path)).text for picture in some_pictures(images)]


def _document(word: str, found: Tokenizers, findings: Sequence[Finding], words: Sequence[str]) -> dict[str, Any]:
    tokens = {vocabulary.encoder: [asdict(piece) for piece in vocabulary.pieces(word)] for vocabulary in found.present}
    return {
        "word": word,
        "tokens": {"CLIP-L": None, "T5": None} | tokens,
        "missing": list(found.missing),
        "findings": [finding.as_dict() for finding in findings],
        "suggestions": list(words),
    }


def _table(word: str, found: Tokenizers) -> Table:
    table = Table("encoder", "pieces", "token numbers", title_justify="left", box=None, header_style="dim")
    for vocabulary in found.present:
        pieces = vocabulary.pieces(word)
        table.add_row(
            vocabulary.encoder,
            Text(" + ".join(piece.text for piece in pieces)),
            " ".join(str(piece.id) for piece in pieces),
        )
    return table

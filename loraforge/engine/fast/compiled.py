"""What earlier runs have compiled, so that it is known beforehand how long a start takes. Standard library only.

Torch keeps the graphs themselves, and finds them by more than stands here (its own version, the card): a note that no
longer holds costs one compilation.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loraforge.engine.fast.part import remember

FOLDER = "compiled"  # beside the notes, torch's graphs
_NOTES = "compiled.json"
# The engine's options that a block's graph depends on, beside the shapes of its inputs.
_SHAPING = (
    "apply_t5_attn_mask", "fp8_base", "gradient_checkpointing", "mixed_precision", "network_alpha", "network_args",
    "network_dim", "network_dropout", "network_train_unet_only", "t5xxl_max_token_length",
)  # fmt: skip


def compiled_shapes(cache: Path, options: Mapping[str, Any]) -> frozenset[tuple[int, int]]:
    """Return the (batch, picture tokens) that were compiled for runs with these options of the engine."""
    if not (cache / FOLDER).is_dir():
        return frozenset()
    return frozenset((batch, tokens) for batch, tokens in _read(cache).get(_kind(options), ()))


def note_compiled(cache: Path | None, options: Mapping[str, Any], shape: tuple[int, int]) -> None:
    """Note that graphs for a shape exist; where nothing can be written the next run thinks that it has to compile."""
    if cache is None or shape in compiled_shapes(cache, options):
        return
    notes = _read(cache)
    notes[_kind(options)] = [*notes.get(_kind(options), ()), shape]
    remember(cache / _NOTES, json.dumps(notes))


def _kind(options: Mapping[str, Any]) -> str:
    shaping = {name: options.get(name) for name in _SHAPING}
    return hashlib.sha256(json.dumps(shaping, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _read(cache: Path) -> dict[str, list[tuple[int, int]]]:
    try:
        found = json.loads((cache / _NOTES).read_text(encoding="utf-8"))
        return {str(kind): [(int(batch), int(tokens)) for batch, tokens in shapes] for kind, shapes in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}

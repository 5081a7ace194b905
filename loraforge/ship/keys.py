"""Whether other programs will know a LoRA's layers by their names."""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from loraforge.engine.diffusers_layout import DOUBLE, SINGLE
from loraforge.ship.lora_file import ALPHA, DOWN, UP, Lora

# What sd-scripts writes, and what ComfyUI, Forge and diffusers' own loader look for.
_UNET = re.compile(r"lora_unet_(?:(double)_blocks_(\d+)_(.+)|(single)_blocks_(\d+)_(.+))")
_TEXT = re.compile(r"lora_te[13]_.+")
_LAYERS = {
    "double": {name.replace(".", "_") for name in DOUBLE},
    "single": {name.replace(".", "_") for name in SINGLE},
}


def name_faults(lora: Lora) -> list[str]:
    """Return what would keep kohya's and ComfyUI's loaders from using every tensor; empty when nothing would."""
    faults = [*_strange(lora), *_incomplete(lora)]
    bad = next((name for name, values in lora.tensors.items() if not np.isfinite(values).all()), None)
    return [*faults, f"{bad} holds NaN or infinity"] if bad else faults


def text_encoder_layers(lora: Lora) -> int:
    """Return how many layers belong to text encoders; the engine's conversion leaves them out."""
    return sum(bool(_TEXT.fullmatch(module)) for module in lora.modules())


def _strange(lora: Lora) -> Iterator[str]:
    for name in lora.tensors:
        module, known = _module(name)
        if not known or not _is_layer(module):
            yield f"{name} is a name that no loader looks for"
            return


def _module(name: str) -> tuple[str, bool]:
    for ending in (DOWN, UP, ALPHA):
        if name.endswith(ending):
            return name.removesuffix(ending), True
    return name, False


def _is_layer(module: str) -> bool:
    if _TEXT.fullmatch(module):
        return True
    match = _UNET.fullmatch(module)
    if match is None:
        return False
    kind, layer = match[1] or match[4], match[3] or match[6]
    return layer in _LAYERS[kind]


def _incomplete(lora: Lora) -> Iterator[str]:
    for name in lora.tensors:
        module, _ = _module(name)
        down: Any = lora.tensors.get(module + DOWN)
        up: Any = lora.tensors.get(module + UP)
        if down is None or up is None:
            yield f"{module} has only one of its two matrices"
            return
        if down.ndim < 2 or up.ndim < 2 or down.shape[0] != up.shape[1]:
            yield f"{module} has matrices that do not fit: {up.shape} and {down.shape}"
            return

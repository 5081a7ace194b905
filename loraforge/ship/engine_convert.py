"""Runs the engine's own conversion of a LoRA to diffusers' layer names; started as a script, never imported.

usage: engine_convert.py ENGINE SOURCE TARGET

The engine's script writes out FLUX.1's widths; on a smaller FLUX the same proportions serve.
"""

import argparse
import sys
from collections.abc import Callable
from typing import Any


def main(home: str, source: str, target: str) -> None:
    """Convert `source` to `target` with the sd-scripts in `home`."""
    sys.path[0] = home
    from networks import convert_flux_lora

    split: Callable[..., None] = convert_flux_lora.convert_to_ai_toolkit_cat

    def proportional(tensors: Any, converted: Any, name: str, parts: list[str], dims: list[int] | None = None) -> None:
        up = tensors.get(f"{name}.lora_up.weight")
        if dims is not None and up is not None:
            dims = [part * up.shape[0] // sum(dims) for part in dims]
        split(tensors, converted, name, parts, dims)

    convert_flux_lora.convert_to_ai_toolkit_cat = proportional
    names = {"src": "sd-scripts", "dst": "ai-toolkit", "src_path": source, "dst_path": target}
    convert_flux_lora.main(argparse.Namespace(**names))


if __name__ == "__main__":
    main(*sys.argv[1:])

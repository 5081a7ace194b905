"""A LoRA as sd-scripts makes it, on diffusers' FLUX: fused projections, its names, its file and its metadata.

Needs torch; nothing that must start fast may import it.
"""

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import FluxTransformer2DModel
from peft import LoraConfig
from safetensors.torch import save, save_file
from torch import Tensor, nn
from torch.nn import functional

from loraforge.engine.diffusers_layout import adapted_modules, diffusers_modules
from loraforge.engine.shapes import read_shapes, transformer_dims

PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16, "float": torch.float32}


class Rows(nn.Module):
    """The rows of a fused up matrix that belong to one of diffusers' projections, so that training stays fused."""

    def __init__(self, up: nn.Linear, rows: slice) -> None:
        """Share `up`; nothing is copied."""
        super().__init__()
        self.up, self.rows = up, rows

    def forward(self, hidden: Tensor) -> Tensor:
        """Return this part of the fused product."""
        return functional.linear(hidden, self.up.weight[self.rows])


def add_lora(model: FluxTransformer2DModel, rank: int, alpha: float, targets: str = "all") -> nn.ModuleDict:
    """Put peft adapters into the transformer and return them under the names that sd-scripts saves them by.

    Args:
        model: diffusers' FLUX.
        rank: width of each LoRA.
        alpha: the LoRA's output is scaled by alpha / rank.
        targets: "all", "double" or "single" blocks.
    """
    fused = adapted_modules(model.config.num_layers, model.config.num_single_layers, targets)
    parts = {name: diffusers_modules(name) for name in fused}
    names = [part for group in parts.values() for part in group]
    model.add_adapter(LoraConfig(r=rank, lora_alpha=alpha, target_modules=names))
    network = nn.ModuleDict()
    for name, group in parts.items():
        layers = [model.get_submodule(part) for part in group]
        ends = np.cumsum([layer.out_features for layer in layers]).tolist()
        down, up = nn.Linear(layers[0].in_features, rank, bias=False), nn.Linear(rank, ends[-1], bias=False)
        nn.init.zeros_(up.weight)  # `down` begins as in sd-scripts: so does every nn.Linear
        for layer, end in zip(layers, ends, strict=True):
            layer.lora_A["default"] = down
            layer.lora_B["default"] = Rows(up, slice(end - layer.out_features, end))
        lora = nn.ModuleDict({"lora_down": down, "lora_up": up})
        lora.register_buffer("alpha", torch.tensor(alpha))
        network["lora_unet_" + name.replace(".", "_")] = lora
    return network


def make_metadata(base: Path, entries: Mapping[str, Any]) -> dict[str, str]:
    """Return what sd-scripts writes into a LoRA's header, of the keys that have a meaning here.

    Args:
        base: the transformer it was trained on; it is read whole, for its hash.
        entries: what only the run knows, under the header's names.
    """
    with base.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    kind = "dev" if transformer_dims(read_shapes(base))["guidance_embed"] else "schnell"
    metadata = {
        "ss_base_model_version": "flux1",
        "ss_model_type": "flux",
        "ss_network_dropout": None,
        "ss_sd_model_name": base.name,
        "ss_new_sd_model_hash": digest,
        "ss_training_started_at": time.time(),
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": f"flux-1-{kind}/lora",
        "modelspec.implementation": "https://github.com/black-forest-labs/flux",
        "modelspec.resolution": "1024x1024",
        **entries,
    }
    return {name: str(value) for name, value in metadata.items() if value is not None or name.startswith("ss_")}


def save_lora(path: Path, network: nn.Module, metadata: Mapping[str, str], precision: str) -> None:
    """Write the LoRA as sd-scripts does, hashes of its tensors included; the file appears whole or not at all."""
    state = {name: tensor.detach().to("cpu", PRECISIONS[precision]) for name, tensor in network.state_dict().items()}
    blob = save(state, {name: value for name, value in metadata.items() if name.startswith("ss_")})
    hashes = {
        "sshs_model_hash": hashlib.sha256(blob[8 + int.from_bytes(blob[:8], "little") :]).hexdigest(),
        "sshs_legacy_hash": hashlib.sha256(blob[0x100000:0x110000]).hexdigest()[:8],
    }
    scratch = path.with_suffix(".part")
    save_file(state, scratch, {**metadata, **hashes, "modelspec.date": time.strftime("%Y-%m-%dT%H:%M:%S")})
    scratch.replace(path)

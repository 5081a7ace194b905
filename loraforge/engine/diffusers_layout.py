"""FLUX's two layouts: BFL's, which sd-scripts and LoRAs use, and diffusers', which takes fused projections apart."""

import re
from collections.abc import Mapping
from typing import Any

_STREAMS = (("img", "attn.to_{}", "attn.to_out.0", "ff"), ("txt", "attn.add_{}_proj", "attn.to_add_out", "ff_context"))
# The projections of a block that a LoRA adapts, in BFL's names, each with those of diffusers it is made of, in order.
DOUBLE = {"img_mod.lin": ["norm1.linear"], "txt_mod.lin": ["norm1_context.linear"]}
for _stream, _query, _out, _feed in _STREAMS:
    DOUBLE[f"{_stream}_attn.qkv"] = [_query.format(part) for part in "qkv"]
    DOUBLE[f"{_stream}_attn.proj"] = [_out]
    DOUBLE[f"{_stream}_mlp.0"] = [f"{_feed}.net.0.proj"]
    DOUBLE[f"{_stream}_mlp.2"] = [f"{_feed}.net.2"]
SINGLE = {
    "modulation.lin": ["norm.linear"],
    "linear1": ["attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"],
    "linear2": ["proj_out"],
}
_NORMS = {
    "img_attn.norm.query_norm": "attn.norm_q",
    "img_attn.norm.key_norm": "attn.norm_k",
    "txt_attn.norm.query_norm": "attn.norm_added_q",
    "txt_attn.norm.key_norm": "attn.norm_added_k",
    "norm.query_norm": "attn.norm_q",
    "norm.key_norm": "attn.norm_k",
}
_OUTER = {
    "img_in": "x_embedder",
    "txt_in": "context_embedder",
    "time_in": "time_text_embed.timestep_embedder",
    "vector_in": "time_text_embed.text_embedder",
    "guidance_in": "time_text_embed.guidance_embedder",
    "final_layer.linear": "proj_out",
    "final_layer.adaLN_modulation.1": "norm_out.linear",
}
_EMBEDDER = {"in_layer": "linear_1", "out_layer": "linear_2"}
_BLOCK = re.compile(r"(double|single)_blocks\.(\d+)\.(.+)")


def diffusers_modules(module: str) -> list[str]:
    """Return the diffusers modules that a BFL module is made of, in the order of its rows.

    Raises:
        KeyError: FLUX has no such module.
    """
    if match := _BLOCK.fullmatch(module):
        kind, index, inner = match.groups()
        prefix = f"single_transformer_blocks.{index}" if kind == "single" else f"transformer_blocks.{index}"
        parts = [_NORMS[inner]] if inner in _NORMS else (SINGLE if kind == "single" else DOUBLE)[inner]
        return [f"{prefix}.{part}" for part in parts]
    if module in _OUTER:
        return [_OUTER[module]]
    embedder, layer = module.rsplit(".", 1)
    return [f"{_OUTER[embedder]}.{_EMBEDDER[layer]}"]


def adapted_modules(doubles: int, singles: int, targets: str = "all") -> list[str]:
    """Return the BFL names of all projections that the engine adapts.

    Args:
        doubles: number of double blocks.
        singles: number of single blocks.
        targets: "all", "double" or "single", as in the engine's `train_blocks`.
    """
    double = [f"double_blocks.{index}.{name}" for index in range(doubles) for name in DOUBLE]
    single = [f"single_blocks.{index}.{name}" for index in range(singles) for name in SINGLE]
    return (double if targets != "single" else []) + (single if targets != "double" else [])


def to_diffusers(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return a BFL-layout transformer's tensors as diffusers names and divides them.

    Args:
        state: torch tensors by name, with or without ComfyUI's prefix.

    Raises:
        KeyError: a name that FLUX has not.
    """
    plain = {name.removeprefix("model.diffusion_model."): tensor for name, tensor in state.items()}
    hidden = plain["img_in.weight"].shape[0]
    converted: dict[str, Any] = {}
    for name, tensor in plain.items():
        module, kind = name.rsplit(".", 1)
        parts = [f"{part}.{'weight' if kind == 'scale' else kind}" for part in diffusers_modules(module)]
        # Of a fused projection query, key and value are as wide as the model; the rest belongs to the last part.
        before = [hidden] * (len(parts) - 1)
        converted.update(zip(parts, tensor.split([*before, tensor.shape[0] - sum(before)]), strict=True))
    for kind in ("weight", "bias"):  # the last modulation is shift and scale to BFL, scale and shift to diffusers
        name = f"norm_out.linear.{kind}"
        converted[name] = converted[name].roll(hidden, 0)
    return converted

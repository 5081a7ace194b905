"""The dimensions of a FLUX model, read from the headers of its weight files.

The shim and the embedded engine run where loraforge may not be installed, so this needs the standard library only.
"""

from pathlib import Path
from typing import Any

from loraforge.engine.header import HeaderError, read_header

Shapes = dict[str, tuple[int, ...]]

_ROPE_THETA = 10_000


def read_shapes(path: Path) -> Shapes:
    """Return every tensor's name and shape, from the header alone.

    Raises:
        OSError: the file can't be read.
        ValueError: it is not a whole safetensors file.
    """
    try:
        return {name: tensor.shape for name, tensor in read_header(path).items()}
    except HeaderError as error:
        raise ValueError(f"{path} {error}") from error


def _count(shapes: Shapes, prefix: str) -> int:
    """Return how many numbered modules stand under a prefix."""
    return len({name[len(prefix) :].split(".", 1)[0] for name in shapes if name.startswith(prefix)})


def rope_axes(head_dim: int) -> list[int]:
    """Split a head over the three position axes as FLUX does: 128 is 16 + 56 + 56; rotary axes are even."""
    side = head_dim * 7 // 16 // 4 * 4
    return [head_dim - 2 * side, side, side]


def transformer_dims(shapes: Shapes) -> dict[str, Any]:
    """Return the transformer's dimensions under the names of sd-scripts' `FluxParams`."""
    shapes = {name.removeprefix("model.diffusion_model."): shape for name, shape in shapes.items()}
    hidden, in_channels = shapes["img_in.weight"]
    (head_dim,) = shapes["double_blocks.0.img_attn.norm.query_norm.scale"]
    return {
        "in_channels": in_channels,
        "vec_in_dim": shapes["vector_in.in_layer.weight"][1],
        "context_in_dim": shapes["txt_in.weight"][1],
        "hidden_size": hidden,
        "mlp_ratio": shapes["double_blocks.0.img_mlp.0.weight"][0] / hidden,
        "num_heads": hidden // head_dim,
        "depth": _count(shapes, "double_blocks."),
        "depth_single_blocks": _count(shapes, "single_blocks."),
        "axes_dim": rope_axes(head_dim),
        "theta": _ROPE_THETA,
        "qkv_bias": "double_blocks.0.img_attn.qkv.bias" in shapes,
        "guidance_embed": "guidance_in.in_layer.weight" in shapes,
    }


def autoencoder_channels(shapes: Shapes) -> int:
    """Return the autoencoder's base channel count, 128 in FLUX.1."""
    return shapes["encoder.conv_in.weight"][0]


def clip_dims(shapes: Shapes) -> dict[str, int]:
    """Return the CLIP text encoder's dimensions under the names of transformers' `CLIPTextConfig`."""
    vocabulary, hidden = shapes["text_model.embeddings.token_embedding.weight"]
    return {
        "vocab_size": vocabulary,
        "hidden_size": hidden,
        "projection_dim": hidden,
        "intermediate_size": shapes["text_model.encoder.layers.0.mlp.fc1.weight"][0],
        "num_attention_heads": hidden // 64,  # no tensor shows it; the heads of CLIP-L are 64 wide
        "num_hidden_layers": _count(shapes, "text_model.encoder.layers."),
    }


def t5_dims(shapes: Shapes) -> dict[str, int]:
    """Return the T5 encoder's dimensions under the names of transformers' `T5Config`."""
    block = "encoder.block.0.layer."
    vocabulary, width = shapes["shared.weight"]
    heads = shapes[f"{block}0.SelfAttention.relative_attention_bias.weight"][1]
    return {
        "vocab_size": vocabulary,
        "d_model": width,
        "d_ff": shapes[f"{block}1.DenseReluDense.wi_0.weight"][0],
        "d_kv": shapes[f"{block}0.SelfAttention.q.weight"][0] // heads,
        "num_heads": heads,
        "num_layers": _count(shapes, "encoder.block."),
    }


# What FLUX.1's own encoders measure, in the terms above.
FULL_CLIP = {
    "vocab_size": 49408,
    "hidden_size": 768,
    "projection_dim": 768,
    "intermediate_size": 3072,
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
}
FULL_T5 = {"vocab_size": 32128, "d_model": 4096, "d_ff": 10240, "d_kv": 64, "num_heads": 64, "num_layers": 24}
FULL_HIDDEN = 3072
FULL_AUTOENCODER_CHANNELS = 128

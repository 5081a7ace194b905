"""What a file's tensor names say it is: one row a kind of file that people hold in their hands."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from loraforge.engine.header import Tensor

Tensors = Mapping[str, Tensor]
Kind = Literal[
    "transformer", "clip_l", "t5xxl", "autoencoder",
    "all-in-one", "transformer-diffusers", "autoencoder-diffusers", "autoencoder-other", "clip-other", "t5-other",
    "lora", "quantised", "scaled-fp8", "flux-other", "unknown",
]  # fmt: skip
PREFIX = "model.diffusion_model."


@dataclass(frozen=True, slots=True)
class Layout:
    """A kind of file.

    Attributes:
        kind: its short name; the four roles are what the engine takes.
        named: what people call it.
        matches: whether tensors are of this kind.
    """

    kind: Kind
    named: str
    matches: Callable[[Tensors], bool]


def layout_of(tensors: Tensors) -> Layout:
    """Return the first layout that fits; the last one fits everything."""
    return next(layout for layout in _LAYOUTS if layout.matches(tensors))


def plain(tensors: Tensors) -> Tensors:
    """Drop the prefix that ComfyUI puts before a transformer's names, as the engine does."""
    return {name.removeprefix(PREFIX): tensor for name, tensor in tensors.items()}


def _any_starts(*prefixes: str) -> Callable[[Tensors], bool]:
    return lambda tensors: any(name.startswith(prefixes) for name in tensors)


def _any_ends(*suffixes: str) -> Callable[[Tensors], bool]:
    return lambda tensors: any(name.endswith(suffixes) for name in tensors)


def _all(*names: str) -> Callable[[Tensors], bool]:
    return lambda tensors: tensors.keys() >= set(names)


def _shape(tensors: Tensors, name: str, axis: int) -> int | None:
    tensor = tensors.get(name)
    return tensor.shape[axis] if tensor is not None and len(tensor.shape) > axis else None


def _all_in_one(tensors: Tensors) -> bool:
    return _any_starts(PREFIX)(tensors) and any(not name.startswith(PREFIX) for name in tensors)


def _quantised(tensors: Tensors) -> bool:
    marks = (
        ".absmax",
        ".quant_map",
        ".SCB",
        ".qweight",
        ".quant_state.bitsandbytes__nf4",
        ".quant_state.bitsandbytes__fp4",
    )
    return _any_ends(*marks)(tensors)


def _transformer(tensors: Tensors) -> bool:
    # The very names the engine counts its blocks by, and the two ends.
    needed = ("img_in.weight", "txt_in.weight", "final_layer.linear.weight")
    blocks = ("double_blocks.0.img_attn.proj.bias", "single_blocks.0.modulation.lin.bias")
    return _all(*needed, *blocks)(plain(tensors))


def _other_flux(tensors: Tensors) -> bool:
    bare = plain(tensors)
    relatives = ("distilled_guidance_layer.", "double_stream_modulation_img.", "double_blocks.", "single_blocks.")
    # Fill takes 384 input channels, Depth and Canny 128.
    return _any_starts(*relatives)(bare) and (not _transformer(bare) or _shape(bare, "img_in.weight", 1) in {128, 384})


def _clip_text(tensors: Tensors) -> bool:
    return _all("text_model.embeddings.token_embedding.weight", "text_model.encoder.layers.0.self_attn.q_proj.weight")(
        tensors
    )


def _other_clip(tensors: Tensors) -> bool:
    token = "text_model.embeddings.token_embedding.weight"  # noqa: S105  # a tensor's name
    position = "text_model.embeddings.position_embedding.weight"
    openclip = "transformer.resblocks.0.attn.in_proj_weight" in tensors
    return openclip or (
        _clip_text(tensors) and (_shape(tensors, token, 1) in {1024, 1280} or _shape(tensors, position, 0) != 77)
    )


def _t5(tensors: Tensors) -> bool:
    block = "encoder.block.0.layer."
    return _all(f"{block}0.SelfAttention.q.weight", f"{block}1.DenseReluDense.wi_0.weight", "shared.weight")(tensors)


def _other_t5(tensors: Tensors) -> bool:
    # UMT5 has a position bias in every block; T5 v1.0 has no gate; the smaller sizes are narrower in known ways.
    umt5 = "encoder.block.1.layer.0.SelfAttention.relative_attention_bias.weight" in tensors
    small = _shape(tensors, "shared.weight", 1) in {512, 768, 1024, 2048}
    return _any_starts("encoder.block.0.layer.")(tensors) and (umt5 or small or not _t5(tensors))


def _autoencoder(tensors: Tensors) -> bool:
    return _all("encoder.conv_in.weight", "decoder.conv_in.weight", "encoder.down.0.block.0.norm1.weight")(tensors)


def _other_autoencoder(tensors: Tensors) -> bool:
    return _autoencoder(tensors) and _shape(tensors, "decoder.conv_in.weight", 1) != 16


# Narrow kinds first: each row may rely on the rows above it not having matched.
_LAYOUTS = (
    Layout("lora", "a LoRA", _any_ends(".lora_down.weight", ".lora_up.weight", ".lora_A.weight", ".lora_B.weight")),
    Layout("quantised", "a bitsandbytes or GPTQ quantised file", _quantised),
    Layout(
        "scaled-fp8", "a scaled fp8 file", _any_ends("scaled_fp8", ".scale_weight", ".weight_scale", ".scale_input")
    ),
    Layout("all-in-one", "an all-in-one checkpoint", _all_in_one),
    Layout(
        "all-in-one",
        "an all-in-one checkpoint",
        _any_starts("first_stage_model.", "cond_stage_model.", "text_encoders."),
    ),
    Layout(
        "transformer-diffusers",
        "a transformer in diffusers' layout",
        _any_starts("transformer_blocks.", "single_transformer_blocks."),
    ),
    Layout(
        "autoencoder-diffusers",
        "an autoencoder in diffusers' layout",
        _any_starts("encoder.down_blocks.", "decoder.up_blocks."),
    ),
    Layout("flux-other", "a relative of FLUX.1 (Fill, Depth, Canny, Chroma or FLUX.2) or a part of one", _other_flux),
    Layout("transformer", "a FLUX transformer", _transformer),
    Layout("clip-other", "a CLIP other than CLIP-L", _other_clip),
    Layout("clip_l", "a CLIP-L text encoder", _clip_text),
    Layout("t5-other", "a T5 other than T5-XXL v1.1, or a part of one", _other_t5),
    Layout("t5xxl", "a T5-XXL text encoder", _t5),
    Layout("autoencoder-other", "the autoencoder of another model", _other_autoencoder),
    Layout("autoencoder", "a FLUX autoencoder", _autoencoder),
    Layout("unknown", "none of the files loraforge knows", lambda _: True),
)

"""A FLUX small enough for any machine: random weights in the layout of the real files, and both tokenizers.

The demo and the tests train it through the very engines that train the real one; only dimensions differ.
"""

import json
import math
import shutil
import string
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from loraforge.engine.shapes import Shapes
from loraforge.engine.weights import Weights

_HIDDEN, _HEAD, _BLOCKS = 96, 48, 2
_TEXT_WIDTH, _TEXT_LAYERS = 64, 2
_CLIP_TOKENS = 77
_AE_CHANNELS, _AE_FACTORS, _LATENT_CHANNELS = 32, (1, 2, 4, 4), 16
# What the T5 tokenizer knows; any other character is <unk> to it. CLIP's knows every byte.
_ALPHABET = string.ascii_letters + string.digits + string.punctuation


def make_tiny_flux(folder: Path, seed: int = 0) -> Weights:
    """Write a tiny FLUX.1-dev: four weight files (bf16, 13 MB in all) and both tokenizers.

    The same seed writes the same bytes. Each part appears whole or not at all, so an interrupted call can be repeated.

    Args:
        folder: where to; made if missing.
        seed: of all random values.

    Returns:
        The paths, in the form that a run takes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = Weights(
        transformer=folder / "flux1-tiny.safetensors",
        clip_l=folder / "clip_l.safetensors",
        t5xxl=folder / "t5xxl.safetensors",
        autoencoder=folder / "ae.safetensors",
        tokenizers=folder / "tokenizers",
    )
    clip, t5 = _clip_vocabulary(), _t5_vocabulary()
    _write_weights(weights.transformer, _transformer(), seed)
    _write_weights(weights.clip_l, _clip(len(clip)), seed + 1)
    _write_weights(weights.t5xxl, _t5(len(t5)), seed + 2)
    _write_weights(weights.autoencoder, _autoencoder(), seed + 3)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        _write_clip_tokenizer(Path(scratch, "openai_clip-vit-large-patch14"), clip)
        _write_t5_tokenizer(Path(scratch, "google_t5-v1_1-xxl"), t5)
        for made in Path(scratch).iterdir():
            target = folder / "tokenizers" / made.name
            target.parent.mkdir(exist_ok=True)
            shutil.rmtree(target, ignore_errors=True)
            made.replace(target)
    return weights


def _write_weights(path: Path, shapes: Shapes, seed: int) -> None:
    import torch
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, shape in shapes.items():
        if len(shape) > 1:
            # Variance is kept from layer to layer, so that latents, text and prediction are of order one as in FLUX.
            value = torch.randn(shape, generator=generator) / math.sqrt(math.prod(shape[1:]))
        elif name.endswith(("weight", "scale")):
            value = torch.ones(shape)
        else:
            value = torch.zeros(shape)
        if name == "encoder.conv_out.bias":
            value[_LATENT_CHANNELS:] = -12.0  # log-variance: pictures encode almost without noise, as they do in FLUX
        tensors[name] = value.to(torch.bfloat16)
    scratch = path.with_suffix(".part")
    save_file(tensors, scratch, metadata={"format": "pt"})
    scratch.replace(path)


def _linear(name: str, outputs: int, inputs: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", (outputs, inputs)
    yield f"{name}.bias", (outputs,)


def _transformer() -> Shapes:
    """Return the shapes of a FLUX.1-dev transformer in BFL layout."""
    hidden, shapes = _HIDDEN, dict[str, tuple[int, ...]]()
    shapes.update(_linear("img_in", hidden, 4 * _LATENT_CHANNELS))
    shapes.update(_linear("txt_in", hidden, _TEXT_WIDTH))
    for embedder, inputs in (("time_in", 256), ("vector_in", _TEXT_WIDTH), ("guidance_in", 256)):
        shapes.update(_linear(f"{embedder}.in_layer", hidden, inputs))
        shapes.update(_linear(f"{embedder}.out_layer", hidden, hidden))
    for index in range(_BLOCKS):
        for stream in ("img", "txt"):
            block = f"double_blocks.{index}.{stream}"
            shapes.update(_linear(f"{block}_mod.lin", 6 * hidden, hidden))
            shapes.update(_linear(f"{block}_attn.qkv", 3 * hidden, hidden))
            shapes.update({f"{block}_attn.norm.{side}_norm.scale": (_HEAD,) for side in ("query", "key")})
            shapes.update(_linear(f"{block}_attn.proj", hidden, hidden))
            shapes.update(_linear(f"{block}_mlp.0", 4 * hidden, hidden))
            shapes.update(_linear(f"{block}_mlp.2", hidden, 4 * hidden))
        single = f"single_blocks.{index}"
        shapes.update(_linear(f"{single}.linear1", 7 * hidden, hidden))
        shapes.update(_linear(f"{single}.linear2", hidden, 5 * hidden))
        shapes.update({f"{single}.norm.{side}_norm.scale": (_HEAD,) for side in ("query", "key")})
        shapes.update(_linear(f"{single}.modulation.lin", 3 * hidden, hidden))
    shapes.update(_linear("final_layer.linear", 4 * _LATENT_CHANNELS, hidden))
    shapes.update(_linear("final_layer.adaLN_modulation.1", 2 * hidden, hidden))
    return shapes


def _clip(vocabulary: int) -> Shapes:
    """Return the shapes of a CLIP text encoder under transformers' names."""
    width, shapes = _TEXT_WIDTH, dict[str, tuple[int, ...]]()
    shapes["text_model.embeddings.token_embedding.weight"] = (vocabulary, width)
    shapes["text_model.embeddings.position_embedding.weight"] = (_CLIP_TOKENS, width)
    for index in range(_TEXT_LAYERS):
        layer = f"text_model.encoder.layers.{index}"
        for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes.update(_linear(f"{layer}.self_attn.{projection}", width, width))
        shapes.update(_linear(f"{layer}.mlp.fc1", 4 * width, width))
        shapes.update(_linear(f"{layer}.mlp.fc2", width, 4 * width))
        for norm in ("layer_norm1", "layer_norm2"):
            shapes.update(_norm(f"{layer}.{norm}", width))
    shapes.update(_norm("text_model.final_layer_norm", width))
    return shapes


def _t5(vocabulary: int) -> Shapes:
    """Return the shapes of a T5 v1.1 encoder under transformers' names."""
    width, heads, shapes = _TEXT_WIDTH, 2, dict[str, tuple[int, ...]]()
    shapes["shared.weight"] = (vocabulary, width)
    for index in range(_TEXT_LAYERS):
        attention, dense = (f"encoder.block.{index}.layer.{part}" for part in (0, 1))
        shapes.update({f"{attention}.SelfAttention.{side}.weight": (width, width) for side in "qkvo"})
        if index == 0:
            shapes[f"{attention}.SelfAttention.relative_attention_bias.weight"] = (32, heads)
        shapes[f"{attention}.layer_norm.weight"] = (width,)
        shapes.update({f"{dense}.DenseReluDense.{gate}.weight": (4 * width, width) for gate in ("wi_0", "wi_1")})
        shapes[f"{dense}.DenseReluDense.wo.weight"] = (width, 4 * width)
        shapes[f"{dense}.layer_norm.weight"] = (width,)
    shapes["encoder.final_layer_norm.weight"] = (width,)
    return shapes


def _norm(name: str, channels: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", (channels,)
    yield f"{name}.bias", (channels,)


def _conv(name: str, outputs: int, inputs: int, kernel: int = 3) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", (outputs, inputs, kernel, kernel)
    yield f"{name}.bias", (outputs,)


def _autoencoder() -> Shapes:
    """Return the shapes of FLUX's autoencoder in BFL layout."""
    widths, shapes = [_AE_CHANNELS * factor for factor in _AE_FACTORS], dict[str, tuple[int, ...]]()
    deepest = widths[-1]

    def residual(name: str, inputs: int, outputs: int) -> None:
        shapes.update(_norm(f"{name}.norm1", inputs))
        shapes.update(_conv(f"{name}.conv1", outputs, inputs))
        shapes.update(_norm(f"{name}.norm2", outputs))
        shapes.update(_conv(f"{name}.conv2", outputs, outputs))
        if inputs != outputs:
            shapes.update(_conv(f"{name}.nin_shortcut", outputs, inputs, kernel=1))

    def middle(side: str) -> None:
        residual(f"{side}.mid.block_1", deepest, deepest)
        shapes.update(_norm(f"{side}.mid.attn_1.norm", deepest))
        for projection in ("q", "k", "v", "proj_out"):
            shapes.update(_conv(f"{side}.mid.attn_1.{projection}", deepest, deepest, kernel=1))
        residual(f"{side}.mid.block_2", deepest, deepest)

    shapes.update(_conv("encoder.conv_in", widths[0], 3))
    for level, (inputs, outputs) in enumerate(zip([widths[0], *widths], widths, strict=False)):
        residual(f"encoder.down.{level}.block.0", inputs, outputs)
        residual(f"encoder.down.{level}.block.1", outputs, outputs)
        if level < len(widths) - 1:
            shapes.update(_conv(f"encoder.down.{level}.downsample.conv", outputs, outputs))
    middle("encoder")
    shapes.update(_norm("encoder.norm_out", deepest))
    shapes.update(_conv("encoder.conv_out", 2 * _LATENT_CHANNELS, deepest))

    shapes.update(_conv("decoder.conv_in", deepest, _LATENT_CHANNELS))
    middle("decoder")
    for level, (inputs, outputs) in enumerate(zip([*widths[1:], deepest], widths, strict=True)):
        residual(f"decoder.up.{level}.block.0", inputs, outputs)
        residual(f"decoder.up.{level}.block.1", outputs, outputs)
        residual(f"decoder.up.{level}.block.2", outputs, outputs)
        if level > 0:
            shapes.update(_conv(f"decoder.up.{level}.upsample.conv", outputs, outputs))
    shapes.update(_norm("decoder.norm_out", widths[0]))
    shapes.update(_conv("decoder.conv_out", 3, widths[0]))
    return shapes


def _clip_vocabulary() -> list[str]:
    """Return a byte-level vocabulary; the end mark comes last, since CLIP finds it as the highest id."""
    from transformers.models.clip.tokenization_clip import bytes_to_unicode

    characters = list(bytes_to_unicode().values())
    return [*characters, *(f"{character}</w>" for character in characters), "<|startoftext|>", "<|endoftext|>"]


def _write_clip_tokenizer(folder: Path, vocabulary: list[str]) -> None:
    folder.mkdir()
    config = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": _CLIP_TOKENS,
        "do_lower_case": True,
        "errors": "replace",
        "unk_token": "<|endoftext|>",
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
    }
    _write_json(folder / "vocab.json", {token: index for index, token in enumerate(vocabulary)})
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")  # no merges: every byte is a token
    _write_json(folder / "tokenizer_config.json", config)


def _t5_vocabulary() -> list[tuple[str, float]]:
    """Return (piece, log-probability); the order of the first three is T5's."""
    letters = [(character, -4.0) for character in _ALPHABET]
    return [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), *letters]


def _write_t5_tokenizer(folder: Path, vocabulary: list[tuple[str, float]]) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    folder.mkdir()
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer.add_special_tokens([token for token, _ in vocabulary[:3]])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "T5Tokenizer",
        "model_max_length": 512,
        "extra_ids": 0,
        "pad_token": "<pad>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
    }
    _write_json(folder / "tokenizer_config.json", config)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

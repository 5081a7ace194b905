"""The tiny FLUX has the real layout, the same bytes for a seed, and tokenizers that transformers loads."""

from pathlib import Path

import pytest

from loraforge.engine.header import read_header
from loraforge.engine.layout import layout_of
from loraforge.engine.shapes import (
    autoencoder_channels,
    clip_dims,
    read_shapes,
    rope_axes,
    t5_dims,
    transformer_dims,
)
from loraforge.engine.tiny import make_tiny_flux
from loraforge.engine.weights import ROLES, Weights


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    """Make the weights once for this module."""
    return make_tiny_flux(tmp_path_factory.mktemp("tiny"))


def _bytes(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_same_seed_same_bytes(tiny: Weights, tmp_path: Path) -> None:
    """A seed decides every byte of weights and tokenizers; making them again over themselves changes nothing."""
    folder = tiny.transformer.parent
    first = _bytes(folder)
    make_tiny_flux(folder)
    make_tiny_flux(tmp_path, seed=1)
    assert _bytes(folder) == first
    assert _bytes(tmp_path).keys() == first.keys()
    assert _bytes(tmp_path)["flux1-tiny.safetensors"] != first["flux1-tiny.safetensors"]


def test_files_are_told_apart_as_the_real_ones(tiny: Weights) -> None:
    """Each file's header is recognised as the role that the engine takes it for."""
    assert {role: layout_of(read_header(getattr(tiny, role))).kind for role in ROLES} == {role: role for role in ROLES}


def test_dimensions_are_read_from_the_files(tiny: Weights) -> None:
    """Shapes alone give the dimensions that both engines build the model with."""
    transformer = transformer_dims(read_shapes(tiny.transformer))
    assert (transformer["hidden_size"], transformer["num_heads"], transformer["axes_dim"]) == (96, 2, [8, 20, 20])
    assert (transformer["depth"], transformer["depth_single_blocks"], transformer["guidance_embed"]) == (2, 2, True)
    assert (transformer["vec_in_dim"], transformer["context_in_dim"]) == (
        clip_dims(read_shapes(tiny.clip_l))["hidden_size"],
        t5_dims(read_shapes(tiny.t5xxl))["d_model"],
    )
    assert autoencoder_channels(read_shapes(tiny.autoencoder)) == 32


def test_rope_axes_of_the_real_model() -> None:
    """A head of FLUX.1's width is split as FLUX.1 splits it."""
    assert rope_axes(128) == [16, 56, 56]


def test_weights_are_finite_and_small(tiny: Weights) -> None:
    """The files hold finite bf16 numbers and stay within 16 MB, so that a demo is quick to set up."""
    import torch
    from safetensors.torch import load_file

    paths = [getattr(tiny, role) for role in ROLES]
    tensors = [tensor for path in paths for tensor in load_file(path).values()]
    assert all(tensor.dtype == torch.bfloat16 and bool(tensor.isfinite().all()) for tensor in tensors)
    assert sum(path.stat().st_size for path in paths) < 16_000_000


def test_tokenizers_load_and_tell_captions_apart(tiny: Weights) -> None:
    """The pinned transformers load both folders; captions keep their marks, and differ where their texts do."""
    from transformers import CLIPTokenizer, T5TokenizerFast

    assert tiny.tokenizers is not None
    clip = CLIPTokenizer.from_pretrained(tiny.tokenizers / "openai_clip-vit-large-patch14")
    t5 = T5TokenizerFast.from_pretrained(tiny.tokenizers / "google_t5-v1_1-xxl")
    boat = clip("ohwx, boat on sea", max_length=77, padding="max_length", truncation=True).input_ids
    assert (len(boat), boat[0], boat[-1]) == (77, clip.bos_token_id, clip.eos_token_id)
    assert clip.eos_token_id == len(clip) - 1  # CLIP takes the highest id for the end of a text
    assert t5("boat").input_ids[-1] == t5.eos_token_id
    assert t5.decode(t5("boat on sea").input_ids, skip_special_tokens=True) == "boat on sea"
    assert clip("boat").input_ids != clip("goat").input_ids
    assert t5("boat").input_ids != t5("goat").input_ids

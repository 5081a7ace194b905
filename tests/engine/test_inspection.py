"""Whether a weight file is what it is taken for."""

import pytest

from loraforge.config.model import Model
from loraforge.engine.header import read_header
from loraforge.engine.inspection import inspect, inspect_all, is_full_size, main_dtype
from loraforge.engine.weights import ROLES, find_weights

FILES = dict(
    zip(ROLES, ("flux1-dev.safetensors", "clip_l.safetensors", "t5xxl_fp16.safetensors", "ae.safetensors"), strict=True)
)


def _codes(path, role, family="flux-dev"):
    return [finding.code for finding in inspect(path, role, family)]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("dtype", ["BF16", "F16", "F8_E4M3"])
def test_sound_files_pass(tmp_path, write_weights, layouts, role, dtype):
    """Tiny weights in the right layout have no findings, whatever the dtype the engine takes."""
    path = write_weights(tmp_path / "x.safetensors", layouts[FILES[role]], dtype)
    assert _codes(path, role) == []
    assert main_dtype(read_header(path)) == dtype


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("given", ROLES)
def test_swapped_files_are_told(tmp_path, write_weights, layouts, role, given):
    """A file given for another role is named, with the setting it belongs to."""
    path = write_weights(tmp_path / "x.safetensors", layouts[FILES[given]])
    findings = list(inspect(path, role, "flux-dev"))
    if role == given:
        assert findings == []
    else:
        assert [finding.code for finding in findings] == ["weights-wrong-file"]
        assert f"model.{given}" in findings[0].fix
        assert findings[0].where == f"model.{role}"


def _prefixed(shapes):
    return {f"model.diffusion_model.{name}": shape for name, shape in shapes.items()}


T = FILES["transformer"]
WRONG = {
    "all in one": (
        "transformer",
        "weights-all-in-one",
        lambda s: {**_prefixed(s[T]), "vae.encoder.conv_in.weight": (1,)},
    ),
    "diffusers": (
        "transformer",
        "weights-diffusers-layout",
        lambda _: {"transformer_blocks.0.attn.add_k_proj.bias": (8,), "x_embedder.weight": (8, 64)},
    ),
    "nf4": (
        "transformer",
        "weights-quantised",
        lambda s: {**s[T], "double_blocks.0.img_attn.proj.weight.quant_state.bitsandbytes__nf4": (8,)},
    ),
    "scaled fp8": ("t5xxl", "weights-quantised", lambda s: {**s[FILES["t5xxl"]], "scaled_fp8": (1,)}),
    "lora": (
        "transformer",
        "weights-lora",
        lambda _: {"lora_unet_double_blocks_0_img_attn_proj.lora_down.weight": (4, 8)},
    ),
    "fill": ("transformer", "weights-wrong-file", lambda s: {**s[T], "img_in.weight": (96, 384)}),
    "chroma": ("transformer", "weights-wrong-file", lambda _: {"distilled_guidance_layer.in_proj.weight": (8,)}),
    "one shard": ("transformer", "weights-wrong-file", lambda _: {"double_blocks.0.img_attn.proj.bias": (96,)}),
    "clip g": (
        "clip_l",
        "weights-wrong-file",
        lambda s: {**s[FILES["clip_l"]], "text_model.embeddings.token_embedding.weight": (9, 1280)},
    ),
    "long clip": (
        "clip_l",
        "weights-wrong-file",
        lambda s: {**s[FILES["clip_l"]], "text_model.embeddings.position_embedding.weight": (248, 64)},
    ),
    "t5 base": ("t5xxl", "weights-wrong-file", lambda s: {**s[FILES["t5xxl"]], "shared.weight": (9, 768)}),
    "umt5": (
        "t5xxl",
        "weights-wrong-file",
        lambda s: {
            **s[FILES["t5xxl"]],
            "encoder.block.1.layer.0.SelfAttention.relative_attention_bias.weight": (32, 4),
        },
    ),
    "sd vae": (
        "autoencoder",
        "weights-wrong-file",
        lambda s: {**s[FILES["autoencoder"]], "decoder.conv_in.weight": (8, 4)},
    ),
    "diffusers vae": (
        "autoencoder",
        "weights-diffusers-layout",
        lambda _: {"encoder.down_blocks.0.resnets.0.norm1.weight": (8,)},
    ),
    "stranger": ("clip_l", "weights-wrong-file", lambda _: {"bert.weight": (8,)}),
    "nothing": ("clip_l", "weights-wrong-file", lambda _: {}),
}


@pytest.mark.parametrize("name", WRONG)
def test_files_people_take_by_mistake(tmp_path, write_weights, layouts, name):
    """Each of the files that look right by name is refused with one finding of its own kind."""
    role, code, shapes = WRONG[name]
    path = write_weights(tmp_path / "x.safetensors", shapes(layouts))
    assert _codes(path, role) == [code]


def test_a_prefixed_transformer_is_taken(tmp_path, write_weights, layouts):
    """The engine drops ComfyUI's prefix itself, so a transformer alone under it is no fault."""
    assert _codes(write_weights(tmp_path / "x.safetensors", _prefixed(layouts[T])), "transformer") == []


def test_family_follows_the_guidance_embedding(tmp_path, write_weights, layouts):
    """Schnell given for dev and dev given for schnell are both refused with the setting that mends it."""
    dev = write_weights(tmp_path / "dev.safetensors", layouts[T])
    layouts[T].pop("guidance_in.in_layer.bias")
    schnell = write_weights(tmp_path / "schnell.safetensors", layouts[T])
    assert _codes(dev, "transformer", "flux-schnell") == ["weights-family"]
    assert _codes(schnell, "transformer", "flux-schnell") == []
    (finding,) = inspect(schnell, "transformer", "flux-dev")
    assert "--set model.family=flux-schnell" in finding.fix


@pytest.mark.parametrize("role", ["transformer", "t5xxl"])
def test_e5m2_is_refused(tmp_path, write_weights, layouts, role):
    """The engine takes e4m3fn only."""
    path = write_weights(tmp_path / "x.safetensors", layouts[FILES[role]], "F8_E5M2")
    assert _codes(path, role) == ["weights-fp8-kind"]


def test_missing_folder_and_cut_off_files(tmp_path, write_weights, layouts):
    """A path to nothing, to a folder, and to half a file have a code each."""
    cut = write_weights(tmp_path / "cut.safetensors", layouts[T])
    cut.write_bytes(cut.read_bytes()[:-100])
    assert _codes(tmp_path / "none.safetensors", "transformer") == ["weights-missing"]
    assert _codes(tmp_path, "transformer") == ["weights-folder"]
    assert _codes(cut, "transformer") == ["weights-truncated"]


def test_unreadable_file(tmp_path, monkeypatch):
    """A file that may not be read is told, not raised."""

    def refuse(_path, _mode="r"):
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "x.safetensors"
    path.touch()
    monkeypatch.setattr(type(path), "open", refuse)
    assert _codes(path, "clip_l") == ["weights-unreadable"]


def test_inspect_all_names_the_roles_nobody_found(tmp_path, write_weights, layouts):
    """A search that found one of four gives three findings."""
    write_weights(tmp_path / "ae.safetensors", layouts["ae.safetensors"])
    found = find_weights(Model(), {"HF_HUB_CACHE": str(tmp_path / "hub")}, [tmp_path])
    assert [finding.where for finding in inspect_all(found, "flux-dev")] == [f"model.{role}" for role in ROLES[:3]]


def test_full_size_goes_by_width(tmp_path, write_weights, layouts):
    """Tiny weights are not full size; those with FLUX's widths are."""
    for name, shapes in layouts.items():
        write_weights(tmp_path / name, shapes)
    environ = {"HF_HUB_CACHE": str(tmp_path / "hub")}
    assert not is_full_size(find_weights(Model(), environ, [tmp_path]).weights())
    layouts[T]["img_in.weight"] = (3072, 64)
    layouts[FILES["clip_l"]]["text_model.embeddings.token_embedding.weight"] = (1, 768)
    layouts[FILES["t5xxl"]]["shared.weight"] = (1, 4096)
    layouts[FILES["autoencoder"]]["encoder.conv_in.weight"] = (128, 3, 3, 3)
    for name, shapes in layouts.items():
        write_weights(tmp_path / name, shapes)
    assert is_full_size(find_weights(Model(), environ, [tmp_path]).weights())

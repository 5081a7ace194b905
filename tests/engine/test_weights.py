"""Where the four weight files are looked for."""

import os
from pathlib import Path

import pytest

from loraforge.config.model import Model
from loraforge.engine.weights import ROLES, TOKENIZERS, download_folder, find_weights, model_folders
from loraforge.errors import MachineError


@pytest.fixture
def environ(tmp_path, monkeypatch):
    """An environment in which nothing of this machine's own is found."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return {"HF_HOME": str(tmp_path / "hf")}


def _touch(*paths: Path):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_configured_paths_are_never_passed_over(tmp_path, environ):
    """A path of the settings stands even where a well-known file lies in a folder."""
    _touch(tmp_path / "m" / "clip_l.safetensors")
    found = find_weights(Model(clip_l=Path("/nowhere/mine.safetensors")), environ, [tmp_path / "m"])
    assert found.paths["clip_l"] == Path("/nowhere/mine.safetensors")


@pytest.mark.parametrize(
    ("role", "family", "there", "expected"),
    [
        ("transformer", "flux-dev", ["flux1-dev.safetensors", "flux1-dev-fp8.safetensors"], "flux1-dev.safetensors"),
        ("transformer", "flux-dev", ["flux1-dev-fp8.safetensors"], "flux1-dev-fp8.safetensors"),
        ("transformer", "flux-dev", ["flux1-schnell.safetensors"], None),
        ("transformer", "flux-schnell", ["flux1-schnell-fp8.safetensors"], "flux1-schnell-fp8.safetensors"),
        ("t5xxl", "flux-dev", ["t5xxl_fp8_e4m3fn.safetensors", "t5xxl_fp16.safetensors"], "t5xxl_fp16.safetensors"),
        ("t5xxl", "flux-dev", ["t5xxl_fp8_e4m3fn.safetensors"], "t5xxl_fp8_e4m3fn.safetensors"),
        ("clip_l", "flux-dev", ["clip_l.safetensors"], "clip_l.safetensors"),
        ("autoencoder", "flux-schnell", ["vae/ae.safetensors"], "vae/ae.safetensors"),
        ("autoencoder", "flux-dev", ["sdxl_vae.safetensors"], None),
    ],
)
def test_well_known_names(tmp_path, environ, role, family, there, expected):
    """Each role is found under its usual names, the fuller file first, ComfyUI's subfolders included."""
    folder = tmp_path / "m"
    _touch(*(folder / name for name in there))
    found = find_weights(Model(family=family), environ, [folder])
    assert found.paths[role] == (folder / expected if expected else None)


def test_order_of_the_folders(tmp_path, environ):
    """$LORAFORGE_MODELS comes before the user's folder, and that before the hub's cache."""
    environ["LORAFORGE_MODELS"] = os.pathsep.join([str(tmp_path / "a"), str(tmp_path / "b")])
    snapshot = tmp_path / "hf" / "hub" / "models--black-forest-labs--FLUX.1-dev" / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    users = tmp_path / "data" / "loraforge" / "models"
    assert model_folders(environ) == (tmp_path / "a", tmp_path / "b", users, snapshot)
    assert download_folder(environ) == tmp_path / "a"
    assert download_folder({}) == users


def test_hub_cache_snapshots_serve(tmp_path, environ):
    """Files that other programs fetched through huggingface_hub are found."""
    hub = tmp_path / "hf" / "hub"
    dev = hub / "models--black-forest-labs--FLUX.1-dev" / "snapshots" / "0123"
    text = hub / "models--comfyanonymous--flux_text_encoders" / "snapshots" / "4567"
    _touch(dev / "flux1-dev.safetensors", dev / "ae.safetensors")
    _touch(text / "clip_l.safetensors", text / "t5xxl_fp16.safetensors")
    found = find_weights(Model(), environ)
    assert found.missing == []
    assert found.weights().transformer == dev / "flux1-dev.safetensors"


def test_all_missing_files_are_named_at_once(tmp_path, environ):
    """The error lists every role and every folder that was looked into."""
    with pytest.raises(MachineError) as caught:
        find_weights(Model(), environ, [tmp_path / "m"]).weights()
    assert all(f"model.{role}" in caught.value.message for role in ROLES)
    assert str(tmp_path / "m") in caught.value.message
    assert "--download" in caught.value.hint


def test_tokenizers_count_only_when_whole(tmp_path, environ):
    """Half a tokenizer download is not offered to the engine, which would trust it."""
    home = tmp_path / "m" / "tokenizers"
    clip, t5 = (home / name for name in TOKENIZERS.values())
    _touch(clip / "merges.txt", t5 / "tokenizer_config.json")
    assert find_weights(Model(), environ, [tmp_path / "m"]).tokenizers is None
    _touch(t5 / "spiece.model")
    assert find_weights(Model(), environ, [tmp_path / "m"]).tokenizers == home
    assert find_weights(Model(tokenizers=Path("/mine")), environ).tokenizers == Path("/mine")

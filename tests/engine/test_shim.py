"""The shim finds the weight files as the engine would, and leaves full-size weights alone."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from bench import SHIM, Bench

from loraforge.engine import shapes, shim
from loraforge.engine.locate import EngineHome
from loraforge.engine.shim import (
    ADAPTATIONS,
    Launch,
    save_whole,
    shrink_autoencoder,
    shrink_text_encoders,
    shrink_transformer,
    weight_options,
)


def test_weight_options_from_file_and_command_line(tmp_path: Path) -> None:
    """Tables are flattened, the .toml suffix may be missing, and the command line beats the file."""
    config = tmp_path / "config.toml"
    config.write_text('ae = "a"\n[model]\nclip_l = "c"\nt5xxl = "t"\n[training]\nseed = 1\n', "utf-8")
    found = weight_options(["--config_file", str(tmp_path / "config"), "--clip_l", "other", "--seed", "2"])
    assert found == {"ae": "a", "clip_l": "other", "t5xxl": "t"}


@pytest.mark.parametrize("text", [None, "ae = ", 'ae = ["list"]'])
def test_a_bad_config_file_is_left_to_the_engine(text: str | None, tmp_path: Path) -> None:
    """A missing, broken or mistyped file names no weights."""
    if text is not None:
        (tmp_path / "config.toml").write_text(text, "utf-8")
    assert weight_options(["--config_file", str(tmp_path / "config.toml")]) == {}


def test_inference_options() -> None:
    """The engine's inference script names the transformer otherwise."""
    assert weight_options(["--ckpt_path", "flux.safetensors", "--ae=ae.safetensors"]) == {
        "ckpt_path": "flux.safetensors",
        "ae": "ae.safetensors",
    }


def _full_size() -> dict[str, dict[str, tuple[int, ...]]]:
    layers = {f"text_model.encoder.layers.{index}.mlp.fc1.weight": (3072, 768) for index in range(12)}
    blocks = {f"encoder.block.{index}.layer.0.SelfAttention.q.weight": (4096, 4096) for index in range(24)}
    bias = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    return {
        "clip_l": {"text_model.embeddings.token_embedding.weight": (49408, 768), **layers},
        "t5xxl": {
            "shared.weight": (32128, 4096),
            bias: (32, 64),
            "encoder.block.0.layer.1.DenseReluDense.wi_0.weight": (10240, 4096),
            **blocks,
        },
        "ae": {"encoder.conv_in.weight": (128, 3, 3, 3)},
        "pretrained_model_name_or_path": {
            "img_in.weight": (3072, 64),
            "double_blocks.0.img_attn.norm.query_norm.scale": (128,),
            "double_blocks.0.img_mlp.0.weight": (12288, 3072),
            "vector_in.in_layer.weight": (3072, 768),
            "txt_in.weight": (3072, 4096),
        },
    }


@pytest.mark.parametrize("known", [True, False])
def test_full_size_or_unknown_weights_change_nothing(known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With FLUX.1's own shapes, or none that are understood, no module of the engine is even imported."""
    files: dict[str, Any] = _full_size() if known else {}
    monkeypatch.setattr(shapes, "read_shapes", lambda path: files[str(path)])
    launch = Launch({name: name for name in _full_size()}, shapes)
    for adapt in (shrink_transformer, shrink_autoencoder, shrink_text_encoders):
        adapt(launch)  # the engine is not on the path: an import would fail


def test_weights_appear_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A save that fails or is cut off leaves what was there; one that ends well leaves nothing beside the file."""
    import safetensors

    def save(tensors: dict[str, int], path: Path) -> None:
        path.write_text(str(tensors))
        if not tensors:
            raise OSError(28, "No space left on device")

    library = SimpleNamespace(save_file=save)
    monkeypatch.setattr(safetensors, "torch", library, raising=False)
    monkeypatch.setitem(sys.modules, "safetensors.torch", library)
    save_whole(Launch({}, shapes))
    path = tmp_path / "lora.safetensors"
    library.save_file({"a": 1}, str(path))
    with pytest.raises(OSError, match="No space left"):
        library.save_file({}, str(path))
    assert [found.name for found in tmp_path.iterdir()] == [path.name]
    assert path.read_text() == "{'a': 1}"


@pytest.mark.engine
def test_sd_scripts_trains_the_tiny_flux_and_repeats_itself(tmp_path: Path, engine_home: EngineHome) -> None:
    """The real engine trains on shrunken weights; neither warm caches nor one that is made again change the LoRA."""
    from safetensors.torch import load_file

    bench, loras = Bench(tmp_path), []
    for name in ("cold", "warm"):
        config = bench.config(name, max_data_loader_n_workers=0, sample_at_first=False)
        done = bench.run(config, SHIM, LORAFORGE_ENGINE_DIR=str(engine_home.path))
        assert done.returncode == 0, done.stderr[-3000:]
        assert "model saved." in done.stderr
        state = load_file(tmp_path / name / "art.safetensors")
        loras.append({name: tensor.float().numpy().tobytes() for name, tensor in state.items()})
        next(tmp_path.rglob("*_flux.npz")).unlink()
    assert len(loras[0]) == 78
    assert loras[0] == loras[1]


def test_files_are_saved_whole_before_anything_that_saves_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what runs beside the imports begins earlier; the fast parts, which import the engine, come after."""
    done: list[str] = []
    fast: Any = SimpleNamespace(
        Context=lambda *_: "context",
        begin=lambda names, _: done.append(f"begin {','.join(names)}"),
        apply=lambda names, *_: done.append(f"apply {','.join(names)}"),
    )
    telemetry: Any = SimpleNamespace(record_steps=lambda path: done.append(f"record {path.name}"))
    monkeypatch.setattr(shim, "ADAPTATIONS", (lambda _: done.append("adapt"),))
    for name in (shim.FAST_VARIABLE, shim.TELEMETRY_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    launch = Launch({}, shapes)
    shim.adapt_engine(launch, fast, telemetry)
    assert done == ["begin ", "adapt"]
    done.clear()
    monkeypatch.setenv(shim.FAST_VARIABLE, "hash,norms")
    monkeypatch.setenv(shim.TELEMETRY_VARIABLE, str(tmp_path / "steps.ndjson"))
    shim.adapt_engine(launch, fast, telemetry)
    assert done == ["begin hash,norms", "adapt", "apply hash,norms", "record steps.ndjson"]
    assert ADAPTATIONS[0] is save_whole

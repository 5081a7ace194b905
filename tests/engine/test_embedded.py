"""The embedded engine trains for real on the tiny FLUX: a LoRA as sd-scripts saves it, repeatable to the bit."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from bench import EMBEDDED, Bench, python
from safetensors import safe_open

from loraforge.engine.diffusers_layout import adapted_modules
from loraforge.engine.locate import EngineHome

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Prepare the folder once."""
    return Bench(tmp_path_factory.mktemp("embedded"))


@pytest.fixture(scope="module")
def first(bench: Bench) -> "subprocess.CompletedProcess[str]":
    """Make the run that the tests below look at."""
    done = bench.run(bench.config("first"))
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def _metadata(path: Path) -> dict[str, str]:
    with safe_open(path, "np") as file:
        return dict(file.metadata())


def test_results_are_named_as_the_engine_names_them(bench: Bench, first) -> None:
    """Checkpoints, states and samples lie where sd-scripts puts them; old states are removed by its rule."""
    folder = bench.folder / "first"
    assert sorted(path.name for path in folder.iterdir()) == [
        "art-state",
        "art-step00000002.safetensors",
        "art-step00000004-state",
        "art-step00000004.safetensors",
        "art-step00000006-state",
        "art-step00000006.safetensors",
        "art.safetensors",
        "sample",
    ]
    samples = sorted(path.name for path in (folder / "sample").iterdir())
    assert [re.sub(r"_\d{14}_", "_TIME_", name) for name in samples] == [
        f"art_{step}_00_TIME_5.png" for step in ("000003", "000006", "e000000")
    ]


def test_lora_is_laid_out_as_the_engine_lays_it_out(bench: Bench, first) -> None:
    """Every fused projection has one down, one up and its alpha, in bf16, finite, and learnt something."""
    import torch
    from safetensors.torch import load_file

    state = load_file(bench.folder / "first" / "art.safetensors")
    modules = {"lora_unet_" + name.replace(".", "_") for name in adapted_modules(2, 2)}
    parts = ("alpha", "lora_down.weight", "lora_up.weight")
    assert set(state) == {f"{module}.{part}" for module in modules for part in parts}
    assert state["lora_unet_double_blocks_0_img_attn_qkv.lora_up.weight"].shape == (3 * 96, 8)
    assert state["lora_unet_single_blocks_1_linear1.lora_up.weight"].shape == (7 * 96, 8)
    assert all(tensor.dtype == torch.bfloat16 and bool(tensor.isfinite().all()) for tensor in state.values())
    assert all(float(state[f"{module}.alpha"]) == 4.0 for module in modules)
    assert all(bool(state[f"{module}.lora_up.weight"].any()) for module in modules)


def test_metadata_says_what_was_trained(bench: Bench, first) -> None:
    """The header carries the run's settings, the step of each checkpoint, and the hash of its tensors."""
    final = _metadata(bench.folder / "first" / "art.safetensors")
    assert {name: final[name] for name in final if name in _EXPECTED} == _EXPECTED
    assert _metadata(bench.folder / "first" / "art-step00000004.safetensors")["ss_steps"] == "4"
    assert re.fullmatch(r"[0-9a-f]{64}", final["sshs_model_hash"])
    assert not any(str(bench.folder) in value for value in final.values())


_EXPECTED = {
    "ss_steps": "6",
    "ss_max_train_steps": "6",
    "ss_seed": "42",
    "ss_network_dim": "8",
    "ss_network_alpha": "4.0",
    "ss_network_module": "networks.lora_flux",
    "ss_learning_rate": "0.001",
    "ss_lr_scheduler": "cosine",
    "ss_optimizer": "transformers.optimization.Adafactor(relative_step=False,scale_parameter=False,warmup_init=False)",
    "ss_base_model_version": "flux1",
    "ss_output_name": "art",
    "ss_num_train_images": "12",
    "modelspec.architecture": "flux-1-dev/lora",
    "modelspec.title": "art",
    "modelspec.author": "Ada",
}


def test_speaks_the_engines_lines(bench: Bench, first) -> None:
    """Headings come on stdout, log lines and the bar on stderr, in the engine's words."""
    out = [
        "running training / 学習開始",
        "  num train images * repeats / 学習画像の数×繰り返し回数: 12",
        "  num batches per epoch / 1epochのバッチ数: 12",
        "  num epochs / epoch数: 1",
        "  total optimization steps / 学習ステップ数: 6",
        "epoch 1/1",
        f"saving checkpoint: {bench.folder / 'first' / 'art.safetensors'}",
    ]
    assert [line for line in out if line in first.stdout.splitlines()] == out
    spoken = [
        "Loading settings from ",
        "Loading state dict from ",
        "caching latents...",
        "caching Text Encoder outputs...",
        "create LoRA for FLUX all blocks: 26 modules.",
        "saving state at step 2",
        "generating sample images at step / サンプル画像生成 ステップ: 3",
        "removing old state: ",
        "model saved.",
    ]
    positions = [first.stderr.index(line) for line in spoken]
    assert positions == sorted(positions)
    assert re.search(r"steps: 100%\|.*\| 6/6 \[.*avr_loss=\d", first.stderr)


def test_repeat_is_identical_to_the_bit(bench: Bench, first) -> None:
    """A second run, which finds its caches warm, learns exactly the same LoRA and draws the same samples."""
    caches = {path: path.stat().st_mtime_ns for path in (bench.folder / "art").glob("*.npz")}
    assert len(caches) == 8
    assert bench.run(bench.config("second")).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in caches} == caches
    assert _tensors(bench.folder / "second") == _tensors(bench.folder / "first")
    assert _pictures(bench.folder / "second") == _pictures(bench.folder / "first")


def test_resume_ends_where_the_whole_run_ended(bench: Bench, first) -> None:
    """A run that goes on from step 4 counts on from there and ends with exactly the uninterrupted run's LoRA."""
    state = bench.folder / "first" / "art-step00000004-state"
    done = bench.run(bench.config("resumed", resume=str(state), skip_until_initial_step=True))
    assert done.returncode == 0
    assert "| 2/2 [" in done.stderr
    names = {path.name for path in (bench.folder / "resumed").glob("*.safetensors")}
    assert names == {"art-step00000006.safetensors", "art.safetensors"}
    assert _metadata(bench.folder / "resumed" / "art.safetensors")["ss_steps"] == "6"
    assert _tensors(bench.folder / "resumed") == _tensors(bench.folder / "first")


def test_other_settings(bench: Bench) -> None:
    """Single blocks only, AdamW with accumulation, a wide batch and float weights train too."""
    dataset = (bench.folder / "dataset.toml").read_text("utf-8").replace("batch_size = 1", "batch_size = 2")
    (bench.folder / "wide.toml").write_text(dataset, "utf-8")
    change: dict[str, Any] = {
        "dataset_config": str(bench.folder / "wide.toml"),
        "network_args": ["train_blocks=single"],
        "optimizer_type": "AdamW",
        "optimizer_args": ["weight_decay=0.01", "betas=0.9,0.99"],
        "gradient_accumulation_steps": 2,
        "max_train_steps": 3,
        "max_grad_norm": 1.0,
        "lr_scheduler": "constant",
        "lr_warmup_steps": 0,
        "sigmoid_scale": 1.5,
        "save_precision": "float",
        "save_last_n_steps": 0,
    }
    assert bench.run(bench.config("other", **change)).returncode == 0
    tensors = _tensors(bench.folder / "other")
    assert all(name.startswith("lora_unet_single_blocks_") for name in tensors)
    assert len(tensors) == 18
    metadata = _metadata(bench.folder / "other" / "art.safetensors")
    assert metadata["ss_optimizer"] == "torch.optim.adamw.AdamW(weight_decay=0.01,betas=(0.9, 0.99))"
    assert metadata["ss_network_args"] == '{"train_blocks": "single"}'


def test_refuses_what_it_has_not(bench: Bench) -> None:
    """An option outside its list ends the run with exit code 2, named, before anything is loaded or written."""
    config = bench.config("refused", fp8_base=True, blocks_to_swap=4)
    done = python(str(EMBEDDED), "--config_file", str(config))
    assert done.returncode == 2
    assert "error: the embedded engine has no option fp8_base" in done.stderr
    assert "error: the embedded engine has no option blocks_to_swap" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (bench.folder / "refused").exists()


def test_first_step_agrees_with_sd_scripts(bench: Bench, engine_home: EngineHome) -> None:
    """With equal weights, LoRA, data and seed both engines find the same loss and gradients, but for bf16's noise."""
    script, lora = str(Path(__file__).with_name("first_loss.py")), str(bench.folder / "start.safetensors")
    folder = str(bench.weights.transformer.parent)
    ours = _json(python(script, "embedded", folder, lora))
    theirs = _json(python(script, "kohya", folder, lora, str(engine_home.path)))
    assert ours["loss"] == pytest.approx(theirs["loss"], rel=2e-3)
    assert len(theirs["gradients"]) == 52
    assert ours["gradients"] == pytest.approx(theirs["gradients"], rel=2e-2)


def _json(done: "subprocess.CompletedProcess[str]") -> dict[str, Any]:
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def _tensors(folder: Path) -> dict[str, bytes]:
    from safetensors.torch import load_file

    state = load_file(folder / "art.safetensors")
    return {name: tensor.float().numpy().tobytes() for name, tensor in state.items()}


def _pictures(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted((folder / "sample").iterdir())]

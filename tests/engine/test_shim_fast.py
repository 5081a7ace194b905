"""The fast parts train the LoRA that plain sd-scripts trains."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from bench import SHIM, Bench

from loraforge.engine.locate import EngineHome

_OWN = ("ss_session_id", "ss_training_started_at", "ss_training_finished_at", "ss_output_name")
_STEPS = 4


@pytest.mark.engine
def test_fast_trains_what_plain_trains(tmp_path: Path, engine_home: EngineHome) -> None:
    """Every part that fits a CPU applies; losses and weights differ less than two plain runs on different kernels."""
    bench = Bench(tmp_path)
    dataset = tmp_path / "dataset.toml"  # one size: each further one would be compiled
    dataset.write_text(dataset.read_text("utf-8").replace("enable_bucket = true", "enable_bucket = false"), "utf-8")
    figures, runs = {}, {}
    for name, parts, kernels in (
        ("plain", "", {}),
        ("other", "", {"ATEN_CPU_CAPABILITY": "default"}),
        ("fast", "hash,encoders,norms,adafactor,compile", {}),
    ):
        done = bench.run(
            bench.config(name, **_options()),
            SHIM,
            **kernels,
            LORAFORGE_ENGINE_DIR=str(engine_home.path),
            LORAFORGE_FAST=parts,
            LORAFORGE_CACHE=str(tmp_path / "cache"),
            LORAFORGE_TELEMETRY=str(tmp_path / f"{name}.ndjson"),
            TORCHINDUCTOR_CACHE_DIR=str(tmp_path / "compiled"),
            TORCHINDUCTOR_COMPILE_THREADS="1",
        )
        assert done.returncode == 0, done.stderr[-3000:]
        figures[name] = [json.loads(line) for line in (tmp_path / f"{name}.ndjson").read_text("utf-8").splitlines()]
        runs[name] = done.stderr
    assert "loraforge: fast: hash, encoders, norms, adafactor, compile" in runs["fast"], runs["fast"][-3000:]
    assert "without" not in "".join(line for line in runs["fast"].splitlines() if "loraforge:" in line)
    plain, other, fast = (figures[name] for name in ("plain", "other", "fast"))
    assert [line["step"] for line in fast] == list(range(1, _STEPS + 1))
    assert [line["learning_rate"] for line in fast] == [line["learning_rate"] for line in plain]
    # Rounding errors of different kernels are independent, so twice the noise is still noise; a processor may have but
    # one kind of kernel, hence the floors.
    noise = max(_gap(other, plain), 1e-4), max(_distance(tmp_path / "other", tmp_path / "plain"), 5e-3)
    assert _gap(fast, plain) < 2 * noise[0] < 4e-3
    assert _distance(tmp_path / "fast", tmp_path / "plain") < 2 * noise[1] < 0.05
    assert _metadata(tmp_path / "fast") == _metadata(tmp_path / "plain")
    (noted,) = json.loads((tmp_path / "cache" / "compiled.json").read_text("utf-8")).values()
    assert noted == [[1, 64]]  # one picture of 128 x 128


@pytest.mark.engine
def test_a_t5_that_comes_when_needed_changes_no_bit(tmp_path: Path, engine_home: EngineHome) -> None:
    """Also where CLIP-L, which keeps its weights, is trained beside it."""
    from safetensors.torch import load_file

    bench, found = Bench(tmp_path), []
    for name, parts in (("plain", ""), ("waits", "encoders")):
        for cache in (tmp_path / "art").glob("*_flux_te.npz"):
            cache.unlink()
        config = bench.config(name, **_options(), network_train_unet_only=False)
        done = bench.run(config, SHIM, LORAFORGE_ENGINE_DIR=str(engine_home.path), LORAFORGE_FAST=parts)
        assert done.returncode == 0, done.stderr[-3000:]
        found.append(load_file(os.fspath(tmp_path / name / "art.safetensors")))
    assert "text_encoder [1] dtype: torch.bfloat16, device: meta" in done.stderr
    assert any(name.startswith("lora_te1") for name in found[0])
    assert found[0].keys() == found[1].keys()
    assert all((found[0][name] == found[1][name]).all() for name in found[0])


def _options() -> dict[str, Any]:
    return {
        "max_train_steps": _STEPS,
        "max_data_loader_n_workers": 0,
        "save_state": False,
        "save_every_n_steps": 100,
        "sample_every_n_steps": 100,
        "sample_at_first": False,
        "save_precision": "float",
        "max_grad_norm": 1.0,
    }


def _gap(ours: list[dict[str, float]], theirs: list[dict[str, float]]) -> float:
    """Return the largest difference of a loss, as a share of it."""
    return max(abs(our["loss"] - their["loss"]) / their["loss"] for our, their in zip(ours, theirs, strict=True))


def _metadata(folder: Path) -> dict[str, str]:
    from safetensors import safe_open

    with safe_open(folder / "art.safetensors", "pt") as file:
        found: dict[str, str] = file.metadata()
    kept = {key: value for key, value in found.items() if key not in _OWN and not key.startswith("modelspec.date")}
    return {key: value for key, value in kept.items() if key not in {"sshs_model_hash", "sshs_legacy_hash"}}


def _distance(ours: Path, theirs: Path) -> float:
    """Return how far apart two LoRAs are, as a share of what was learnt: the upper matrices begin at zero."""
    from safetensors.torch import load_file

    first, second = (load_file(os.fspath(folder / "art.safetensors")) for folder in (ours, theirs))
    learnt = [name for name in second if "lora_up" in name]
    gap = sum(float((first[name] - second[name]).square().sum()) for name in learnt)
    return float((gap / sum(float(second[name].square().sum()) for name in learnt)) ** 0.5)

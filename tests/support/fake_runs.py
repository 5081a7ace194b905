"""Run folders as an engine would leave them, made in a moment."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from PIL import Image
from safetensors.numpy import save_file

from loraforge.run.folder import RunFolder

_DOUBLE = [
    f"{stream}_{layer}" for stream in ("img", "txt") for layer in ("attn.qkv", "attn.proj", "mlp.0", "mlp.2", "mod.lin")
]
_SINGLE = ["linear1", "linear2", "modulation.lin"]

PROMPTS = ["{trigger}, a lighthouse", "{trigger}, portrait of a woman", "a cat on a sofa"]
BEGAN = 1_700_000_000.0


def lora_tensors(
    rank: int = 4, *, hidden: int = 24, doubles: int = 2, singles: int = 2, seed: int = 0
) -> dict[str, Any]:
    """Return float16 LoRA matrices of a small FLUX in the engine's naming; its widths have FLUX's proportions.

    All values are numbers that bf16 holds exactly.
    """
    rng = np.random.default_rng(seed)
    tensors: dict[str, Any] = {}
    modules = [f"double_blocks.{block}.{layer}" for block in range(doubles) for layer in _DOUBLE]
    modules += [f"single_blocks.{block}.{layer}" for block in range(singles) for layer in _SINGLE]
    for module in modules:
        name = "lora_unet_" + module.replace(".", "_")
        outputs, inputs = module_shape(module, hidden)
        tensors[f"{name}.lora_down.weight"] = _short(rng.normal(size=(rank, inputs)))
        tensors[f"{name}.lora_up.weight"] = _short(rng.normal(size=(outputs, rank)) * 0.1)
        tensors[f"{name}.alpha"] = np.array(float(rank), np.float16)
    return tensors


def _short(values: Any) -> Any:
    return (np.clip(values, -3.9, 3.9) * 64).round().astype(np.float16) / np.float16(64)


def module_shape(module: str, hidden: int) -> tuple[int, int]:
    """Return (outputs, inputs) of a FLUX layer."""
    inner = module.split(".", 2)[2]
    factors = {"qkv": (3, 1), "proj": (1, 1), "mlp.0": (4, 1), "mlp.2": (1, 4), "mod.lin": (6, 1)}
    single = {"linear1": (7, 1), "linear2": (1, 5), "modulation.lin": (3, 1)}
    outputs, inputs = single.get(inner) or next(value for key, value in factors.items() if inner.endswith(key))
    return outputs * hidden, inputs * hidden


def write_lora(
    path: Path, job: dict[str, Any], step: int, *, seed: int = 0, metadata: bool = True, hidden: int = 24
) -> Path:
    """Write a LoRA whose header says what the verifier looks for."""
    rank = job["network"]["rank"]
    words = {
        "ss_network_dim": rank,
        "ss_network_alpha": job["network"]["alpha"],
        "ss_learning_rate": job["optimizer"]["learning_rate"],
        "ss_seed": job["training"]["seed"],
        "ss_max_train_steps": job["training"]["steps"],
        "ss_steps": step,
        "ss_network_module": "networks.lora_flux",
        "ss_base_model_version": "flux1",
        "ss_sd_scripts_commit_hash": "48d368f",
        "ss_sd_model_name": "flux1-dev.safetensors",
        "ss_dataset_dirs": json.dumps({"/home/ada/secret": {"img_count": 8}}),
        "ss_tag_frequency": json.dumps({"secret": {"a nude": 1}}),
        "ss_datasets": json.dumps([{"image_dir": "/home/ada/secret"}]),
        "modelspec.title": job["output"]["name"],
        "modelspec.architecture": "flux-1-dev/lora",
        "sshs_model_hash": "0" * 64,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(
        lora_tensors(rank, seed=seed, hidden=hidden),
        path,
        {key: str(value) for key, value in words.items()} if metadata else None,
    )
    return path


def make_run(
    folder: Path,
    *,
    steps: tuple[int, ...] = (100, 200, 300),
    name: str = "art",
    prompts: list[str] | None = None,
    status: str = "done",
    base: bool = True,
    times: bool = True,
    model: dict[str, str] | None = None,
    hidden: int = 24,
    exact: bool = False,
) -> RunFolder:
    """Make a run folder with checkpoints, samples, diary and state.

    Args:
        folder: where to.
        steps: the checkpoints; the last is the finished LoRA.
        name: of the LoRA.
        prompts: sample prompts.
        status: as state.json says.
        base: whether samples of step 0 are there.
        times: whether the diary has times, as old ones have not.
        model: the `[model]` table.
        hidden: width of the FLUX that the LoRAs fit.
        exact: whether the diary has the exact figures of every step.
    """
    run = RunFolder(folder)
    prompts = PROMPTS if prompts is None else prompts
    job: dict[str, Any] = {
        "preset": "style",
        "model": model or {},
        "launch": {"device": "cpu", "env": {"OMP_NUM_THREADS": "1"}},
        "dataset": {"images": str(folder / "art"), "trigger": "zxqv", "resolution": 512},
        "network": {"rank": 4, "alpha": 4.0},
        "optimizer": {"name": "adafactor", "learning_rate": 1e-4},
        "training": {"steps": steps[-1], "seed": 42, "save_every_steps": steps[0]},
        "memory": {"profile": "24gb"},
        "sampling": {"prompts": prompts, "width": 64, "height": 64, "at_start": base, "seed": 1},
        "output": {"name": name, "dir": str(folder.parent.parent)},
    }
    run.samples.mkdir(parents=True)
    run.job.write_text(tomli_w.dumps(job), "utf-8")
    for step in steps[:-1]:
        write_lora(run.checkpoint(name, step), job, step, seed=step, hidden=hidden)
    write_lora(run.lora(name), job, steps[-1], seed=steps[-1], hidden=hidden)
    for index in range(len(prompts)):
        for step in ((0,) if base else ()) + steps:
            write_sample(run, name, step, index)
    _write_diary(run, name, steps, times=times, exact=exact)
    state = {"status": status, "cause": "", "name": name, "step": steps[-1], "steps": steps[-1], "pid": 2**22 + 1}
    state |= {"began": "2023-11-14T22:13:20+00:00", "ended": "2023-11-14T22:43:20+00:00", "returncode": 0}
    run.state.write_text(json.dumps(state), "utf-8")
    run.log.write_text("model saved.\n", "utf-8")
    return run


def write_sample(run: RunFolder, name: str, step: int, index: int, time: str = "20260101000000") -> Path:
    """Write one sample picture under the engine's name."""
    rng = np.random.default_rng([step, index])
    number = f"{step:06d}" if step else "e000000"
    path = run.samples / f"{name}_{number}_{index:02d}_{time}_1.png"
    small = Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8))
    small.resize((64, 64), Image.Resampling.BICUBIC).save(path)
    return path


def _write_diary(run: RunFolder, name: str, steps: tuple[int, ...], *, times: bool, exact: bool) -> None:
    entries: list[dict[str, Any]] = [{"event": "surroundings", "torch": "2.6", "GPU 0": "Test Card, 24.0 GiB"}]
    entries += [{"event": "phase-started", "phase": phase} for phase in ("starting", "loading", "training")]
    total = 0.0
    for step in range(1, steps[-1] + 1):
        total += 0.3 + 0.4 / step
        loss = float(f"{total / step:.3g}")
        entries.append({"event": "step", "step": step, "seconds_per_step": 2.0, "average_loss": loss})
        entries[-1] |= {"total": steps[-1], "learning_rate": None}
        if exact:
            entries.append({"event": "measured", "step": step, "loss": 0.3 + 0.4 / step, "learning_rate": 1e-4})
            entries[-1] |= {"seconds": 1.25, "allocated_gib": 18.25, "reserved_gib": 19.75}
        if step % 10 == 0:
            entries.append({"event": "memory", "gpu_gib": 20.0 + step % 20 / 10})
        if step in steps:
            entries.append({"event": "checkpoint-saved", "path": str(run.checkpoint(name, step))})
    if times:
        for index, entry in enumerate(entries):
            entry["at"] = BEGAN + 2.0 * index
    run.events.write_text("".join(json.dumps(entry) + "\n" for entry in entries), "utf-8")

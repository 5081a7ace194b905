"""Time from the engine's start to its first step: plain, fast with an empty cache, and fast again.

usage: fast_start.py ENGINE_DIR FOLDER [--steps N]     (a CUDA card; 24 GB in FOLDER, a tmpfs is fine)

The transformer and the autoencoder have FLUX.1's full size and random values. The text encoders are as wide as FLUX.1's
but one layer deep, so loading and using them takes less than it would.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PARTS = "hash,norms,adafactor,compile"


def make_weights(engine: Path, folder: Path, *, tiny: bool) -> dict[str, Path]:
    """Write the four files and return them by the engine's option names."""
    import torch
    from safetensors.torch import save_file
    from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

    sys.path.insert(0, str(engine))
    from library import flux_models

    dev, device = flux_models.configs["dev"], "cpu" if tiny else "cuda"
    params, ae_params = dev.params, dev.ae_params
    if tiny:
        shrunk = {"hidden_size": 96, "num_heads": 2, "axes_dim": [8, 20, 20], "vec_in_dim": 64, "context_in_dim": 64}
        params = type(params)(**{**vars(params), **shrunk})
        ae_params = type(ae_params)(**{**vars(ae_params), "ch": 32})
    with torch.device("meta"):
        models = {"pretrained_model_name_or_path": flux_models.Flux(params), "ae": flux_models.AutoEncoder(ae_params)}
    width, pooled = (64, 64) if tiny else (4096, 768)
    models["clip_l"] = CLIPTextModel(
        CLIPTextConfig(vocab_size=600, hidden_size=pooled, intermediate_size=64, num_hidden_layers=1)
    )
    t5 = T5Config(
        vocab_size=600, d_model=width, d_kv=64, d_ff=64, num_layers=1, num_heads=1, feed_forward_proj="gated-gelu"
    )
    models["t5xxl"] = T5EncoderModel(t5)
    paths = {}
    for name, model in models.items():
        state = {}
        for key, meta in model.state_dict().items():
            tensor = torch.empty(meta.shape, dtype=torch.bfloat16, device=device).normal_(0, 0.02)
            state[key] = (tensor if tensor.ndim > 1 else tensor.fill_("scale" in key or key.endswith("weight"))).cpu()
        state.pop("encoder.embed_tokens.weight", None)
        state.pop("text_model.embeddings.position_ids", None)
        paths[name] = folder / f"{name}.safetensors"
        save_file(state, paths[name])
    return paths


def make_set(folder: Path, *, side: int) -> Path:
    """Write 20 square pictures with captions and the description of the set."""
    import numpy as np
    from PIL import Image

    art = folder / "art"
    art.mkdir(exist_ok=True)
    random = np.random.default_rng(0)
    for index in range(20):
        Image.fromarray(random.integers(0, 255, (32, 32, 3), dtype=np.uint8)).resize((side, side)).save(
            art / f"{index}.png"
        )
        (art / f"{index}.txt").write_text(f"ohwx style, picture {index}", encoding="utf-8")
    path = folder / "dataset.toml"
    path.write_text(
        f'[[datasets]]\nresolution = {side}\nbatch_size = 1\n[[datasets.subsets]]\nimage_dir = "{art}"\n'
        'num_repeats = 50\ncaption_extension = ".txt"\n'
    )
    return path


def start(name: str, arguments: list[str], folder: Path, environ: dict[str, str]) -> dict[str, Any]:
    """Run the engine and watch its figures appear."""
    figures, shim = folder / f"{name}.ndjson", Path(__file__).parents[1] / "loraforge/engine/shim.py"
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", "1", "--num_machines", "1"]
    launch += ["--mixed_precision", "bf16", "--dynamo_backend", "no", str(shim), *arguments, "--output_name", name]
    began, seen = time.perf_counter(), []
    with (folder / f"{name}.log").open("w") as log:
        process = subprocess.Popen(
            launch, env={**os.environ, **environ, "LORAFORGE_TELEMETRY": str(figures)}, stdout=log, stderr=log
        )
        while process.poll() is None:
            time.sleep(0.05)
            lines = figures.read_text().count("\n") if figures.exists() else 0
            seen += [round(time.perf_counter() - began, 2)] * (lines - len(seen))
    rows = [json.loads(line) for line in figures.read_text().splitlines()] if figures.exists() else []
    return {
        "start": name,
        "rc": process.returncode,
        "first_step_s": seen[0] if seen else None,
        "steps_s": seen,
        "whole_s": round(time.perf_counter() - began, 2),
        "losses": [row["loss"] for row in rows],
        "allocated_gib": round(rows[-1].get("allocated", 0) / 2**30, 2) if rows else None,
    }


def main() -> None:
    """Make the files and time the starts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tokenizers", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--tiny", action="store_true")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    weights = make_weights(given.engine.resolve(), given.folder, tiny=given.tiny)
    print("weights made", flush=True)
    options = {
        **weights,
        "dataset_config": make_set(given.folder, side=128 if given.tiny else 1024),
        "tokenizer_cache_dir": given.tokenizers.resolve(),
    }
    # fmt: off
    arguments = [
        *(part for name, value in options.items() for part in (f"--{name}", str(value))),
        "--cache_latents", "--cache_latents_to_disk", "--cache_text_encoder_outputs",
        "--cache_text_encoder_outputs_to_disk", "--network_module", "networks.lora_flux", "--network_dim", "16",
        "--network_alpha", "16", "--network_train_unet_only", "--optimizer_type", "Adafactor", "--optimizer_args",
        "relative_step=False", "scale_parameter=False", "warmup_init=False", "--learning_rate", "1e-4",
        "--lr_scheduler", "constant", "--max_train_steps", str(given.steps), "--seed", "42",
        "--mixed_precision", "bf16", "--timestep_sampling", "flux_shift", "--model_prediction_type", "raw",
        "--guidance_scale", "1.0", "--max_data_loader_n_workers", "1", "--output_dir", str(given.folder / "out"),
    ]
    # fmt: on
    config = given.folder / "options.toml"
    config.write_text(
        f'pretrained_model_name_or_path = "{weights["pretrained_model_name_or_path"]}"\noptimizer_type = "Adafactor"\n'
    )
    arguments += ["--config_file", str(config)]
    environ = {"LORAFORGE_ENGINE_DIR": str(given.engine.resolve()), "COLUMNS": "200", "HF_HUB_OFFLINE": "1"}
    cache = given.folder / "cache"
    fast = {"LORAFORGE_FAST": PARTS, "LORAFORGE_CACHE": str(cache), "TORCHINDUCTOR_CACHE_DIR": str(cache / "compiled")}
    rows = []
    for name, extra in (("plain", {}), ("cold", fast), ("warm", fast)):
        rows.append(start(name, arguments, given.folder, environ | extra))
        print("START", json.dumps(rows[-1]), flush=True)
        if rows[-1]["rc"] != 0:
            print((given.folder / f"{name}.log").read_text()[-3000:], flush=True)
        if given.out:
            given.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()

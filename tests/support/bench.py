"""A bench for real trainings: tiny weights, a drawn art set, and an engine's script under accelerate on the CPU."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import tomli_w

from loraforge.dataset.synthetic import draw_art_set
from loraforge.engine import shim
from loraforge.engine.tiny import make_tiny_flux
from loraforge.engine.weights import Weights

SHIM = Path(shim.__file__)
EMBEDDED = SHIM.with_name("embedded.py")
LAUNCH = ["--cpu", "--num_processes", "1", "--num_machines", "1", "--mixed_precision", "bf16", "--dynamo_backend", "no"]


class Bench:
    """A folder with tiny weights and a drawn art set, on which runs are made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.weights: Weights = make_tiny_flux(folder / "tiny")
        draw_art_set(folder / "art", count=4, size=128)
        subset = {"image_dir": str(folder / "art"), "num_repeats": 3, "caption_extension": ".txt"}
        dataset = {"resolution": 128, "batch_size": 1, "enable_bucket": True, "bucket_no_upscale": False}
        dataset |= {"bucket_reso_steps": 64, "min_bucket_reso": 64, "max_bucket_reso": 256}
        (folder / "dataset.toml").write_text(tomli_w.dumps({"datasets": [dataset | {"subsets": [subset]}]}), "utf-8")
        (folder / "prompts.txt").write_text("ohwx house --w 64 --h 128 --d 5 --s 2 --g 3.5\n", "utf-8")

    def config(self, name: str, **change: Any) -> Path:
        """Write the config of a run whose results go to a folder of its own."""
        weights = self.weights
        options = {
            "pretrained_model_name_or_path": str(weights.transformer),
            "clip_l": str(weights.clip_l),
            "t5xxl": str(weights.t5xxl),
            "ae": str(weights.autoencoder),
            "tokenizer_cache_dir": str(weights.tokenizers),
            "t5xxl_max_token_length": 48,
            "dataset_config": str(self.folder / "dataset.toml"),
            "cache_latents": True,
            "cache_latents_to_disk": True,
            "cache_text_encoder_outputs": True,
            "cache_text_encoder_outputs_to_disk": True,
            "network_module": "networks.lora_flux",
            "network_dim": 8,
            "network_alpha": 4.0,
            "network_train_unet_only": True,
            "optimizer_type": "Adafactor",
            "optimizer_args": ["relative_step=False", "scale_parameter=False", "warmup_init=False"],
            "learning_rate": 1e-3,
            "lr_scheduler": "cosine",
            "lr_warmup_steps": 2,
            "max_grad_norm": 0.0,
            "max_train_steps": 6,
            "seed": 42,
            "mixed_precision": "bf16",
            "gradient_checkpointing": True,
            "timestep_sampling": "flux_shift",
            "model_prediction_type": "raw",
            "guidance_scale": 1.0,
            "sample_prompts": str(self.folder / "prompts.txt"),
            "sample_every_n_steps": 3,
            "sample_at_first": True,
            "save_precision": "bf16",
            "save_every_n_steps": 2,
            "save_last_n_steps_state": 2,
            "save_state": True,
            "output_dir": str(self.folder / name),
            "output_name": "art",
            "metadata_author": "Ada",
        }
        path = self.folder / f"{name}.toml"
        path.write_text(tomli_w.dumps({"all": options | change}), "utf-8")
        return path

    def run(self, config: Path, script: Path = EMBEDDED, **environ: str) -> "subprocess.CompletedProcess[str]":
        """Run an engine's script under accelerate, as train does."""
        return python("-m", "accelerate.commands.launch", *LAUNCH, str(script), "--config_file", str(config), **environ)


def python(*arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    """Run Python with the engine's environment and wait for it."""
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "400",
        "NO_COLOR": "1",
        "PYTHONUTF8": "1",
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(SHIM.parents[2]),
    }
    environment |= environ
    return subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, encoding="utf-8", check=False
    )

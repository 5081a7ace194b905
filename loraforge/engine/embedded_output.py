"""What the embedded engine writes: a LoRA as sd-scripts saves it, with sd-scripts' metadata.

Runs in the embedded engine's process only.
"""

import hashlib
import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors.torch import save, save_file
from torch import nn

_PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16, "float": torch.float32, None: torch.float32}


def make_metadata(args: SimpleNamespace, facts: dict[str, Any], *, dev: bool) -> dict[str, str]:
    """Return what the engine writes into the LoRA's header, of the keys that have a meaning here.

    Args:
        args: the run's options.
        facts: further `ss_` entries that only the run knows.
        dev: the base is FLUX.1-dev, not schnell.
    """
    base = Path(args.pretrained_model_name_or_path)
    with base.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    same = ("output_name", "learning_rate", "max_train_steps", "lr_warmup_steps", "lr_scheduler", "network_module",
            "network_dim", "network_alpha", "mixed_precision", "seed", "max_grad_norm", "gradient_checkpointing",
            "gradient_accumulation_steps", "cache_latents", "loss_type", "guidance_scale", "timestep_sampling",
            "sigmoid_scale", "model_prediction_type", "discrete_flow_shift")  # fmt: skip
    metadata = {
        **{f"ss_{name}": getattr(args, name) for name in same},
        **facts,
        "ss_base_model_version": "flux1",
        "ss_model_type": "flux",
        "ss_network_dropout": None,
        "ss_sd_model_name": base.name,
        "ss_new_sd_model_hash": digest,
        "ss_training_started_at": time.time(),
        "ss_training_comment": "loraforge's embedded engine (diffusers + peft), not sd-scripts",
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": f"flux-1-{'dev' if dev else 'schnell'}/lora",
        "modelspec.implementation": "https://github.com/black-forest-labs/flux",
        "modelspec.resolution": "1024x1024",
        "modelspec.title": args.metadata_title or args.output_name,
    }
    if args.network_args:
        metadata["ss_network_args"] = json.dumps(dict(item.split("=", 1) for item in args.network_args))
    for name in ("author", "license", "description", "tags", "trigger_phrase"):
        if getattr(args, f"metadata_{name}") is not None:
            metadata[f"modelspec.{name}"] = getattr(args, f"metadata_{name}")
    return {name: str(value) for name, value in metadata.items()}


def save_lora(path: Path, network: nn.Module, metadata: dict[str, str], precision: str | None) -> None:
    """Write the LoRA as sd-scripts does, hashes of its tensors included."""
    dtype = _PRECISIONS[precision]
    state = {name: tensor.detach().to("cpu", dtype) for name, tensor in network.state_dict().items()}
    blob = save(state, {name: value for name, value in metadata.items() if name.startswith("ss_")})
    hashes = {
        "sshs_model_hash": hashlib.sha256(blob[8 + int.from_bytes(blob[:8], "little") :]).hexdigest(),
        "sshs_legacy_hash": hashlib.sha256(blob[0x100000:0x110000]).hexdigest()[:8],
    }
    date = {"modelspec.date": time.strftime("%Y-%m-%dT%H:%M:%S")}
    scratch = path.with_suffix(".part")
    save_file(state, scratch, metadata | hashes | date)
    scratch.replace(path)

"""What the embedded engine can do, known without starting it: its options, and which of their values it has built.

Everything else that sd-scripts takes is refused by name, never approximated.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

REQUIRED = (
    "pretrained_model_name_or_path",
    "clip_l",
    "t5xxl",
    "ae",
    "dataset_config",
    "output_dir",
    "output_name",
    "network_module",
    "network_dim",
    "network_alpha",
    "learning_rate",
    "optimizer_type",
    "max_train_steps",
    "seed",
)
# Every other option, with the engine's own default.
DEFAULTS: Mapping[str, Any] = {
    "tokenizer_cache_dir": None,
    "t5xxl_max_token_length": None,
    "network_args": [],
    "network_train_unet_only": False,
    "cache_latents": False,
    "cache_latents_to_disk": False,
    "cache_text_encoder_outputs": False,
    "cache_text_encoder_outputs_to_disk": False,
    # Cached data is small and read at once: there is nothing for workers to do.
    "max_data_loader_n_workers": 8,
    "persistent_data_loader_workers": False,
    "optimizer_args": [],
    "lr_scheduler": "constant",
    "lr_scheduler_num_cycles": 1,
    "lr_warmup_steps": 0,
    "max_grad_norm": 1.0,
    "gradient_accumulation_steps": 1,
    "gradient_checkpointing": False,
    "mixed_precision": "no",
    "timestep_sampling": "sigma",
    "discrete_flow_shift": 3.0,
    "sigmoid_scale": 1.0,
    "guidance_scale": 3.5,
    "model_prediction_type": "sigma_scaled",
    "loss_type": "l2",
    "sample_prompts": None,
    "sample_every_n_steps": None,
    "sample_at_first": False,
    "save_precision": None,
    "save_every_n_steps": None,
    "save_last_n_steps": None,
    "save_last_n_steps_state": None,
    "save_state": False,
    "resume": None,
    "skip_until_initial_step": False,
    "metadata_title": None,
    "metadata_author": None,
    "metadata_license": None,
    "metadata_description": None,
    "metadata_tags": None,
    "metadata_trigger_phrase": None,
}
# Optimizer names, in lower case, and the classes that the engine takes for them.
OPTIMIZERS: Mapping[str, str] = {
    "adafactor": "transformers.optimization.Adafactor",
    "adamw": "torch.optim.adamw.AdamW",
    "adamw8bit": "bitsandbytes.optim.AdamW8bit",
    "pagedadamw8bit": "bitsandbytes.optim.PagedAdamW8bit",
    "lion": "lion_pytorch.Lion",
    "lion8bit": "bitsandbytes.optim.Lion8bit",
    "prodigy": "prodigyopt.Prodigy",
}
_ONLY: Mapping[str, tuple[Any, ...]] = {
    "network_module": ("networks.lora_flux",),
    "network_args": ([], ["train_blocks=all"], ["train_blocks=double"], ["train_blocks=single"]),
    "network_train_unet_only": (True,),
    "cache_latents": (True,),
    "cache_text_encoder_outputs": (True,),
    "mixed_precision": ("bf16", "no"),
    "timestep_sampling": ("flux_shift", "shift", "sigmoid", "uniform"),
    "model_prediction_type": ("raw",),
    "loss_type": ("l2",),
    "lr_scheduler": ("constant", "constant_with_warmup", "linear", "cosine", "cosine_with_restarts", "polynomial"),
    "save_precision": (None, "bf16", "fp16", "float"),
}
_DATASET = {
    "resolution",
    "batch_size",
    "enable_bucket",
    "bucket_no_upscale",
    "bucket_reso_steps",
    "min_bucket_reso",
    "max_bucket_reso",
}
_SUBSET = {"image_dir", "num_repeats", "caption_extension"}


def read_flat(path: Path) -> dict[str, Any]:
    """Read a config.toml, its tables flattened as in the engine.

    Raises:
        OSError: it can't be read.
        ValueError: it is not TOML.
    """
    flat: dict[str, Any] = {}
    for name, value in tomllib.loads(path.read_text(encoding="utf-8")).items():
        flat |= value if isinstance(value, dict) else {name: value}
    return flat


def option_faults(given: Mapping[str, Any]) -> list[str]:
    """Say of every option what the embedded engine can't do about it; each text follows "the embedded engine"."""
    options = {**DEFAULTS, **given}
    faults = [f"has no option {name}" for name in given if name not in DEFAULTS and name not in REQUIRED]
    faults += [f"needs the option {name}" for name in REQUIRED if name not in given]
    for name, allowed in _ONLY.items():
        if name in options and options[name] not in allowed:
            faults.append(f"takes {name} = {' or '.join(map(repr, allowed))}, not {options[name]!r}")
    optimizer = str(options.get("optimizer_type", "adamw")).lower()
    if optimizer not in OPTIMIZERS:
        faults.append(f"takes optimizer_type = {' or '.join(OPTIMIZERS)}, not {options['optimizer_type']!r}")
    if optimizer == "adafactor" and "relative_step=False" not in options["optimizer_args"]:
        faults.append("needs relative_step=False in optimizer_args: adafactor would replace the learning rate")
    return faults


def dataset_faults(config: Mapping[str, Any]) -> list[str]:
    """Say of a parsed dataset.toml what the embedded engine can't do about it: it takes one dataset of one subset."""
    datasets = config.get("datasets", [])
    subsets = datasets[0].get("subsets", []) if len(datasets) == 1 else []
    if len(subsets) != 1:
        return ["takes one dataset with one subset"]
    known = [(config, {"datasets"}), (datasets[0], _DATASET | {"subsets"}), (subsets[0], _SUBSET)]
    faults = [f"has no dataset option {name}" for table, names in known for name in table if name not in names]
    required = [("resolution", datasets[0]), ("image_dir", subsets[0])]
    return faults + [f"needs the dataset option {name}" for name, table in required if name not in table]

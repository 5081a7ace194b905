"""What the embedded engine has built of sd-scripts' options; the rest is refused by name, never approximated.

A plan asks before anything starts, and the engine itself asks again, since run files may be edited by hand.
"""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loraforge.engine.options import snapshot

# Options that say what was trained with; the LoRA's metadata tells them.
_TOLD = (
    "output_name", "learning_rate", "max_train_steps", "lr_warmup_steps", "lr_scheduler", "network_module",
    "network_dim", "network_alpha", "mixed_precision", "seed", "max_grad_norm", "gradient_checkpointing",
    "gradient_accumulation_steps", "cache_latents", "loss_type", "guidance_scale", "timestep_sampling",
    "sigmoid_scale", "model_prediction_type",
)  # fmt: skip
# Words of the user's that go into the metadata as they are.
_WORDS = ("title", "author", "license", "description", "tags", "trigger_phrase")
_OTHERS = (
    "pretrained_model_name_or_path", "clip_l", "t5xxl", "ae", "tokenizer_cache_dir", "t5xxl_max_token_length",
    "dataset_config", "cache_latents_to_disk", "cache_text_encoder_outputs", "cache_text_encoder_outputs_to_disk",
    "max_data_loader_n_workers", "persistent_data_loader_workers", "network_args", "network_train_unet_only",
    "optimizer_type", "optimizer_args", "lr_scheduler_num_cycles", "sample_prompts", "sample_every_n_steps",
    "sample_at_first", "output_dir", "save_precision", "save_every_n_steps", "save_last_n_steps", "save_state",
    "save_last_n_steps_state", "resume", "skip_until_initial_step",
)  # fmt: skip
OPTIONS = frozenset({*_TOLD, *_OTHERS, *(f"metadata_{word}" for word in _WORDS)})
DATASET_OPTIONS = frozenset({
    "resolution", "batch_size", "enable_bucket", "bucket_no_upscale", "bucket_reso_steps", "min_bucket_reso",
    "max_bucket_reso", "image_dir", "num_repeats", "caption_extension",
})  # fmt: skip
# Of these options only some values are built; where the config is silent, the engine's default counts.
_ONLY: Mapping[str, tuple[Any, ...]] = {
    "network_module": ("networks.lora_flux",),
    "network_args": (None, ["train_blocks=double"], ["train_blocks=single"]),
    "network_train_unet_only": (True,),
    "cache_latents_to_disk": (True,),
    "cache_text_encoder_outputs_to_disk": (True,),
    "mixed_precision": ("bf16",),
    "timestep_sampling": ("flux_shift",),
    "model_prediction_type": ("raw",),
    "loss_type": ("l2",),
    "optimizer_type": ("Adafactor", "AdamW"),
    "save_precision": ("bf16", "fp16", "float"),
}


def beyond(config: Mapping[str, Any], dataset: Mapping[str, Any]) -> list[str]:
    """Say of a parsed config.toml and dataset.toml what the embedded engine can't do about them.

    Returns:
        Faults that continue "the embedded engine ..."; empty when it can do it all.
    """
    options = _with_defaults(config)
    faults = [f"has no option {name}" for table in config.values() for name in table if name not in OPTIONS]
    for name, built in _ONLY.items():
        if options[name] not in built:
            faults.append(f"takes {name} = {' or '.join(map(repr, built))}, not {options[name]!r}")
    match dataset:
        case {"datasets": [{"subsets": [subset], **table}], **rest} if not rest:
            faults += [f"has no dataset option {name}" for name in (*table, *subset) if name not in DATASET_OPTIONS]
        case _:
            faults.append("takes one dataset with one subset")
    return faults


def read_run(path: Path) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """Read a config.toml and the dataset.toml that it names.

    Returns:
        All of the engine's options and those of the one dataset, both with the engine's defaults, and the faults of
        `beyond`; where there are faults, there is no dataset.
    """
    config = tomllib.loads(path.read_text(encoding="utf-8"))
    options = _with_defaults(config)
    dataset = tomllib.loads(Path(options["dataset_config"]).read_text(encoding="utf-8"))
    if faults := beyond(config, dataset):
        return options, {}, faults
    (table,) = dataset["datasets"]
    (subset,) = table["subsets"]
    silent = {name: options[name] for name in DATASET_OPTIONS if name in options}
    return options, silent | table | subset, []


def told(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries of a LoRA's metadata that the run's options decide, under sd-scripts' names."""
    words = {f"modelspec.{word}": options[f"metadata_{word}"] for word in _WORDS}
    words["modelspec.title"] = words["modelspec.title"] or options["output_name"]
    arguments = dict(pair.split("=", 1) for pair in options["network_args"] or [])
    entries = {f"ss_{name}": options[name] for name in _TOLD} | words
    return entries | ({"ss_network_args": json.dumps(arguments)} if arguments else {})


def _with_defaults(config: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten the tables of a config.toml over the engine's defaults, as the engine does."""
    options: dict[str, Any] = {name: option.default for name, option in snapshot().items()}
    for table in config.values():
        options |= table
    return options

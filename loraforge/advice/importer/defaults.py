"""The engine's own defaults that a recipe gets when it says nothing: what they do, and what to set instead."""

from collections.abc import Mapping
from dataclasses import dataclass

from loraforge.findings import Severity


@dataclass(frozen=True, slots=True)
class Default:
    """One default of the engine that differs from what most people mean.

    Attributes:
        code: of the finding.
        severity: of the finding.
        option: the engine's option that was left unset.
        why: what the default does.
        fix: what to set.
    """

    code: str
    severity: Severity
    option: str
    why: str
    fix: str


def _default(row: tuple[str, str, str, str, str, Severity]) -> Default:
    path, option, code, why, value, severity = row
    fix = f"--set {path}={value}" if path != "dataset.images" else value
    return Default(code, severity, option, why, fix)


# Setting, option, code, why, what to set, severity. A value equal to loraforge's own default is never reported.
_ROWS: tuple[tuple[str, str, str, str, str, Severity], ...] = (
    (
        "training.guidance_scale", "guidance_scale", "default-guidance",
        "Unset, FLUX.1-dev is trained at guidance 3.5; the engine's documentation recommends 1.0.",
        "1.0", "warning",
    ),
    (
        "training.timestep_sampling", "timestep_sampling", "default-timestep-sampling",
        "Unset, noise levels are drawn the old `sigma` way instead of FLUX's own.",
        "flux_shift", "warning",
    ),
    (
        "training.model_prediction", "model_prediction_type", "default-model-prediction",
        "Unset, the output is scaled by sigma, which does not match FLUX's target; `raw` does.",
        "raw", "warning",
    ),
    (
        "training.precision", "mixed_precision", "default-precision",
        "Unset, the model is loaded and trained in fp32: 47 GB of weights, whatever `accelerate launch` is told.",
        "bf16", "error",
    ),
    (
        "training.steps", "max_train_steps", "default-steps",
        "Unset, the run takes 1600 steps, whatever the number of pictures.",
        "500", "warning",
    ),
    (
        "training.save_every_steps", "save_every_n_steps", "default-checkpoints",
        "Unset, only the end is saved, and there is nothing to choose from.",
        "100", "warning",
    ),
    (
        "training.save_states", "save_state", "default-states",
        "Unset, an interrupted run can't go on.",
        "true", "info",
    ),
    (
        "training.workers", "max_data_loader_n_workers", "default-workers",
        "Unset, eight processes load data, each with its own memory; with caches one is plenty.",
        "1", "info",
    ),
    (
        "network.rank", "network_dim", "default-rank",
        "Unset, the rank is 4.", "16", "warning",
    ),
    (
        "network.alpha", "network_alpha", "default-alpha",
        "Unset, alpha is 1, so that the LoRA learns at 1/rank of the stated rate.",
        "16.0", "warning",
    ),
    (
        "network.train_clip_l", "network_train_unet_only", "default-text-encoder",
        "Unset, the CLIP-L text encoder is trained too, by accident, and both encoders stay on the GPU.",
        "false", "warning",
    ),
    (
        "optimizer.name", "optimizer_type", "default-optimizer",
        "Unset, the optimizer is AdamW with two 32-bit states a weight.",
        "adafactor", "info",
    ),
    (
        "optimizer.learning_rate", "learning_rate", "default-learning-rate",
        "Unset, the rate is 2e-6, at which a LoRA learns next to nothing.",
        "1e-4", "warning",
    ),
    (
        "optimizer.max_grad_norm", "max_grad_norm", "default-grad-norm",
        "Unset, gradients are clipped to norm 1; adafactor clips by itself and the engine advises 0 for it.",
        "none", "info",
    ),
    (
        "optimizer.restarts", "lr_scheduler_num_cycles", "default-restarts",
        "Unset, cosine_with_restarts has one cycle: it never restarts and is plain cosine.",
        "3", "warning",
    ),
    (
        "dataset.buckets.enabled", "enable_bucket", "default-buckets",
        "Unset, every picture is cropped to the training resolution.",
        "true", "warning",
    ),
    (
        "dataset.buckets.max", "max_bucket_reso", "default-max-bucket",
        "Unset, no side exceeds 1024: at that resolution a 3:2 picture is trained at 1024x704 instead of 1216x832.",
        "2048", "warning",
    ),
    (
        "memory.cache_latents", "cache_latents", "default-latent-cache",
        "Unset, pictures are encoded anew at every step and the autoencoder stays on the GPU.",
        "disk", "warning",
    ),
    (
        "memory.cache_text_encoders", "cache_text_encoder_outputs", "default-text-cache",
        "Unset, 10 GiB of text encoders stay on the GPU: with a bf16 base no 24 GB card holds it.",
        "disk", "warning",
    ),
    (
        "memory.gradient_checkpointing", "gradient_checkpointing", "default-checkpointing",
        "Unset, activations are kept: about 70 GiB at 1024.",
        "true", "warning",
    ),
    (
        "output.save_precision", "save_precision", "default-save-precision",
        "Unset, the LoRA is saved in fp32, twice the size of bf16.",
        "bf16", "warning",
    ),
    (
        "training.seed", "seed", "default-seed",
        "Unset, the engine draws a random seed, and the run can't be repeated.",
        "42", "warning",
    ),
    (
        "output.name", "output_name", "default-name",
        "Unset, checkpoints are called at-step and last.",
        "my_style", "info",
    ),
    (
        "dataset.images", "caption_extension", "default-caption-extension",
        "Unset, the engine looks for .caption files; .txt captions are not found, and it trains without them.",
        "nothing: loraforge reads .txt captions", "error",
    ),
)  # fmt: skip
DEFAULTS: Mapping[str, Default] = {row[0]: _default(row) for row in _ROWS}

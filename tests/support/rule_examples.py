"""For each rule settings and facts on which it fires, and near ones on which it does not."""

from dataclasses import dataclass

from loraforge.advice.facts import MachineFacts, WeightFacts

CARD = MachineFacts(vram_gib=23.5, ram_gib=64.0, disk_free_gib=500.0, capability=(8, 9), gpu_count=1)
TWO_CARDS = MachineFacts(vram_gib=23.5, ram_gib=64.0, disk_free_gib=500.0, capability=(8, 9), gpu_count=2)
NO_CARD = MachineFacts(ram_gib=16.0, disk_free_gib=500.0)
SQUARE = ((1200, 1200),)


@dataclass(frozen=True, slots=True)
class Example:
    """One rule's pair.

    Attributes:
        fires: assignments on which it fires.
        quiet: assignments, as near as possible, on which it does not.
        preset: the preset under both.
        sizes: the pictures' sizes; None for twenty sound ones.
        caption: the caption of every picture.
        machine: the machine; None for a sound one.
        weights: facts on the weight files.
    """

    fires: tuple[str, ...]
    quiet: tuple[str, ...]
    preset: str = "style"
    sizes: tuple[tuple[int, int], ...] | None = None
    caption: str = "zqx, a lighthouse"
    machine: MachineFacts = CARD
    weights: WeightFacts | None = None


def _e(fires: str, quiet: str = "", **facts: object) -> Example:
    """Read assignments from text, split at semicolons."""
    sides = (tuple(part.strip() for part in side.split(";") if part.strip()) for side in (fires, quiet))
    return Example(*sides, **facts)  # type: ignore[arg-type]


def _x(option: str, value: str = "true", quiet: str = "") -> Example:
    """Fire on one of the engine's own options."""
    return _e(f"engine.extra.{option}={value}", quiet)


EXAMPLES: dict[str, Example] = {
    "rank-above-purpose": _e("network.rank=32; network.alpha=32.0"),
    "rank-below-purpose": _e("network.rank=4; network.alpha=4.0", "network.rank=8; network.alpha=8.0"),
    "rank-for-few-pictures": _e(
        "network.rank=64; network.alpha=64.0", "network.alpha=32.0", preset="subject", sizes=SQUARE * 8
    ),
    "alpha-far-from-rank": _e("network.alpha=1.0", "network.alpha=8.0"),
    "dropout-high": _e("network.dropout=0.7", "network.dropout=0.1"),
    "text-encoder-trained": _e("network.train_clip_l=true"),
    "t5-trained": _e("network.train_t5xxl=true; network.train_clip_l=true; memory.cache_text_encoders=off"),
    "clip-recomputed": _e("network.train_clip_l=true", "network.train_clip_l=true; memory.cache_text_encoders=off"),
    "text-encoder-rate-hot": _e(
        "network.train_clip_l=true", "network.train_clip_l=true; optimizer.text_encoder_learning_rate=5e-5"
    ),
    "text-encoder-rate-unused": _e(
        "optimizer.text_encoder_learning_rate=5e-5",
        "optimizer.text_encoder_learning_rate=5e-5; network.train_clip_l=true",
    ),
    "learning-rate-destroys": _e("optimizer.learning_rate=1.0", "optimizer.learning_rate=1.0; optimizer.name=prodigy"),
    "learning-rate-hot": _e("optimizer.learning_rate=2e-4; network.alpha=64.0", "optimizer.learning_rate=4e-4"),
    "learning-rate-cold": _e("network.alpha=1.0", "optimizer.learning_rate=2e-5"),
    "prodigy-rate": _e("optimizer.name=prodigy", "optimizer.name=prodigy; optimizer.learning_rate=1.0"),
    "prodigy-rates-differ": _e(
        "optimizer.name=prodigy; optimizer.learning_rate=1.0; network.train_clip_l=true;"
        "optimizer.text_encoder_learning_rate=0.5",
        "optimizer.name=prodigy; optimizer.learning_rate=1.0; network.train_clip_l=true",
    ),
    "prodigy-lora-plus": _e(
        "optimizer.name=prodigy; optimizer.learning_rate=1.0; network.lora_plus=16",
        "optimizer.name=prodigy; optimizer.learning_rate=1.0; network.lora_plus=1",
    ),
    "prodigy-warmup": _e(
        "optimizer.name=prodigy; optimizer.learning_rate=1.0",
        "optimizer.name=prodigy; optimizer.learning_rate=1.0; optimizer.args.safeguard_warmup=true",
    ),
    "adafactor-own-rate": _e("optimizer.args.relative_step=1", "optimizer.args.relative_step=false"),
    "adafactor-scale-parameter": _e("optimizer.args.scale_parameter=true", "optimizer.args.scale_parameter=false"),
    "adafactor-clipped-twice": _e("optimizer.max_grad_norm=1.0", "optimizer.max_grad_norm=1.0; optimizer.name=adamw"),
    "optimizer-argument-unknown": _e(
        "optimizer.name=adamw; optimizer.args.relative_step=false", "optimizer.name=adamw; optimizer.args.eps=1e-8"
    ),
    "eight-bit-without-bitsandbytes": _e(
        "optimizer.name=lion8bit; optimizer.learning_rate=2e-5; optimizer.args.weight_decay=0.1",
        "optimizer.name=lion; optimizer.learning_rate=2e-5",
        machine=MachineFacts(vram_gib=23.5, gpu_count=1, bitsandbytes=False),
    ),
    "eight-bit-without-gpu": _e("optimizer.name=adamw8bit", "optimizer.name=adamw", machine=NO_CARD),
    "warmup-never-ends": _e("training.steps=300; optimizer.warmup_steps=300", "training.steps=500"),
    "warmup-long": _e("training.steps=300; optimizer.warmup_steps=100", "training.steps=300"),
    "warmup-missing": _e(
        "optimizer.schedule=constant; optimizer.warmup_steps=none; optimizer.learning_rate=3e-4",
        "optimizer.schedule=constant; optimizer.warmup_steps=none",
    ),
    "warmup-shrinks-on-several-gpus": _e(
        "launch.processes=2", "launch.processes=2; optimizer.schedule=constant; optimizer.warmup_steps=none"
    ),
    "restarts-missing": _e(
        "optimizer.schedule=cosine_with_restarts", "optimizer.schedule=cosine_with_restarts; optimizer.restarts=2"
    ),
    "restarts-many": _e(
        "optimizer.schedule=cosine_with_restarts; optimizer.restarts=20",
        "optimizer.schedule=cosine_with_restarts; optimizer.restarts=4",
    ),
    "adafactor-schedule": _e("optimizer.schedule=cosine", "optimizer.schedule=cosine; optimizer.name=adamw"),
    "schedule-free-schedule": _e(
        "optimizer.name=adamw-schedule-free",
        "optimizer.name=adamw-schedule-free; optimizer.schedule=constant; optimizer.warmup_steps=none",
    ),
    "decay-hides-checkpoints": _e(
        "optimizer.schedule=cosine; training.save_every_steps=20",
        "optimizer.schedule=cosine; training.save_every_steps=50",
    ),
    "over-training": _e("training.steps=1400", "training.steps=900"),
    "under-training": _e("training.steps=1000", "training.steps=1500", sizes=SQUARE * 400),
    "steps-many": _e("training.steps=5000", "training.steps=1500"),
    "steps-few": _e("training.steps=60", "training.steps=100"),
    "no-checkpoints": _e("training.save_every_steps=none"),
    "checkpoints-few": _e("training.save_every_steps=200", "training.save_every_steps=130"),
    "checkpoints-many": _e("training.save_every_steps=5", "training.save_every_steps=20"),
    "no-states": _e("training.save_states=false"),
    "precision-fp16": _e("training.precision=fp16"),
    "precision-none": _e("training.precision=no; memory.fp8_base=false", "memory.fp8_base=false"),
    "guidance-while-training": _e(
        "training.guidance_scale=3.5", "training.guidance_scale=3.5; model.family=flux-schnell"
    ),
    "prediction-not-raw": _e("training.model_prediction=sigma_scaled"),
    "timesteps-not-shifted": _e("training.timestep_sampling=sigma", "training.timestep_sampling=sigmoid"),
    "shift-unset": _e(
        "training.timestep_sampling=shift", "training.timestep_sampling=shift; training.discrete_flow_shift=3.1582"
    ),
    "shift-extreme": _e(
        "training.timestep_sampling=shift; training.discrete_flow_shift=12.0", "training.discrete_flow_shift=12.0"
    ),
    "shift-unused": _e(
        "training.discrete_flow_shift=3.0", "training.discrete_flow_shift=3.0; training.timestep_sampling=shift"
    ),
    "sigmoid-scale-unused": _e(
        "training.sigmoid_scale=1.0; training.timestep_sampling=uniform", "training.sigmoid_scale=1.0"
    ),
    "loss-unusual": _e("training.loss=huber"),
    "t5-too-long": _e(
        "model.family=flux-schnell; training.t5_tokens=512", "model.family=flux-schnell; training.t5_tokens=256"
    ),
    "t5-cuts-captions": _e("training.t5_tokens=64", "training.t5_tokens=256", caption="word " * 80),
    "t5-short": _e("training.t5_tokens=256", "training.t5_tokens=256; model.family=flux-schnell"),
    "t5-masked": _e("training.t5_attention_mask=true"),
    "workers-many": _e("training.workers=8", "training.workers=8; memory.cache_latents=off"),
    "batch-beyond-set": _e("training.gradient_accumulation=16", "training.gradient_accumulation=8"),
    "fp8-without-checkpointing": _e(
        "memory.fp8_base=true; memory.gradient_checkpointing=false", "memory.gradient_checkpointing=true"
    ),
    "swap-on-several-gpus": _e("launch.processes=2; memory.blocks_to_swap=10", "memory.blocks_to_swap=10"),
    "swap-before-fp8": _e("memory.blocks_to_swap=10; memory.fp8_base=false", "memory.blocks_to_swap=10"),
    "text-cache-off": _e("memory.cache_text_encoders=off", "memory.cache_text_encoders=off; network.train_clip_l=true"),
    "latent-cache-off": _e("memory.cache_latents=off", "memory.cache_latents=off; engine.extra.random_crop=true"),
    "workers-copy-cache": _e(
        "memory.cache_text_encoders=memory; training.workers=4", "memory.cache_text_encoders=memory"
    ),
    "cache-fills-ram": _e("memory.cache_text_encoders=memory", sizes=SQUARE * 400, machine=NO_CARD),
    "fp8-file-cast-up": _e("memory.fp8_base=false", weights=WeightFacts(transformer_fp8=True)),
    "trigger-missing": _e("dataset.trigger=none"),
    "batch-exceeds-bucket": _e("dataset.batch_size=4", "dataset.batch_size=2", sizes=SQUARE * 10 + ((1216, 832),) * 2),
    "buckets-off": _e(
        "dataset.buckets.enabled=false; dataset.buckets.max=512; dataset.buckets.min=100", sizes=((1600, 900),) * 20
    ),
    "buckets-off-uncached": _e(
        "dataset.buckets.enabled=false; memory.cache_latents=off",
        "dataset.buckets.enabled=false; memory.cache_latents=off; engine.extra.random_crop=true",
    ),
    "bucket-max-tight": _e("dataset.buckets.upscale=true; dataset.buckets.max=1024", "dataset.buckets.upscale=true"),
    "bucket-step-coarse": _e("dataset.buckets.step=128"),
    "pictures-enlarged": _e("dataset.buckets.upscale=true", sizes=((700, 700),) * 20),
    "resolution-low": _e("dataset.resolution=384", "dataset.resolution=512"),
    "resolution-high": _e("dataset.resolution=1536", "dataset.resolution=1280"),
    "resolution-above-pictures": _e("dataset.resolution=1024", "dataset.resolution=640", sizes=((600, 600),) * 20),
    "repeats-break-resume": _e("dataset.repeats=2", "dataset.repeats=20"),
    "no-samples": _e("sampling.prompts=[]"),
    "samples-never-call": _e(
        'sampling.prompts=["a cat on a sofa"]', 'sampling.prompts=["a cat on a sofa"]; dataset.trigger=none'
    ),
    "samples-lack-control": _e(
        'sampling.prompts=["{trigger}, a cat"]', 'sampling.prompts=["{trigger}, a cat", "a cat"]'
    ),
    "sample-guidance-odd": _e("sampling.guidance=1.0", "sampling.guidance=2.5"),
    "sample-steps-few": _e("sampling.steps=4", "sampling.steps=4; model.family=flux-schnell"),
    "sample-steps-many": _e("sampling.steps=100", "sampling.steps=30"),
    "sample-size-large": _e("sampling.width=2048", "sampling.width=1536"),
    "sample-size-far": _e("sampling.width=256; sampling.height=256", "sampling.width=768"),
    "sampling-outweighs-training": _e("sampling.every_steps=10", "sampling.every_steps=50"),
    "samples-miss-checkpoints": _e("sampling.every_steps=70", "sampling.every_steps=50"),
    "more-processes-than-gpus": _e("launch.processes=4", "launch.processes=2", machine=TWO_CARDS),
    "gpu-id-absent": _e("launch.gpu_ids=2", "launch.gpu_ids=1", machine=TWO_CARDS),
    "gpu-ids-against-processes": _e(
        'launch.gpu_ids="0,1"', 'launch.gpu_ids="0,1"; launch.processes=2', machine=TWO_CARDS
    ),
    "several-gpus-small-set": _e("launch.processes=2", machine=TWO_CARDS),
    "ddp-timeout-short": _e("launch.processes=2", "launch.processes=2; engine.extra.ddp_timeout=60", machine=TWO_CARDS),
    "training-on-cpu": _e("launch.device=cpu"),
    "profile-above-card": _e("memory.profile=48gb", "memory.profile=24gb"),
    "profile-below-card": _e("memory.profile=8gb", "memory.profile=24gb"),
    "grace-short": _e("launch.grace_seconds=5.0", "launch.grace_seconds=30.0"),
    "disk-too-small": _e(
        "training.save_every_steps=20", "training.save_every_steps=200", machine=MachineFacts(disk_free_gib=2.0)
    ),
    "keep-last-few": _e("output.keep_last=1", "output.keep_last=3"),
    "save-precision-fp16": _e("output.save_precision=fp16", "output.save_precision=fp16; training.precision=fp16"),
    "save-precision-float": _e("output.save_precision=float"),
    "name-generic": _e("output.name=lora", "output.name=lora2"),
    "output-among-pictures": _e("dataset.images=art; output.dir=art/runs", "dataset.images=art; output.dir=runs"),
    "augmentation-with-latent-cache": _x("color_aug", quiet="engine.extra.color_aug=true; memory.cache_latents=off"),
    "caption-change-with-text-cache": _x(
        "caption_dropout_rate", "0.1", "engine.extra.caption_dropout_rate=0.1; memory.cache_text_encoders=off"
    ),
    "shuffle-moves-trigger": _e(
        "engine.extra.shuffle_caption=true; memory.cache_text_encoders=off",
        "engine.extra.shuffle_caption=true; memory.cache_text_encoders=off; engine.extra.keep_tokens=1",
    ),
    "swap-with-offload": _e(
        "memory.blocks_to_swap=8; engine.extra.cpu_offload_checkpointing=true",
        "engine.extra.cpu_offload_checkpointing=true",
    ),
    "full-precision-mismatch": _x("full_fp16", quiet="engine.extra.full_bf16=true"),
    "full-precision-loses": _x("full_bf16", quiet="engine.extra.full_fp16=true"),
    "custom-scheduler-with-warmup": _x(
        "lr_scheduler_type",
        "CosineAnnealingLR",
        "engine.extra.lr_scheduler_type=CosineAnnealingLR; optimizer.warmup_steps=none; optimizer.schedule=constant",
    ),
    "schedule-overridden": _e(
        "engine.extra.lr_scheduler_type=StepLR; optimizer.warmup_steps=none; optimizer.schedule=constant",
    ),
    "huber-schedule-snr": _e("engine.extra.huber_schedule=snr; training.loss=huber", "engine.extra.huber_schedule=snr"),
    "weighted-captions": _x("weighted_captions"),
    "adaptive-noise-without-offset": _x(
        "adaptive_noise_scale", "0.01", "engine.extra.adaptive_noise_scale=0.01; engine.extra.noise_offset=0.1"
    ),
    "v-loss-without-v": _x("scale_v_pred_loss_like_noise_pred"),
    "dims-from-nothing": _x(
        "dim_from_weights", quiet="engine.extra.dim_from_weights=true; engine.extra.network_weights=a.safetensors"
    ),
    "weights-need-their-rank": _x(
        "network_weights",
        "a.safetensors",
        "engine.extra.dim_from_weights=true; engine.extra.network_weights=a.safetensors",
    ),
    "log-without-folder": _x("log_with", "tensorboard", "engine.extra.log_with=wandb"),
    "fused-backward-refused": _e(
        "engine.extra.fused_backward_pass=true; optimizer.name=adamw", "engine.extra.fused_backward_pass=true"
    ),
    "masked-loss-without-mask": _x(
        "masked_loss", quiet="engine.extra.masked_loss=true; engine.extra.conditioning_data_dir=masks"
    ),
    "deepspeed-on": _x("deepspeed", quiet="engine.extra.deepspeed=false"),
    "torch-compile-slow": _x("torch_compile", quiet="engine.extra.torch_compile=false"),
    "not-safetensors": _x("save_model_as", "ckpt", "engine.extra.save_model_as=safetensors"),
    "epoch-saves": _x("save_n_epoch_ratio", "4"),
    "validation-split-whole": _x("validation_split", "0", "engine.extra.validation_split=0.0"),
    "validation-on-small-set": _x("validation_split", "0.1", "engine.extra.validation_split=0.6"),
    "debug-dataset-trains-nothing": _x("debug_dataset"),
    "cache-check-skipped": _x(
        "skip_cache_check", quiet="engine.extra.skip_cache_check=true; memory.cache_text_encoders=memory"
    ),
    "uploads-by-itself": _x("huggingface_repo_id", "me/lora"),
    "attention-option-inert": _x("xformers", quiet="engine.extra.xformers=false"),
    "timestep-range-inert": _x("min_timestep", "100"),
    "noise-option-inert": _x("noise_offset", "0.1", "engine.extra.ip_noise_gamma=0.1"),
    "loss-weighting-inert": _x("min_snr_gamma", "5.0"),
    "stable-diffusion-option": _x("clip_skip", "2"),
    "sample-sampler-inert": _x("sample_sampler", "euler_a"),
    "caption-text-lost": _x("caption_suffix", "end", "engine.extra.caption_suffix=end; memory.cache_text_encoders=off"),
    "density-option-unused": _x(
        "weighting_scheme",
        "logit_normal",
        "engine.extra.weighting_scheme=logit_normal; training.timestep_sampling=sigma",
    ),
    "schedule-option-unused": _x(
        "lr_scheduler_power",
        "2.0",
        "engine.extra.lr_scheduler_power=2.0; optimizer.schedule=polynomial",
    ),
    "fused-backward-inert": _e(
        "engine.extra.fused_backward_pass=true", "engine.extra.fused_backward_pass=true; optimizer.name=adamw"
    ),
}

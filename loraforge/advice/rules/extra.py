"""`[engine] extra`: what the engine refuses, or does otherwise than it seems, with its own options."""

from collections.abc import Iterator

from loraforge.advice.rules.case import Case, Fix
from loraforge.advice.rules.registry import Hit, rule

_CAPTION_CHANGES = ("shuffle_caption", "caption_dropout_rate", "caption_tag_dropout_rate", "token_warmup_step")


def without(name: str) -> Fix:
    """Take an option out of `[engine] extra`."""
    return {f"engine.extra.{name}": None}


def _hit(name: str, said: str, fix: Fix | None = None) -> Hit:
    return Hit(f"engine.extra.{name}", said, fix or without(name))


@rule("error", "sd-scripts train_network.py:581-588")
def augmentation_with_latent_cache(case: Case) -> Iterator[Hit]:
    """Cached latents can't be recoloured or cropped anew; the engine stops."""
    for name in ("color_aug", "random_crop"):
        if case.extra.get(name) and case.job.memory.cache_latents != "off":
            yield _hit(name, f"{name} with cached latents")


@rule("error", "sd-scripts flux_train_network.py:65-68; sd-scripts#1460")
def caption_change_with_text_cache(case: Case) -> Iterator[Hit]:
    """Cached text-encoder outputs can't follow captions that change; the engine stops."""
    for name in _CAPTION_CHANGES:
        if case.extra.get(name) and case.job.memory.cache_text_encoders != "off":
            yield _hit(name, f"{name} with cached text-encoder outputs")


@rule("warning", "sd-scripts shuffles everything after keep_tokens")
def shuffle_moves_trigger(case: Case) -> Iterator[Hit]:
    """Shuffled captions no longer begin with the trigger."""
    kept = case.extra.get("keep_tokens")
    shuffled = case.extra.get("shuffle_caption") and case.job.memory.cache_text_encoders == "off"
    if shuffled and case.job.dataset.trigger and not kept:
        yield _hit("shuffle_caption", "captions are shuffled whole", {"engine.extra.keep_tokens": 1})


@rule("error", "sd-scripts flux_train_network.py:77-79")
def swap_with_offload(case: Case) -> Iterator[Hit]:
    """Block swapping and offloaded checkpointing exclude each other; the engine stops."""
    if case.extra.get("cpu_offload_checkpointing") and case.memory.blocks_to_swap:
        said = f"cpu_offload_checkpointing with {case.memory.blocks_to_swap} swapped blocks"
        yield _hit("cpu_offload_checkpointing", said)


@rule("error", "sd-scripts train_network.py:814-825")
def full_precision_mismatch(case: Case) -> Iterator[Hit]:
    """full_fp16 and full_bf16 need the mixed precision of the same name; the engine stops."""
    for name in ("full_fp16", "full_bf16"):
        if case.extra.get(name) and case.job.training.precision != name.removeprefix("full_"):
            yield _hit(name, f"{name} with precision {case.job.training.precision}")


@rule("warning", "bf16 keeps 8 bits: an update below 1/256 of a weight is rounded away")
def full_precision_loses(case: Case) -> Iterator[Hit]:
    """A LoRA held in 16 bits loses its small updates, and saves only the few MB that it is."""
    for name in ("full_fp16", "full_bf16"):
        if case.extra.get(name) and case.job.training.precision == name.removeprefix("full_"):
            yield _hit(name, f"{name} is on")


@rule("error", "sd-scripts train_util.py:5294: does not require `num_warmup_steps`")
def custom_scheduler_with_warmup(case: Case) -> Iterator[Hit]:
    """A scheduler of another library takes no warm-up; the engine stops after loading and caching."""
    if case.extra.get("lr_scheduler_type") and case.job.optimizer.warmup_steps is not None:
        yield _hit("lr_scheduler_type", f"lr_scheduler_type with {case.job.optimizer.warmup_steps} warm-up steps")


@rule("warning", "sd-scripts train_util.py:5300")
def schedule_overridden(case: Case) -> Iterator[Hit]:
    """lr_scheduler_type replaces optimizer.schedule in silence."""
    if case.extra.get("lr_scheduler_type") and case.job.optimizer.warmup_steps is None:
        said = f"lr_scheduler_type over schedule {case.job.optimizer.schedule}"
        yield _hit("lr_scheduler_type", said)


@rule("error", "sd-scripts train_util.py:6118-6120: NotImplementedError at the first step")
def huber_schedule_snr(case: Case) -> Iterator[Hit]:
    """The huber schedule snr does not exist for flow matching."""
    if case.extra.get("huber_schedule") == "snr" and case.job.training.loss in {"huber", "smooth_l1"}:
        fix: Fix = {"engine.extra.huber_schedule": "constant"}
        yield _hit("huber_schedule", f"huber_schedule snr with loss {case.job.training.loss}", fix)


@rule("error", "sd-scripts: NotImplementedError, FLUX has no strategy for it")
def weighted_captions(case: Case) -> Iterator[Hit]:
    """Weights in captions are not implemented for FLUX."""
    if case.extra.get("weighted_captions"):
        yield _hit("weighted_captions", "weighted_captions is on")


@rule("error", "sd-scripts train_util.py:4443")
def adaptive_noise_without_offset(case: Case) -> Iterator[Hit]:
    """adaptive_noise_scale without noise_offset stops the engine, and neither does anything for FLUX."""
    if "adaptive_noise_scale" in case.extra and "noise_offset" not in case.extra:
        yield _hit("adaptive_noise_scale", "adaptive_noise_scale without noise_offset")


@rule("error", "sd-scripts train_util.py:4446")
def v_loss_without_v(case: Case) -> Iterator[Hit]:
    """This loss belongs to v-prediction models, which FLUX is not; the engine stops."""
    name = "scale_v_pred_loss_like_noise_pred"
    if case.extra.get(name) and not case.extra.get("v_parameterization"):
        yield _hit(name, f"{name} without v_parameterization")


@rule("error", "sd-scripts lora_flux.py reads the rank from that file")
def dims_from_nothing(case: Case) -> Iterator[Hit]:
    """dim_from_weights needs network_weights."""
    if case.extra.get("dim_from_weights") and not case.extra.get("network_weights"):
        yield _hit("dim_from_weights", "dim_from_weights without network_weights")


@rule("warning", "sd-scripts copies weights by name and shape")
def weights_need_their_rank(case: Case) -> Iterator[Hit]:
    """A LoRA to go on from loads only at its own rank."""
    if case.extra.get("network_weights") and not case.extra.get("dim_from_weights"):
        said = f"network_weights at rank {case.job.network.rank}, whatever its own"
        yield _hit("network_weights", said, {"engine.extra.dim_from_weights": True})


@rule("error", "sd-scripts train_util.py:5450")
def log_without_folder(case: Case) -> Iterator[Hit]:
    """TensorBoard logs need logging_dir; the engine stops."""
    if case.extra.get("log_with") in {"tensorboard", "all"} and not case.extra.get("logging_dir"):
        yield _hit("log_with", f"log_with {case.extra['log_with']}", {"engine.extra.logging_dir": "logs"})


@rule("error", "sd-scripts train_util.py:4848: assertions")
def fused_backward_refused(case: Case) -> Iterator[Hit]:
    """fused_backward_pass works with adafactor and without accumulation only, and does nothing for a LoRA."""
    refused = case.job.optimizer.name != "adafactor" or case.job.training.gradient_accumulation > 1
    if case.extra.get("fused_backward_pass") and refused:
        yield _hit("fused_backward_pass", f"fused_backward_pass with {case.job.optimizer.name}")


@rule("warning", "sd-scripts custom_train_functions.py:487-498")
def masked_loss_without_mask(case: Case) -> Iterator[Hit]:
    """The staged pictures are flattened, so there is no mask and the loss is taken over the whole picture."""
    for name in ("masked_loss", "alpha_mask"):
        if case.extra.get(name) and not case.extra.get("conditioning_data_dir"):
            yield _hit(name, f"{name} without masks")


@rule("error", "sd-scripts deepspeed_utils.py:64-98 needs WORLD_SIZE and a launcher of its own")
def deepspeed_on(case: Case) -> Iterator[Hit]:
    """DeepSpeed needs a launcher that loraforge does not start, and a LoRA has nothing to shard."""
    if case.extra.get("deepspeed"):
        yield _hit("deepspeed", "deepspeed is on")


@rule("warning", "measured: the whole transformer in one graph had not compiled after 4 minutes")
def torch_compile_slow(case: Case) -> Iterator[Hit]:
    """Compiling takes longer than a short run gains, and needs triton."""
    if case.extra.get("torch_compile"):
        yield _hit("torch_compile", "torch_compile is on")


@rule("error", "loraforge proves every result by reading it; pickles run code when they are read")
def not_safetensors(case: Case) -> Iterator[Hit]:
    """Only .safetensors can be verified, compared and shipped."""
    if case.extra.get("save_model_as", "safetensors") != "safetensors":
        yield _hit("save_model_as", f"save_model_as {case.extra['save_model_as']}")


@rule("warning", "sd-scripts train_network.py:980")
def epoch_saves(case: Case) -> Iterator[Hit]:
    """The run is one epoch, so that saving by epochs adds nothing but a second naming."""
    if case.extra.get("save_n_epoch_ratio"):
        yield _hit("save_n_epoch_ratio", "save_n_epoch_ratio beside save_every_steps")


@rule("error", "sd-scripts config_util.py: expected float")
def validation_split_whole(case: Case) -> Iterator[Hit]:
    """The engine refuses a whole number for validation_split, even 0."""
    split = case.extra.get("validation_split")
    if isinstance(split, int) and not isinstance(split, bool):
        yield _hit("validation_split", f"validation_split {split}")


@rule("warning", "FLUX draws random noise levels for validation: its fixed-timestep trick is not read")
def validation_on_small_set(case: Case) -> Iterator[Hit]:
    """A few held-out pictures give a loss too noisy to choose by, and are missing from training."""
    split = case.extra.get("validation_split")
    if isinstance(split, float) and split > 0 and (case.pictures or 20) * split < 10:
        said = f"{(case.pictures or 20) * split:.0f} pictures held out"
        yield _hit("validation_split", said)


@rule("error", "sd-scripts train_network.py:567 returns before training")
def debug_dataset_trains_nothing(case: Case) -> Iterator[Hit]:
    """debug_dataset shows the pictures and ends with exit code 0, without a LoRA."""
    if case.extra.get("debug_dataset"):
        yield _hit("debug_dataset", "debug_dataset is on")


@rule("warning", "sd-scripts flux_train_network.py:219, strategy_flux.py: a file that is there is taken as it is")
def cache_check_skipped(case: Case) -> Iterator[Hit]:
    """Cached outputs of text encoders are trusted unread, also where they were cut off or made with other settings."""
    if case.extra.get("skip_cache_check") and case.job.memory.cache_text_encoders == "disk":
        yield _hit("skip_cache_check", "skip_cache_check is on")


@rule("warning", "sd-scripts huggingface_util.py uploads with every save")
def uploads_by_itself(case: Case) -> Iterator[Hit]:
    """The engine uploads unchosen checkpoints to a repository while it trains."""
    if case.extra.get("huggingface_repo_id"):
        yield _hit("huggingface_repo_id", f"uploads to {case.extra['huggingface_repo_id']}")

"""Memory settings that do not do what they are meant to. How much fits is the predictor's to say."""

from collections.abc import Iterator

from loraforge.advice.cards import typical_card
from loraforge.advice.duration import predict_duration
from loraforge.advice.fitting import training_size, with_change
from loraforge.advice.rules.case import Case, Fix
from loraforge.advice.rules.registry import Hit, rule
from loraforge.config.definite import takes_8_bits
from loraforge.config.profiles import profile_for

CACHED_MB_A_PICTURE = 9.5  # T5 output 512 x 4096 in fp32, latents of 1024 x 1024


@rule(
    "warning", "each Linear is cast to bf16, and without recomputation the casts stay until the backward pass: 23.8 GB"
)
def fp8_without_checkpointing(case: Case) -> Iterator[Hit]:
    """Without gradient checkpointing an 8-bit base model saves next to nothing."""
    if case.memory.fp8_base and case.memory.gradient_checkpointing is False:
        fix = {"memory.gradient_checkpointing": True}
        yield Hit("memory.fp8_base", "fp8_base without gradient_checkpointing", fix)


@rule("error", "sd-scripts#1480; its maintainer: block swapping is not meant for several GPUs")
def swap_on_several_gpus(case: Case) -> Iterator[Hit]:
    """Swapped blocks end up on the wrong device when several processes train."""
    swapped, processes = case.memory.blocks_to_swap, case.job.launch.processes
    if swapped and processes > 1:
        said = f"{swapped} swapped blocks with {processes} processes"
        yield Hit("memory.blocks_to_swap", said, {"launch.processes": 1})


@rule("warning", "predicted for the card; one older than RTX 40 compiles bf16 alone, and is faster with it")
def swap_before_fp8(case: Case) -> Iterator[Hit]:
    """Swapping blocks in bf16 is slower here than holding them in 8 bits."""
    swapped = case.memory.blocks_to_swap
    if not swapped or case.memory.fp8_base is not False or not takes_8_bits(case.job):
        return
    now, then = _seconds(case, {}), _seconds(case, case.fp8())
    if then < now:
        said = f"{swapped} blocks swapped in bf16 make a step of {now:.2f} s, in 8 bits {then:.2f} s"
        yield Hit("memory.fp8_base", said, case.fp8())


def _seconds(case: Case, change: Fix) -> float:
    """Predict a step on the card, else on the one that the profile is for."""
    vram = case.machine.vram_gib if case.machine else None
    card = typical_card(vram or float(profile_for(case.job.memory.profile, None).vram_gib))
    job = with_change(
        case.job.model_copy(update={"memory": case.memory}), {"training.steps": case.steps or 500, **change}
    )
    return predict_duration(job, training_size(job), case.pictures or 20, card).seconds_per_step


@rule("warning", "T5-XXL 8.9 GiB and CLIP-L 0.2 GiB in bf16; fluxgym and kohya_ss presets cache as well")
def text_cache_off(case: Case) -> Iterator[Hit]:
    """Both text encoders stay on the GPU all run and encode the same captions again and again."""
    if case.job.memory.cache_text_encoders == "off" and not case.trains_text:
        setting = "memory.cache_text_encoders"
        yield Hit(setting, "text-encoder outputs are not cached", {setting: "disk"})


@rule("warning", "the autoencoder needs about 2 GiB at 1024 and encodes the same pictures at every step")
def latent_cache_off(case: Case) -> Iterator[Hit]:
    """The autoencoder stays on the GPU all run."""
    augments = case.extra.get("color_aug") or case.extra.get("random_crop")
    if case.job.memory.cache_latents == "off" and not augments:
        yield Hit("memory.cache_latents", "latents are not cached", {"memory.cache_latents": "disk"})


@rule("warning", "kohya_ss#3129: memory grows at the first epoch, once for every data-loading process")
def workers_copy_cache(case: Case) -> Iterator[Hit]:
    """Each data-loading process holds its own copy of caches kept in memory."""
    workers, memory = case.job.training.workers, case.job.memory
    if workers > 1 and memory.cache_text_encoders == "memory":
        fix = {"memory.cache_text_encoders": "disk"}
        yield Hit("memory.cache_text_encoders", f"a cache in memory and {workers} processes that load", fix)


@rule("warning", "9.5 MB a picture at 1024")
def cache_fills_ram(case: Case) -> Iterator[Hit]:
    """Caches of so many pictures crowd the base model out of host memory."""
    ram = case.machine.ram_gib if case.machine else None
    held = (case.pictures or 0) * CACHED_MB_A_PICTURE / 1000
    if ram is not None and case.job.memory.cache_text_encoders == "memory" and held > ram / 8:
        fix = {"memory.cache_text_encoders": "disk", "memory.cache_latents": "disk"}
        yield Hit("memory.cache_text_encoders", f"{held:.0f} GB of cache in {ram:.0f} GiB of memory", fix)


@rule("info", "sd-scripts: an fp8 file is cast up to bf16 when fp8_base is off")
def fp8_file_cast_up(case: Case) -> Iterator[Hit]:
    """Casting an 8-bit file up to bf16 doubles its memory and brings back none of its precision."""
    if case.weights and case.weights.transformer_fp8 and case.memory.fp8_base is False:
        fix = case.fp8()
        yield Hit("memory.fp8_base", "an fp8 transformer with fp8_base off", fix)

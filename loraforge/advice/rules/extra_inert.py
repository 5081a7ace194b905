"""`[engine] extra`: options that the engine takes and FLUX LoRA training never reads."""

from collections.abc import Iterable, Iterator

from loraforge.advice.rules.case import Case
from loraforge.advice.rules.registry import Hit, literal, rule
from loraforge.config.engine import OptionValue

_NOISE = (
    "noise_offset",
    "noise_offset_random_strength",
    "multires_noise_iterations",
    "multires_noise_discount",
    "zero_terminal_snr",
)
_LOSS = ("min_snr_gamma", "debiased_estimation_loss", "v_pred_like_loss", "v_parameterization")
_STABLE_DIFFUSION = ("v2", "clip_skip", "max_token_length", "vae", "no_half_vae", "controlnet_model_name_or_path")
_CAPTION_TEXT = (
    "caption_suffix",
    "enable_wildcard",
    "secondary_separator",
    "keep_tokens_separator",
    "caption_dropout_every_n_epochs",
)
_DENSITY = ("weighting_scheme", "logit_mean", "logit_std", "mode_scale")


def _given(case: Case, names: Iterable[str]) -> Iterator[tuple[str, OptionValue]]:
    """Yield the options that are set to something: an absent flag and false are the same to the engine."""
    for name in names:
        value = case.extra.get(name)
        if value is not None and value is not False and value != "":
            yield name, value


def _hits(case: Case, names: Iterable[str]) -> Iterator[Hit]:
    for name, value in _given(case, names):
        yield Hit(f"engine.extra.{name}", f"{name} = {literal(value)}", {f"engine.extra.{name}": None})


@rule("info", "sd-scripts flux_models.py:452: attention is torch's scaled_dot_product_attention in any case")
def attention_option_inert(case: Case) -> Iterator[Hit]:
    """FLUX ignores the choice of attention; xformers can only fail to import (kohya_ss#470)."""
    yield from _hits(case, ("xformers", "sdpa", "mem_eff_attn"))


@rule("warning", "sd-scripts flux_train_utils.py:471-529 never reads them")
def timestep_range_inert(case: Case) -> Iterator[Hit]:
    """FLUX training draws from all noise levels whatever this says."""
    yield from _hits(case, ("min_timestep", "max_timestep"))


@rule("warning", "sd-scripts: the FLUX trainer makes its noise without them; only ip_noise_gamma is read")
def noise_option_inert(case: Case) -> Iterator[Hit]:
    """Noise tricks of Stable Diffusion have no effect on FLUX, though they reach the metadata."""
    yield from _hits(case, _NOISE)


@rule("warning", "sd-scripts#1980")
def loss_weighting_inert(case: Case) -> Iterator[Hit]:
    """Weightings by signal-to-noise ratio belong to Stable Diffusion and do nothing for flow matching."""
    yield from _hits(case, _LOSS)


@rule("info", "sd-scripts: accepted for all models, read by others only")
def stable_diffusion_option(case: Case) -> Iterator[Hit]:
    """This option belongs to Stable Diffusion and does nothing for FLUX."""
    yield from _hits(case, _STABLE_DIFFUSION)


@rule("info", "sd-scripts flux_train_utils.py draws samples by Euler steps only")
def sample_sampler_inert(case: Case) -> Iterator[Hit]:
    """Samples of FLUX are drawn by one sampler."""
    yield from _hits(case, ("sample_sampler",))


@rule("warning", "sd-scripts strategy_flux.py:157: the cache holds the caption as it stands in the file")
def caption_text_lost(case: Case) -> Iterator[Hit]:
    """Text that the engine would add to or take from captions is lost when their outputs are cached."""
    if case.job.memory.cache_text_encoders != "off":
        yield from _hits(case, _CAPTION_TEXT)


@rule("info", "sd-scripts flux_train_utils.py:500-510: read for timestep_sampling sigma only")
def density_option_unused(case: Case) -> Iterator[Hit]:
    """Weighting of noise levels acts with timestep_sampling sigma only."""
    if case.job.training.timestep_sampling != "sigma":
        yield from _hits(case, _DENSITY)


@rule("info", "sd-scripts train_util.py:5265-5400")
def schedule_option_unused(case: Case) -> Iterator[Hit]:
    """The chosen schedule does not read this."""
    yield from _hits(case, ("lr_decay_steps", "lr_scheduler_timescale", "lr_scheduler_min_lr_ratio"))
    if case.job.optimizer.schedule != "polynomial":
        yield from _hits(case, ("lr_scheduler_power",))


@rule("info", "sd-scripts: fused_backward_pass is set up by the full trainers only")
def fused_backward_inert(case: Case) -> Iterator[Hit]:
    """fused_backward_pass has no effect when a LoRA is trained."""
    if case.job.optimizer.name == "adafactor" and case.job.training.gradient_accumulation == 1:
        yield from _hits(case, ("fused_backward_pass",))

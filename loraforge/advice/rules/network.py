"""Rank, alpha, dropout, and text encoders trained by accident."""

from collections.abc import Iterator

from loraforge.advice.rules.case import Case, tidy
from loraforge.advice.rules.registry import Hit, rule

_RANKS = "style-LoRA guide, FAQ: rank 4-8 for a concept, 8-16 for a style, 32-64 for a subject"


@rule("warning", _RANKS)
def rank_above_purpose(case: Case) -> Iterator[Hit]:
    """More rank than the purpose needs leaves room to memorise the pictures; start low, raise it when too weak."""
    rank, (low, high) = case.job.network.rank, case.purpose.rank
    if rank > high:
        said = f"rank {rank}, where {case.purpose.name} takes {low} to {high}"
        yield Hit("network.rank", said, case.rank_to(high))


@rule("info", _RANKS)
def rank_below_purpose(case: Case) -> Iterator[Hit]:
    """With less rank than the purpose usually takes the result may stay weak."""
    rank, (low, high) = case.job.network.rank, case.purpose.rank
    if rank < low:
        said = f"rank {rank}, where {case.purpose.name} takes {low} to {high}"
        yield Hit("network.rank", said, case.rank_to(low))


@rule("warning", "a study of 56 FLUX.2 style runs: rank 128 on fewer than 10 pictures over-fits")
def rank_for_few_pictures(case: Case) -> Iterator[Hit]:
    """A large LoRA and a small set make a copy of the pictures instead of a style."""
    rank = case.job.network.rank
    if case.pictures is not None and rank >= 64 and case.pictures < 10:
        yield Hit("network.rank", f"rank {rank} for {case.pictures} pictures", case.rank_to(32))


@rule("info", "sd-scripts lora_flux.py: scale = alpha / rank; sd-scripts#1492")
def alpha_far_from_rank(case: Case) -> Iterator[Hit]:
    """Alpha acts as a factor on the learning rate, so one far from the rank makes the rate mean something else."""
    network = case.job.network
    if case.job.optimizer.name != "prodigy" and not 0.25 <= case.scale <= 4:
        low, usual, high = case.band  # a product that is out of it is not worth keeping
        rate = tidy(case.rate) if low <= case.rate <= high else usual
        fix = {"network.alpha": float(network.rank), "optimizer.learning_rate": rate}
        yield Hit("network.alpha", f"alpha {network.alpha:g} at rank {network.rank} is a factor {case.scale:.3g}", fix)


@rule("info", "judgement: 0.1 or less is usual")
def dropout_high(case: Case) -> Iterator[Hit]:
    """So much dropout removes most of what a step could teach in a run of a few hundred steps."""
    dropout = case.job.network.dropout
    if dropout is not None and dropout > 0.5:
        yield Hit("network.dropout", f"dropout {dropout:g}", {"network.dropout": 0.1})


@rule("warning", "ai-toolkit, SimpleTuner, OneTrainer, lora-scripts and diffusion-pipe keep it fixed; fluxgym#110")
def text_encoder_trained(case: Case) -> Iterator[Hit]:
    """CLIP-L carries little of a FLUX style, and a LoRA with its keys does not load everywhere."""
    if case.job.network.train_clip_l and not case.job.network.train_t5xxl:
        yield Hit("network.train_clip_l", "the CLIP-L text encoder is adapted", {"network.train_clip_l": False})


@rule("warning", "T5-XXL has 4.8 billion parameters: 8.9 GiB in bf16, kept on the GPU all run")
def t5_trained(case: Case) -> Iterator[Hit]:
    """T5-XXL is costly to adapt, forgets language fast, and style LoRAs do without."""
    if case.job.network.train_t5xxl:
        fix = {"network.train_t5xxl": False, "network.train_clip_l": False, "memory.cache_text_encoders": "disk"}
        yield Hit("network.train_t5xxl", "the T5-XXL text encoder is adapted", fix)


@rule("info", "sd-scripts flux_train_network.py:196-215")
def clip_recomputed(case: Case) -> Iterator[Hit]:
    """While CLIP-L is trained its outputs are computed anew at every step, and only those of T5 come from the cache."""
    if case.job.network.train_clip_l and case.job.memory.cache_text_encoders != "off":
        said = "cached text-encoder outputs beside a trained CLIP-L"
        yield Hit("memory.cache_text_encoders", said, {"network.train_clip_l": False})


@rule("warning", "judgement; argus-forge adapts SDXL's text encoders at 5e-5")
def text_encoder_rate_hot(case: Case) -> Iterator[Hit]:
    """A text encoder forgets words at rates that suit the transformer."""
    optimizer = case.job.optimizer
    rate = optimizer.text_encoder_learning_rate or optimizer.learning_rate
    if case.trains_text and optimizer.name != "prodigy" and case.scale * rate > 7e-5:
        fix = {"optimizer.text_encoder_learning_rate": max(1e-9, tidy(5e-5 / case.scale))}
        yield Hit("optimizer.text_encoder_learning_rate", f"text encoders learn at {case.scale * rate:.2g}", fix)


@rule("info", "sd-scripts: without a trained text encoder there is no such parameter group")
def text_encoder_rate_unused(case: Case) -> Iterator[Hit]:
    """A learning rate for text encoders does nothing while none is trained."""
    if not case.trains_text and case.job.optimizer.text_encoder_learning_rate is not None:
        setting = "optimizer.text_encoder_learning_rate"
        yield Hit(setting, "a rate for text encoders that are not trained", {setting: None})

"""What a run writes, from the shape of the LoRA alone."""

from math import prod

from loraforge.config.job import Job
from loraforge.config.network import Network
from loraforge.config.optimizer import OptimizerName

# LoRA parameters per unit of rank: every Linear of the adapted blocks, modulation included.
_PER_RANK = {"all": 4_786_176, "double": 2_684_928, "single": 2_101_248}
_CLIP_L_PER_RANK = 165_888
_T5XXL_PER_RANK = 1_818_624
# Bytes of optimizer state a parameter. Adafactor keeps rows and columns only: about 19 MB at any rank.
STATE_BYTES: dict[OptimizerName, float] = {
    "adafactor": 0.25,
    "adamw": 8.0,
    "adamw8bit": 2.03,
    "paged-adamw8bit": 2.03,
    "lion": 4.0,
    "lion8bit": 1.02,
    "prodigy": 13.5,
    "adamw-schedule-free": 8.0,
}
_STATES = 3  # the two newest are kept, and the one before them is removed after the next is written
_LATENTS = 1.05e6  # bytes a picture of 1024 x 1024
_TEXT = 8.4e6  # bytes a caption of 512 T5 tokens


def lora_parameters(network: Network) -> int:
    """Return how many parameters a LoRA on FLUX.1 has."""
    per_rank = _PER_RANK[network.targets]
    per_rank += _CLIP_L_PER_RANK * network.train_clip_l + _T5XXL_PER_RANK * network.train_t5xxl
    return network.rank * per_rank


def run_bytes(job: Job, pictures: int) -> int:
    """Return the bytes a run writes at most: checkpoints, states and caches. Samples and logs are small beside them.

    Args:
        job: the settings.
        pictures: pictures in the dataset.
    """
    training = job.training
    parameters = lora_parameters(job.network)
    steps = training.steps or training.max_steps
    saves = steps // training.save_every_steps if training.save_every_steps else 0
    if job.output.keep_last is not None:
        saves = min(saves, job.output.keep_last)
    checkpoint = parameters * (4 if job.output.save_precision == "float" else 2)
    state = parameters * (4 + STATE_BYTES[job.optimizer.name]) if training.save_states else 0
    size = job.dataset.resolution
    area = prod(size) if isinstance(size, list) else size * size
    cached = pictures * (
        (_LATENTS * area / 1024**2 if job.memory.cache_latents == "disk" else 0)
        + (_TEXT if job.memory.cache_text_encoders == "disk" else 0)
    )
    return int((saves + 1) * checkpoint + min(saves + 1, _STATES) * state + cached)

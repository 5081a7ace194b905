"""How long a run takes: plain arithmetic over the settings, the card's rates and the time to launch kernels.

Calibrated on one card (see benchmarks/memory.md); for another the two parts of a step that its data sheet speaks of,
matrix products and memory traffic, are scaled by it, and the result is an estimate with a wide range. A run is
predicted with what will speed it up (`advice.fast_policy`).
"""

import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from loraforge.advice.cards import Card
from loraforge.advice.fast_policy import choose, compile_cost
from loraforge.advice.memory import kilotokens, swapped_gib, text_tokens
from loraforge.config.job import Job
from loraforge.dataset.buckets import Size

# A thousand tokens forward through all blocks: 6.455e9 weights act on each, two operations a weight.
_TFLOP = 12.91
_ATTENTION = 0.70  # TFLOP a thousand tokens, for each thousand that they attend to
_EFFICIENCY = 0.70  # of the data sheet's matrix rate
_BANDWIDTH = 3350.0  # GB/s of the measured card; the seconds below that scale are its
_MODULES = {"all": 304, "double": 190, "single": 114}
# How much longer launching a step's kernels took in whole runs of the engine than in the benchmark, whose machine had a
# faster processor; in the loop of either everything else is a twentieth.
_WHOLE_RUN = 1.4
_COMPILED_FROM = 4.0  # thousand tokens: compiled steps were timed from there on
_MEASURED_RANGE, _ESTIMATE_RANGE = (0.85, 1.25), (0.7, 1.6)


@dataclass(frozen=True, slots=True)
class Duration:
    """How long a run takes, in seconds.

    Attributes:
        seconds_per_step: an optimizer step, once it runs steadily.
        total_seconds: from start to the last file.
        measured: for a card and a kind of step that the arithmetic is calibrated on; else an estimate.
        parts: what the total is made of.
    """

    seconds_per_step: float
    total_seconds: float
    measured: bool
    parts: dict[str, float]

    def span(self, seconds: float) -> tuple[float, float]:
        """Return the range in which a predicted time is expected to lie."""
        low, high = _MEASURED_RANGE if self.measured else _ESTIMATE_RANGE
        return seconds * low, seconds * high

    def as_dict(self) -> dict[str, float | bool]:
        """Return the JSON form that `check --json` carries."""
        return {
            "seconds_per_step": round(self.seconds_per_step, 2),
            "total_seconds": round(self.total_seconds),
            "measured": self.measured,
        }


def predict_duration(job: Job, size: Size, pictures: int, card: Card, buckets: Sequence[Size] = ()) -> Duration:
    """Predict a run on one card.

    Args:
        job: the settings, definite: steps are counted, what the memory section leaves None counts as off.
        size: (width, height) of the largest bucket in pixels.
        pictures: pictures in the dataset.
        card: what it runs on.
        buckets: every training size, each of which is compiled for; by default the largest alone.
    """
    training = job.training
    steps = training.steps or 0
    sizes = buckets or [size]
    parts = _fast_parts(job, sizes, card)
    compiled = "compile" in parts
    step = seconds_per_step(job, size, card, parts) * training.gradient_accumulation
    every = training.save_every_steps
    saves = 1 + (steps // every if every else 0)
    drawn_every = job.sampling.every_steps or every or steps
    rounds = (steps // drawn_every if drawn_every else 0) + job.sampling.at_start
    samples = rounds * len(job.sampling.prompts)
    spent = {
        # Loading 34 GB of weights and hashing the transformer's file, as measured; slower disks take longer.
        "start": 75.0 + (compile_cost(job, sizes) if compiled else 0.0),
        "caching": pictures * _caching(job, size, card),
        "steps": steps * step,
        "samples": samples * _sample(job, card),
        "saves": saves * (2.0 + 2.0 * training.save_states),
    }
    known = training.precision == "bf16" and (not compiled or kilotokens(job, size) >= _COMPILED_FROM)
    measured = card.measured and known
    return Duration(step, sum(spent.values()), measured, spent)


def seconds_per_step(
    job: Job, size: Size, card: Card, parts: Collection[str] = (), *, launch: float = _WHOLE_RUN
) -> float:
    """Predict the seconds of one forward and backward pass with its update.

    Args:
        job: the settings, definite.
        size: (width, height) of the pictures in pixels.
        card: what it runs on.
        parts: what speeds the engine up.
        launch: how long launching kernels takes, as a multiple of the benchmark's machine.
    """
    thousand = kilotokens(job, size)
    attended = thousand / job.dataset.batch_size
    checkpointed, fp8 = bool(job.memory.gradient_checkpointing), bool(job.memory.fp8_base)
    compiled = "compile" in parts
    traffic = _BANDWIDTH / card.gb_per_s
    share = _MODULES[job.network.targets] / 304
    # Forward once or twice, backward through frozen weights once; attention's own backward is 2.5 forwards. Compiled,
    # most of what passes through memory between the products stays on the chip.
    passes, attention = (3, 4.5) if checkpointed else (2, 3.5)
    moved = (0.041 if checkpointed else 0.023) if compiled else (0.106 if checkpointed else 0.076)
    matrix = (passes * _TFLOP + attention * _ATTENTION * attended) / (_EFFICIENCY * card.tflops)
    working = thousand * (matrix + moved * traffic)
    # The norms of every LoRA product are logged at each step, and adafactor goes through tensors one by one.
    norms = 0.0 if "norms" in parts else 0.14 * share
    walked = job.optimizer.name not in {"adamw", "adamw8bit", "lion8bit"} and "adafactor" not in parts
    one_by_one = 0.12 * share if walked else 0.0
    if compiled:
        step = working + 0.07 + norms * traffic + one_by_one
    else:
        casts = 0.022 * passes if fp8 else 0.0  # 8-bit weights are read and written as 16-bit ones
        working += (0.10 + norms + casts) * traffic + one_by_one
        # Python can launch a step's kernels no faster than this, however small they are.
        blocks = 0.62 + 0.14 * share if checkpointed else 0.34
        step = max(working, launch * (blocks + norms + one_by_one))
    return _with_swapping(step + _encoding(job, size, traffic), job, card, one_way="swap" in parts)


def _fast_parts(job: Job, sizes: Sequence[Size], card: Card) -> Collection[str]:
    """Return what will speed a run up on a card. Compiling needs Triton, which torch brings along on Linux only."""
    parts = set(choose(job, sizes, steps=job.training.steps or 0, full_size=True).parts)
    compiles = sys.platform != "win32" and (card.compiles_fp8 or not job.memory.fp8_base)
    return parts if compiles else parts - {"compile"}


def _with_swapping(step: float, job: Job, card: Card, *, one_way: bool) -> float:
    """Add what swapping costs beside the computing: each swapped block comes in, forward and backward, and goes out.

    One way, what never changes is not copied back.
    """
    blocks = job.memory.blocks_to_swap or 0
    if not blocks:
        return step
    copying = (2 if one_way else 4) * swapped_gib(blocks, 1.0 if job.memory.fp8_base else 2.0) * 1.074
    copying /= card.pcie_gb_per_s
    # With few blocks left on the card there is little to compute while the next is fetched.
    exposed = 0.12 + 0.30 * max(0.0, min(1.0, (blocks - 28) / 7))
    return max(step, copying) + exposed * min(step, copying) + (0.0 if one_way else 0.003 * blocks)


def _encoding(job: Job, size: Size, traffic: float) -> float:
    """Return the seconds a step spends on what is not cached, and on a text encoder that learns."""
    batch, mega = job.dataset.batch_size, size[0] * size[1] / 1e6
    pictures = 0.08 * mega if job.memory.cache_latents == "off" else 0.0
    captions = 0.05 if job.memory.cache_text_encoders == "off" else 0.0
    trained = 0.25 if job.network.train_clip_l else 0.0  # 72 small modules more, launched one by one
    return batch * (pictures + captions) * traffic + trained


def _caching(job: Job, size: Size, card: Card) -> float:
    """Return the seconds a picture takes to be encoded and written."""
    traffic, mega = _BANDWIDTH / card.gb_per_s, size[0] * size[1] / 1e6
    pictures = 0.05 * mega * traffic + 0.1 if job.memory.cache_latents != "off" else 0.0
    captions = 0.034 * traffic + 0.1 if job.memory.cache_text_encoders != "off" else 0.0
    return pictures + captions


def _sample(job: Job, card: Card) -> float:
    """Return the seconds of one sample: forward passes, decoding, and moving the autoencoder in and out."""
    sampling, traffic = job.sampling, _BANDWIDTH / card.gb_per_s
    thousand = (text_tokens(job) + sampling.width // 16 * (sampling.height // 16)) / 1000
    matrix = (_TFLOP + _ATTENTION * thousand) / (_EFFICIENCY * card.tflops)
    step = max(0.2, thousand * (matrix + 0.037 * traffic))
    # Between two denoising steps everything swapped goes out and in again, and nothing is computed meanwhile.
    moved = 4 * swapped_gib(job.memory.blocks_to_swap, 1.0 if job.memory.fp8_base else 2.0) * 1.074
    return sampling.steps * (step + moved / card.pcie_gb_per_s) + 1.5

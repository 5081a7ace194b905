"""The whole of forge.toml, and the rules that span its sections."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import StringConstraints

from loraforge.config.base import Section
from loraforge.config.dataset import Dataset
from loraforge.config.engine import Engine
from loraforge.config.launch import Launch
from loraforge.config.memory import Memory
from loraforge.config.model import Model
from loraforge.config.network import Network
from loraforge.config.optimizer import Optimizer
from loraforge.config.output import Output
from loraforge.config.sampling import Sampling
from loraforge.config.training import Training


class Job(Section):
    """Everything a user decides about one training run."""

    preset: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*$")] | None = None
    """The preset the settings start from; None starts from the built-in defaults."""

    model: Model = Model.model_construct()
    dataset: Dataset = Dataset.model_construct()
    network: Network = Network.model_construct()
    optimizer: Optimizer = Optimizer.model_construct()
    training: Training = Training.model_construct()
    memory: Memory = Memory.model_construct()
    sampling: Sampling = Sampling.model_construct()
    output: Output = Output.model_construct()
    launch: Launch = Launch.model_construct()
    engine: Engine = Engine.model_construct()


def contradictions(job: Job) -> Iterator[tuple[str, str]]:
    """Yield (dotted path, what is wrong and what is allowed) for every pair of settings that can't go together.

    Only what would make the engine fail or do something else than the settings say; judgement of taste belongs to
    the advice rules.
    """
    yield from _optimizer(job.optimizer)
    yield from _dataset(job.dataset)
    yield from _memory(job)
    if job.training.min_steps > job.training.max_steps:
        yield "training.min_steps", f"must not exceed training.max_steps ({job.training.max_steps})"
    if job.sampling.every_steps is not None and not job.sampling.prompts:
        yield (
            "sampling.every_steps",
            "needs sampling.prompts: with nothing to draw the engine crashes in mid-run",
        )


def _optimizer(optimizer: Optimizer) -> Iterator[tuple[str, str]]:
    if optimizer.schedule == "constant" and optimizer.warmup_steps is not None:
        yield (
            "optimizer.warmup_steps",
            'needs schedule = "constant_with_warmup": the engine refuses it with constant',
        )
    if optimizer.schedule != "cosine_with_restarts" and optimizer.restarts is not None:
        yield "optimizer.restarts", f'belongs to schedule "cosine_with_restarts", not to "{optimizer.schedule}"'
    if optimizer.name == "adafactor" and optimizer.args.get("relative_step") is True:
        yield (
            "optimizer.args.relative_step",
            "would replace learning_rate and schedule by its own; leave it out",
        )
    if optimizer.name == "adafactor" and optimizer.args.get("warmup_init") is True:
        yield "optimizer.args.warmup_init", "would force relative_step and replace learning_rate; leave it out"


def _dataset(dataset: Dataset) -> Iterator[tuple[str, str]]:
    sides = dataset.resolution if isinstance(dataset.resolution, list) else [dataset.resolution]
    if dataset.buckets.enabled:
        for name, limit in (("min", dataset.buckets.min), ("max", dataset.buckets.max)):
            if limit % dataset.buckets.step:
                yield f"dataset.buckets.{name}", f"must be a multiple of dataset.buckets.step ({dataset.buckets.step})"
        if min(sides) < dataset.buckets.min:
            yield "dataset.buckets.min", f"must not exceed the resolution ({min(sides)})"
        if max(sides) > dataset.buckets.max:
            yield "dataset.buckets.max", f"must be at least the resolution ({max(sides)})"
    if any(side % 16 for side in sides):
        yield "dataset.resolution", "must be a multiple of 16: FLUX works on patches of 16 pixels"


def _memory(job: Job) -> Iterator[tuple[str, str]]:
    if job.network.train_t5xxl and not job.network.train_clip_l:
        yield "network.train_t5xxl", "needs network.train_clip_l = true: the engine trains T5 only together with CLIP-L"
    if job.network.train_t5xxl and job.memory.cache_text_encoders != "off":
        yield "network.train_t5xxl", 'needs memory.cache_text_encoders = "off": a cached encoder can\'t be trained'
    if job.memory.fp8_base and job.training.precision == "no":
        yield "memory.fp8_base", 'needs training.precision = "bf16" or "fp16"'
    if job.engine.kind == "embedded" and (job.network.train_clip_l or job.network.train_t5xxl):
        yield "engine.kind", "trains the transformer only; set network.train_clip_l and train_t5xxl to false"

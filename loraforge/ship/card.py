"""The model card: how to call the style, how it was made, what may be done with it."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from loraforge.config.job import Job
from loraforge.ship.metadata import Words

_BASES = {
    "flux-dev": ("FLUX.1-dev", "black-forest-labs/FLUX.1-dev", "FLUX.1 [dev] Non-Commercial License"),
    "flux-schnell": ("FLUX.1-schnell", "black-forest-labs/FLUX.1-schnell", "Apache-2.0"),
}
# What begins something in Markdown or HTML; titles and prompts are other people's words.
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>|#~])")


@dataclass(frozen=True, slots=True)
class Card:
    """What a card tells beyond the job.

    Attributes:
        file: name of the LoRA file.
        diffusers_file: name of the converted file, None without one.
        rank: of the shipped LoRA.
        old_rank: as it was trained.
        step: the checkpoint.
        strengths: strengths that were drawn to compare, in order; empty where none were.
        samples: (prompt, name of the picture).
        reasons: why this checkpoint, a sentence; empty where nothing was compared.
        error: of a reduction in rank.
        data_licence: of the training pictures.
        repository: "owner/name" on the hub.
    """

    file: str
    diffusers_file: str | None
    rank: int
    old_rank: int
    step: int
    strengths: Sequence[float] = ()
    samples: Sequence[tuple[str, str]] = ()
    reasons: str = ""
    error: float | None = None
    data_licence: str | None = None
    repository: str | None = None


def render_card(card: Card, words: Words, job: Job) -> str:
    """Return the card as Markdown with the hub's front matter."""
    name, base, licence = _BASES[job.model.family]
    environment = jinja2.Environment(  # noqa: S701  # Markdown, not HTML; `plain` and `cell` escape
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")), undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"plain": plain, "cell": lambda text: plain(str(text)), "json": _json}
    return environment.get_template("card.md.j2").render(
        front=_front(card, words, job, base),
        words=words,
        base_name=name,
        base_licence=licence,
        rank=card.rank,
        old_rank=card.old_rank,
        step=card.step,
        steps=job.training.steps,
        trigger=job.dataset.trigger,
        strength=_strength(card.strengths),
        file=card.file,
        diffusers_file=card.diffusers_file,
        repository=card.repository,
        samples=card.samples,
        settings=_settings(job),
        reasons=card.reasons,
        error=card.error,
        data_licence=card.data_licence,
    )


def plain(text: str) -> str:
    """Make foreign words mean themselves in Markdown, on one line."""
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)  # JSON is YAML


def _strength(strengths: Sequence[float]) -> str:
    if len(strengths) > 1:
        return f"drawn at {', '.join(f'{strength:g}' for strength in strengths)}; look at the samples to choose."
    return "begin with 0.7 to 1.0; it was drawn at 1.0 only."


def _front(card: Card, words: Words, job: Job, base: str) -> dict[str, object]:
    front: dict[str, object] = {
        "base_model": base,
        "library_name": "diffusers",
        "pipeline_tag": "text-to-image",
        "tags": [*dict.fromkeys(["flux", "lora", "text-to-image", *words.tags])],
    }
    if job.dataset.trigger:
        front["instance_prompt"] = job.dataset.trigger
    if words.license:
        front |= {"license": "other", "license_name": re.sub(r"[^a-z0-9.]+", "-", words.license.lower()).strip("-")}
    if card.samples:
        front["widget"] = [{"text": prompt, "output": {"url": picture}} for prompt, picture in card.samples]
    return front


def _settings(job: Job) -> list[tuple[str, str]]:
    rate, resolution = job.optimizer.learning_rate, job.dataset.resolution
    return [
        ("rank, alpha", f"{job.network.rank}, {job.network.alpha:g}"),
        ("layers", job.network.targets),
        ("optimizer", f"{job.optimizer.name}, {job.optimizer.schedule}"),
        ("learning rate", f"{rate:g}"),
        ("steps", str(job.training.steps)),
        ("batch", str(job.dataset.batch_size * job.training.gradient_accumulation)),
        ("resolution", str(resolution)),
        ("timesteps", job.training.timestep_sampling),
        ("seed", str(job.training.seed)),
    ]

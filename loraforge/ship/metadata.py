"""What a published LoRA's header says: everything that helps to use it, nothing about the maker's folders."""

import base64
import hashlib
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from PIL import Image

from loraforge.config.job import Job
from loraforge.dataset.images import PictureError, load_rgb
from loraforge.ship.lora_file import Lora, to_bf16

# Only these are kept: a list of what to drop would let through what a later engine adds.
_KEPT = re.compile(
    r"ss_(base_model_version|model_type|network_(module|dim|alpha|dropout|args)|sd_model_(name|hash)|new_sd_model_hash"
    r"|sd_scripts_commit_hash|learning_rate|unet_lr|text_encoder_lr|optimizer|lr_scheduler|lr_warmup_steps|steps"
    r"|max_train_steps|epoch|num_epochs|seed|num_train_images|mixed_precision|fp8_base|max_grad_norm|loss_type"
    r"|gradient_accumulation_steps|guidance_scale|timestep_sampling|sigmoid_scale|model_prediction_type"
    r"|discrete_flow_shift|apply_t5_attn_mask|training_started_at|training_finished_at|v2)"
    r"|modelspec\.(sai_model_spec|architecture|implementation|resolution|prediction_type|timestep_range|encoder_layer)"
)
_DATA = re.compile(r"ss_(datasets|dataset_dirs|tag_frequency|bucket_info|reg_dataset_dirs)")
_THUMBNAIL_SIDE, _THUMBNAIL_BYTES = 256, 60_000


@dataclass(frozen=True, slots=True)
class Words:
    """What people say about a LoRA; None says nothing."""

    title: str
    author: str | None = None
    license: str | None = None
    description: str | None = None
    tags: tuple[str, ...] = ()


def words_of(job: Job, *, author: str | None = None, license_: str | None = None, title: str | None = None) -> Words:
    """Return the words of `[output.metadata]`, with those of the command line over them."""
    said = job.output.metadata
    return Words(
        title or said.title or job.output.name, author or said.author, license_ or said.license, said.description,
        tuple(said.tags),
    )  # fmt: skip


def cleaned(
    lora: Lora, words: Words, *, trigger: str | None, rank: int, thumbnail: Path | None, keep_data: bool = False
) -> dict[str, str]:
    """Return the header of the file that is shipped.

    Args:
        lora: the checkpoint; its tensors are hashed as they will be stored.
        words: title, author and the like.
        trigger: the word that calls the style.
        rank: of the shipped file.
        thumbnail: a picture to show in model browsers; one that can't be read is left out.
        keep_data: keep folder names, captions' frequencies and buckets too.
    """
    before = lora.metadata
    kept = {key: value for key, value in before.items() if _KEPT.fullmatch(key) or (keep_data and _DATA.fullmatch(key))}
    if "ss_sd_model_name" in kept:  # some engines write the whole path
        kept["ss_sd_model_name"] = re.split(r"[/\\]", kept["ss_sd_model_name"])[-1]
    if str(rank) != before.get("ss_network_dim"):
        kept |= {"ss_network_dim": str(rank), "ss_network_alpha": str(float(rank))}
    kept.setdefault("ss_base_model_version", "flux1")
    kept.setdefault("modelspec.sai_model_spec", "1.0.1")
    kept.setdefault("modelspec.architecture", "flux-1-dev/lora")
    kept.setdefault("modelspec.implementation", "https://github.com/black-forest-labs/flux")
    spec = {
        "title": words.title,
        "author": words.author,
        "license": words.license,
        "description": words.description,
        "tags": ", ".join(words.tags) or None,
        "trigger_phrase": trigger,
        "usage_hint": f'begin the prompt with "{trigger}, "; strength 0.7 to 1.0' if trigger else None,
        "date": _date(before),
        "hash_sha256": "0x" + _digest(lora),
        "thumbnail": _thumbnail(thumbnail),
    }
    return kept | {f"modelspec.{name}": value for name, value in spec.items() if value}


def _date(before: Mapping[str, str]) -> str | None:
    said = before.get("modelspec.date") or before.get("ss_training_finished_at") or ""
    try:
        return datetime.fromtimestamp(float(said)).astimezone().isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return said or None


def _digest(lora: Lora) -> str:
    digest = hashlib.sha256()
    for _, values in sorted(lora.tensors.items()):
        digest.update(to_bf16(values).tobytes())
    return digest.hexdigest()


def _thumbnail(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        picture = load_rgb(path)
    except PictureError:
        return None
    picture.thumbnail((_THUMBNAIL_SIDE, _THUMBNAIL_SIDE), Image.Resampling.LANCZOS)
    picture.info.clear()
    for quality in (85, 70, 50, 30):
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=quality)
        if buffer.tell() <= _THUMBNAIL_BYTES:
            break
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")

"""Pictures and captions of the embedded engine: buckets, caches on disk, and the order of batches.

Runs in the embedded engine's process only.
"""

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from loraforge.config.dataset import Buckets
from loraforge.dataset.buckets import bucket_for
from loraforge.dataset.captions import read_caption
from loraforge.dataset.images import list_pictures, load_rgb, read_size
from loraforge.engine.embedded_flux import TextEncoders, encode
from loraforge.engine.header import fingerprint

log = logging.getLogger("embedded")


@dataclass
class Entry:
    """A picture of the set: its training size and its encoded tensors."""

    path: Path
    caption: str
    bucket: tuple[int, int]
    resized: tuple[int, int]
    tensors: dict[str, Tensor] = field(default_factory=dict)


def read_entries(table: dict[str, Any], subset: dict[str, Any]) -> list[Entry]:
    """List the pictures of dataset.toml with their captions and buckets."""
    buckets = Buckets().model_copy(
        update={
            "enabled": table.get("enable_bucket", False),
            "upscale": not table.get("bucket_no_upscale", False),
            "step": table.get("bucket_reso_steps", 64),
            "min": table.get("min_bucket_reso", 256),
            "max": table.get("max_bucket_reso", 1024),
        }
    )
    entries = []
    for picture in list_pictures(Path(subset["image_dir"])):
        place = bucket_for(read_size(picture.path), table["resolution"], buckets)
        caption = read_caption(picture.path.with_suffix(subset.get("caption_extension", ".caption"))).text
        entries.append(Entry(picture.path, caption, place.bucket, place.resized))
    return entries


def cropped(entry: Entry) -> Tensor:
    """Return a picture scaled and centre-cropped to its bucket, (1, 3, height, width) in -1 to 1."""
    image = load_rgb(entry.path)
    shrinks = image.width >= entry.resized[0] and image.height >= entry.resized[1]
    image = image.resize(entry.resized, Image.Resampling.BOX if shrinks else Image.Resampling.LANCZOS)
    left, top = ((size - side) // 2 for size, side in zip(entry.resized, entry.bucket, strict=True))
    image = image.crop((left, top, left + entry.bucket[0], top + entry.bucket[1]))
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] / 127.5 - 1


def through_cache(path: Path | None, compute: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return what `compute` returns, from `path` where it was kept before; None keeps nothing."""
    if path is not None and path.exists():
        with np.load(path) as arrays:
            return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    tensors = {name: tensor.float().cpu() for name, tensor in compute().items()}
    if path is not None:
        scratch = path.with_suffix(".part")
        with scratch.open("wb") as file:
            np.savez(file, **{name: tensor.numpy() for name, tensor in tensors.items()})
        scratch.replace(path)
    return tensors


def fill_caches(
    entries: list[Entry], autoencoder: AutoencoderKL, text: TextEncoders, args: SimpleNamespace, device: torch.device
) -> None:
    """Encode pictures and captions, each once; kept beside the picture, named after what they were encoded with."""
    log.info("caching latents with caching strategy.")
    log.info("caching latents...")
    autoencoder.to(device)
    key = fingerprint(Path(args.ae))[:8]
    for entry in tqdm(entries):
        path = entry.path.with_name(f"{entry.path.stem}_{entry.bucket[0]:04d}x{entry.bucket[1]:04d}_{key}_emb.npz")
        kept = path if args.cache_latents_to_disk else None
        entry.tensors |= through_cache(kept, partial(_latents, autoencoder, entry))
    autoencoder.to("cpu")
    log.info("move text encoders to gpu")
    text.to(device)
    log.info("caching Text Encoder outputs with caching strategy.")
    log.info("caching Text Encoder outputs...")
    key = f"{fingerprint(Path(args.clip_l))[:8]}{fingerprint(Path(args.t5xxl))[:8]}_{text.tokens}"
    for entry in tqdm(entries):
        kept = entry.path.with_name(f"{entry.path.stem}_{key}_emb.npz")
        kept = kept if args.cache_text_encoder_outputs_to_disk else None
        entry.tensors |= through_cache(kept, partial(text, entry.caption))


def _latents(autoencoder: AutoencoderKL, entry: Entry) -> dict[str, Tensor]:
    return {"latents": encode(autoencoder, cropped(entry))}


def batches_of(entries: list[Entry], repeats: int, size: int, order: random.Random | None = None) -> list[list[Entry]]:
    """Group an epoch into batches of one bucket each; `order` shuffles within and between them."""
    buckets: dict[tuple[int, int], list[Entry]] = {}
    for entry in entries:
        buckets.setdefault(entry.bucket, []).extend([entry] * repeats)
    if order is not None:
        for members in buckets.values():
            order.shuffle(members)
    batches = [members[at : at + size] for members in buckets.values() for at in range(0, len(members), size)]
    if order is not None:
        order.shuffle(batches)
    return batches


def read_prompts(path: str | None) -> list[SimpleNamespace]:
    """Read the prompt file: a prompt a line with the engine's flags."""
    lines = Path(path).read_text(encoding="utf-8").splitlines() if path else []
    prompts = []
    for line in lines:
        text, *flags = line.strip().split(" --")
        if text and not text.startswith("#"):
            given = {flag[0]: flag[1:].strip() for flag in flags}
            side = {name: int(given.get(name, 512)) // 16 * 16 for name in "wh"}
            seed, steps, guidance = int(given.get("d", 0)), int(given.get("s", 20)), float(given.get("g", 3.5))
            prompts.append(
                SimpleNamespace(text=text, width=side["w"], height=side["h"], seed=seed, steps=steps, guidance=guidance)
            )
    return prompts

"""The four weight files of FLUX.1: where they are looked for, and which of them were found."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import platformdirs

from loraforge.config.model import Model
from loraforge.errors import MachineError

Role = Literal["transformer", "clip_l", "t5xxl", "autoencoder"]
Family = Literal["flux-dev", "flux-schnell"]
ROLES: tuple[Role, ...] = ("transformer", "clip_l", "t5xxl", "autoencoder")
VARIABLE = "LORAFORGE_MODELS"

# The engine looks for a tokenizer under its hub name with the slash replaced.
TOKENIZERS = {
    "openai/clip-vit-large-patch14": "openai_clip-vit-large-patch14",
    "google/t5-v1_1-xxl": "google_t5-v1_1-xxl",
}
# Either file of a pair is a whole vocabulary; a folder without one is half a download.
_VOCABULARIES = {
    "openai_clip-vit-large-patch14": ("tokenizer.json", "merges.txt"),
    "google_t5-v1_1-xxl": ("tokenizer.json", "spiece.model"),
}
_TRANSFORMERS = {"flux-dev": "flux1-dev", "flux-schnell": "flux1-schnell"}
_NAMES: dict[Role, tuple[str, ...]] = {
    "transformer": ("{name}.safetensors", "{name}-fp8-e4m3fn.safetensors", "{name}-fp8*.safetensors"),
    "clip_l": ("clip_l.safetensors",),
    "t5xxl": ("t5xxl_fp16.safetensors", "t5xxl_bf16.safetensors", "t5xxl_fp8_e4m3fn.safetensors"),
    "autoencoder": ("ae.safetensors",),
}
# Where ComfyUI keeps them, so that its `models` folder serves as one of ours.
_SUBFOLDERS = ("", "diffusion_models", "unet", "text_encoders", "clip", "vae")
_HUB_REPOSITORIES = ("FLUX.1-dev", "FLUX.1-schnell")


@dataclass(frozen=True, slots=True)
class Weights:
    """The files that a run trains with.

    Attributes:
        transformer: the FLUX transformer in BFL layout.
        clip_l: the CLIP-L text encoder.
        t5xxl: the T5-XXL text encoder.
        autoencoder: the FLUX autoencoder.
        tokenizers: folder of `openai_clip-vit-large-patch14` and `google_t5-v1_1-xxl`; None leaves them to the hub.
    """

    transformer: Path
    clip_l: Path
    t5xxl: Path
    autoencoder: Path
    tokenizers: Path | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What a search brought.

    Attributes:
        paths: one entry a role; None where nothing was found. A configured path is kept even where no file is there.
        tokenizers: the folder of both tokenizers, or None.
        looked_in: the folders that were searched, in order.
    """

    paths: Mapping[Role, Path | None]
    tokenizers: Path | None
    looked_in: tuple[Path, ...]

    @property
    def missing(self) -> list[Role]:
        """The roles for which there is no path at all."""
        return [role for role in ROLES if self.paths[role] is None]

    def weights(self) -> Weights:
        """Return the four paths; that they hold what they should is for `inspection` to say.

        Raises:
            MachineError: some were neither configured nor found; all of them are named.
        """
        there = {role: path for role, path in self.paths.items() if path is not None}
        if len(there) < len(ROLES):
            looked = "\n".join(f"  {folder}" for folder in self.looked_in)
            raise MachineError(
                f"no weight file for {', '.join(f'model.{role}' for role in self.missing)}; looked in\n{looked}",
                f"loraforge models --download, or set the paths under [model], or point ${VARIABLE} at their folder",
            )
        return Weights(**there, tokenizers=self.tokenizers)


def find_weights(model: Model, environ: Mapping[str, str] = os.environ, search: Sequence[Path] = ()) -> Found:
    """Take each file from the settings, else from the first folder that holds it under a well-known name.

    Args:
        model: the settings; a path given there is never passed over for another.
        environ: the environment, for $LORAFORGE_MODELS and the place of the hub's cache.
        search: folders to look into before the usual ones.
    """
    folders = (*search, *model_folders(environ))
    paths = {role: _absolute(getattr(model, role)) or _first(role, model.family, folders) for role in ROLES}
    tokenizers = _absolute(model.tokenizers)
    if tokenizers is None:
        homes = (folder / "tokenizers" for folder in folders)
        tokenizers = next((home for home in homes if has_tokenizers(home)), None)
    return Found(paths, tokenizers, folders)


def model_folders(environ: Mapping[str, str] = os.environ) -> tuple[Path, ...]:
    """Return the folders that may hold weights: $LORAFORGE_MODELS, the user's own, snapshots of the hub's cache."""
    return (*_named(environ), _users(), *_snapshots(hub_cache(environ)))


def download_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder downloads go to: the first of $LORAFORGE_MODELS, else the user's own."""
    return next(_named(environ), _users())


def hub_home(environ: Mapping[str, str]) -> Path:
    """Return huggingface_hub's own folder, found as it finds it."""
    cache = Path(environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return Path(environ.get("HF_HOME") or cache / "huggingface").expanduser()


def hub_cache(environ: Mapping[str, str]) -> Path:
    """Return the folder in which huggingface_hub caches repositories."""
    named = environ.get("HF_HUB_CACHE") or environ.get("HUGGINGFACE_HUB_CACHE")
    return Path(named).expanduser() if named else hub_home(environ) / "hub"


def has_tokenizers(folder: Path) -> bool:
    """Tell whether a folder holds both tokenizers whole, under the names the engine looks for."""
    return all(
        any((folder / name / vocabulary).is_file() for vocabulary in vocabularies)
        for name, vocabularies in _VOCABULARIES.items()
    )


def _named(environ: Mapping[str, str]) -> Iterator[Path]:
    for folder in environ.get(VARIABLE, "").split(os.pathsep):
        if folder:
            yield Path(folder).expanduser().absolute()


def _users() -> Path:
    return platformdirs.user_data_path("loraforge", appauthor=False) / "models"


def _snapshots(cache: Path) -> Iterator[Path]:
    owners = [f"models--black-forest-labs--{name}" for name in _HUB_REPOSITORIES]
    for repository in [*owners, "models--comfyanonymous--flux_text_encoders"]:
        yield from sorted(
            (cache / repository / "snapshots").glob("*"), key=lambda path: path.stat().st_mtime, reverse=True
        )


def _first(role: Role, family: Family, folders: Sequence[Path]) -> Path | None:
    patterns = [pattern.format(name=_TRANSFORMERS[family]) for pattern in _NAMES[role]]
    # Pattern before folder would prefer a full file anywhere to a small one that was put first on purpose.
    for folder in folders:
        for pattern in patterns:
            for subfolder in _SUBFOLDERS:
                for path in sorted((folder / subfolder).glob(pattern)):
                    return path
    return None


def _absolute(path: Path | None) -> Path | None:
    if path is None:
        return None
    try:
        return path.expanduser().absolute()
    except RuntimeError:  # "~name" of a user who does not exist is an ordinary, missing path
        return path.absolute()

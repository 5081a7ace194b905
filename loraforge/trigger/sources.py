"""Where the two tokenizers are: a folder the user named, the model folders, the hub's cache."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from loraforge.engine.weights import TOKENIZERS, hub_cache, model_folders
from loraforge.trigger.vocabulary import Tokenizers, Vocabulary, load_clip, load_t5

_CLIP = "openai/clip-vit-large-patch14"
_T5 = "google/t5-v1_1-xxl"
HOW_TO_GET = '`loraforge trigger WORD --download` fetches both (3 MB); it needs pip install "loraforge[engine]"'


def find_tokenizers(folders: Sequence[Path] = (), environ: Mapping[str, str] = os.environ) -> Tokenizers:
    """Read each tokenizer from the first place that holds it; never raises, never downloads, never imports torch.

    Args:
        folders: places to look first, each holding the engine's `openai_clip-vit-large-patch14` and
            `google_t5-v1_1-xxl` (as [model] tokenizers does).
        environ: the environment, for the model folders and the hub's cache.
    """
    missing: list[str] = []
    clip = _first("CLIP-L's tokenizer", load_clip, _places(_CLIP, folders, environ), missing)
    t5 = _first("T5's tokenizer", load_t5, _places(_T5, folders, environ), missing)
    return Tokenizers(clip, t5, tuple(missing))


def _places(repository: str, folders: Sequence[Path], environ: Mapping[str, str]) -> Iterator[Path]:
    name = TOKENIZERS[repository]
    for folder in folders:
        yield folder / name
    for folder in model_folders(environ):
        yield folder / "tokenizers" / name
        # FLUX's own repository in diffusers layout brings them too.
        yield folder / ("tokenizer" if repository == _CLIP else "tokenizer_2")
    snapshots = hub_cache(environ) / f"models--{repository.replace('/', '--')}" / "snapshots"
    yield from sorted(snapshots.glob("*"))


def _first(
    what: str, load: Callable[[Path], Vocabulary], places: Iterator[Path], missing: list[str]
) -> Vocabulary | None:
    faults = []
    for place in _readable(places):
        try:
            return load(place)
        except ImportError as error:
            missing.append(f"{what} can't be read: the Python package {error.name} is not installed")
            return None
        except FileNotFoundError:
            continue  # half a download; another place may hold the whole
        except (OSError, ValueError) as error:
            faults.append(f"{what} in {place} can't be read: {error}")
    missing.append(faults[0] if faults else f"{what} is not on this machine")
    return None


def _readable(places: Iterator[Path]) -> Iterator[Path]:
    """Pass on the folders among the places; a cache of another user's is as good as none."""
    try:
        for place in places:
            if place.is_dir():
                yield place
    except OSError:
        return

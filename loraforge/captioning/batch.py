"""A folder of pictures captioned in batches: nothing of a person's is overwritten, and one bad picture stops nobody."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image

from loraforge.captioning.captioner import Captioner
from loraforge.captioning.sparse import sparse, without_style
from loraforge.dataset.caption_history import CaptionError, CaptionHistory
from loraforge.dataset.captions import caption_path, read_caption, with_trigger
from loraforge.dataset.images import PictureError, load_small, some_pictures
from loraforge.errors import LoraforgeError, MachineError

Density = Literal["sparse", "dense"]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done in a folder.

    Attributes:
        todo: pictures that get a caption.
        done: pictures captioned earlier with the same settings.
        kept: pictures whose caption a person wrote or changed.
        shared: pictures that share their stem, and so their caption file, with one before them.
    """

    todo: tuple[Path, ...]
    done: tuple[Path, ...]
    kept: tuple[Path, ...]
    shared: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Settings:
    """What decides a caption.

    Attributes:
        model: name or folder of the captioner.
        trigger: the word put first.
        density: "sparse" keeps subject and setting, "dense" the sentence without style words.
        max_new_tokens: the longest text asked of the model.
        prompt: the request to a chat model.
    """

    model: str
    trigger: str
    density: Density
    max_new_tokens: int
    prompt: str = ""

    def made_with(self, picture: Path) -> dict[str, object]:
        """Return what the history keeps: equal settings on a picture of equal size need no second run."""
        return {
            "model": self.model, "trigger": self.trigger, "density": self.density,
            "max_new_tokens": self.max_new_tokens, "prompt": self.prompt, "bytes": picture.stat().st_size,
        }  # fmt: skip

    def caption(self, description: str) -> str:
        """Make the caption of what the model said."""
        trimmed = sparse(description) if self.density == "sparse" else without_style(description)
        return with_trigger(trimmed, self.trigger)


@dataclass(frozen=True, slots=True)
class Captioned:
    """One picture's outcome: its caption, or why there is none."""

    picture: Path
    caption: str = ""
    fault: str = ""


def plan_folder(folder: Path, settings: Settings, history: CaptionHistory, *, overwrite: bool = False) -> Plan:
    """Decide picture by picture, by the captions that are there and the history.

    Raises:
        DatasetError: no folder, or no pictures in it.
    """
    todo, done, kept, shared = [], [], [], []
    seen: set[Path] = set()
    for picture in (found.path for found in some_pictures(folder)):
        caption = caption_path(picture)
        if caption in seen:
            shared.append(picture)
            continue
        seen.add(caption)
        record = history.ours(caption) if caption.is_file() else None
        if record is not None and dict(record.made_with) == _made_with(settings, picture):
            done.append(picture)
        elif record is not None or overwrite or {"missing", "empty"} & set(read_caption(caption).problems):
            todo.append(picture)
        else:
            kept.append(picture)
    return Plan(tuple(todo), tuple(done), tuple(kept), tuple(shared))


def _made_with(settings: Settings, picture: Path) -> dict[str, object] | None:
    try:
        return settings.made_with(picture)
    except OSError:  # it vanished; captioning will say so
        return None


def caption_pictures(
    pictures: Sequence[Path],
    captioner: Captioner,
    settings: Settings,
    history: CaptionHistory,
    *,
    batch_size: int = 16,
    workers: int = 8,
) -> Iterator[Captioned]:
    """Caption pictures and write each text as soon as it is known; yields one outcome a picture, in order.

    Pictures of the next batch are decoded while the model looks at this one.

    Raises:
        MachineError: the machine fails, not a picture.
        DatasetError: captions can't be written at all.
    """
    batches = [pictures[start : start + batch_size] for start in range(0, len(pictures), batch_size)]
    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:

        def submit(batch: Sequence[Path]) -> list[Callable[[], Image.Image]]:
            return [pool.submit(load_small, path, captioner.longest_side).result for path in batch]

        following = submit(batches[0]) if batches else []
        for number, batch in enumerate(batches):
            current = following
            following = submit(batches[number + 1]) if number + 1 < len(batches) else []
            yield from _caption_batch(list(zip(batch, current, strict=True)), captioner, settings, history)


def _caption_batch(
    batch: Sequence[tuple[Path, Callable[[], Image.Image]]],
    captioner: Captioner,
    settings: Settings,
    history: CaptionHistory,
) -> Iterator[Captioned]:
    loaded: dict[Path, Image.Image] = {}
    faults: dict[Path, str] = {}
    for path, picture in batch:
        try:
            loaded[path] = picture()
        except PictureError as fault:
            faults[path] = fault.detail
    texts = _described(loaded, captioner, faults)
    for path, _ in batch:
        if path in texts:
            caption = settings.caption(texts[path])
            try:
                made_with = settings.made_with(path)
                history.write(caption_path(path), f"{caption}\n".encode(), "caption", made_with)
            except CaptionError as fault:
                faults[path] = fault.message
            except OSError:
                faults[path] = "the file is no longer there"
            else:
                yield Captioned(path, caption)
                continue
        yield Captioned(path, fault=faults[path])


def _described(loaded: dict[Path, Image.Image], captioner: Captioner, faults: dict[Path, str]) -> dict[Path, str]:
    """Describe a batch at once; if that fails, each picture alone, so that only the culprit goes without."""
    try:
        return dict(zip(loaded, captioner.describe(list(loaded.values())), strict=True))
    except MachineError:
        raise
    except Exception:  # noqa: BLE001  # a processor may raise anything over an odd picture
        texts = {}
    for path, picture in loaded.items():
        try:
            (texts[path],) = captioner.describe([picture])
        except LoraforgeError:
            raise
        except Exception as error:  # noqa: BLE001  # as above
            faults[path] = f"{captioner.name} fails on it: {str(error) or type(error).__name__}"
    return texts

"""One self-contained page with every picture and its caption."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from loraforge.dataset.captions import caption_path, read_caption
from loraforge.dataset.images import PictureError, list_pictures, load_small
from loraforge.findings import printable
from loraforge.report.pages import as_data, environment, write_page

_SIDE = 320
_PROBLEMS = {
    "missing": "no caption",
    "unreadable": "the caption can't be read",
    "not-followed": "a link out of the folder, which is not followed",
    "empty": "the caption is empty",
    "first-line-blank": "the first line is blank, and the engine reads no other",
    "several-lines": "several lines; the engine reads the first",
    "not-utf8": "not UTF-8",
    "bom": "begins with a byte-order mark",
    "control-characters": "holds control characters",
    "too-large": "far too long for a caption",
}
_SHOWN_CHARACTERS = 2000


@dataclass(frozen=True, slots=True)
class Card:
    """A picture as the page shows it."""

    name: str
    thumbnail: str
    fault: str
    trigger: str
    text: str
    words: int
    problems: tuple[str, ...]


def write_review(folder: Path, page: Path, trigger: str | None = None, workers: int = 4) -> int:
    """Write the page and return the number of pictures on it; captions and names are escaped, nothing is loaded.

    Args:
        folder: the dataset.
        page: the .html file.
        trigger: the word to set off at the head of each caption.
        workers: threads that make thumbnails.

    Raises:
        DatasetError: no such folder.
        ConfigError: the page can't be written.
    """
    pictures = [picture.path for picture in list_pictures(folder)]
    with ThreadPoolExecutor(workers) as pool:
        cards = list(pool.map(lambda path: _card(path, trigger), pictures))
    html = (
        environment()
        .get_template("caption_review.html.j2")
        .render(
            folder=printable(folder.name or str(folder)),
            cards=cards,
            count=len(cards),
            captioned=sum(bool(card.trigger or card.text) for card in cards),
        )
    )
    write_page(page, html)
    return len(cards)


def _card(path: Path, trigger: str | None) -> Card:
    caption = read_caption(caption_path(path))
    fault = thumbnail = ""
    try:
        thumbnail = as_data(load_small(path, _SIDE))
    except PictureError as error:
        fault = error.detail
    text, head = caption.text, ""
    if trigger and (text == trigger or text.startswith(f"{trigger},")):
        head, text = trigger, text[len(trigger) :]
    words = len(text.replace(",", " ").split())
    shown = text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]} …"
    problems = tuple(_problems(caption.problems, absent=bool(trigger) and not head and bool(text)))
    return Card(printable(path.name), thumbnail, fault, head, shown, words, problems)


def _problems(problems: tuple[str, ...], *, absent: bool) -> Iterator[str]:
    for problem in problems:
        yield _PROBLEMS[problem]
    if absent:
        yield "the trigger does not stand first"

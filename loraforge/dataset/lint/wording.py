"""Wording of captions: what they say too much of, and what takes the style away from the trigger."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator

from loraforge.captioning.sparse import style_words_in
from loraforge.dataset.captions import trigger_pattern
from loraforge.dataset.lint.base import Hit, Scene, Subject, joined, rule
from loraforge.findings import printable
from loraforge.trigger import Tokenizers, Vocabulary

_SPARSE_WORDS = 5
_HEADED = 6
_CLIP_TOKENS = 75  # CLIP reads 77, two of which mark beginning and end
_TOKENS_A_WORD = 1.35  # English prose, either tokenizer; only used where no tokenizer is at hand
_STOP_WORDS = frozenset({
    "a", "an", "and", "are", "as", "at", "behind", "beside", "by", "for", "from", "her", "his", "in", "into", "is",
    "it", "its", "near", "next", "of", "on", "onto", "over", "the", "their", "there", "this", "to", "under", "up",
    "with",
})  # fmt: skip


def _captioned(scene: Scene) -> list[tuple[Subject, str]]:
    """Return pictures with a caption and what it says beside the trigger."""
    pairs = [(subject, subject.caption.text) for subject in scene.subjects if subject.caption.text]
    trigger = scene.options.trigger
    if trigger is None:
        # Nobody named it, but a word that heads every caption with a comma behind it is one.
        heads = {text.partition(",")[0].strip() for _, text in pairs}
        trigger = heads.pop() if len(heads) == 1 and len(pairs) >= _HEADED else None
    pattern = trigger_pattern(trigger) if trigger else None
    return [(subject, pattern.sub(" ", text) if pattern else text) for subject, text in pairs]


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_][\w'’-]*", text.lower())


@rule(
    "caption-long",
    "warning",
    reason="Sparse captions leave the style to the trigger; a long one explains the picture without it.",
    fix="`loraforge caption DIR --trigger WORD --trim` shortens them; if meant so, `loraforge lint DIR --dense`.",
)
def long(scene: Scene) -> Iterator[Hit]:
    """Over five words beside the trigger."""
    counts = [(subject, len(_words(text))) for subject, text in _captioned(scene)] if scene.options.sparse else []
    over = [(subject.name, count) for subject, count in counts if count > _SPARSE_WORDS]
    if over:
        longest = max(count for _, count in over)
        message = f"{len(over)} of {len(counts)} captions have more than {_SPARSE_WORDS} words, up to {longest}"
        yield Hit(tuple(name for name, _ in over), message)


@rule(
    "caption-names-style",
    "warning",
    reason="A caption that names the style gives it to that word; the trigger then carries less of it.",
    fix="Take the word out; `loraforge caption DIR --remove WORD` does so everywhere.",
)
def names_style(scene: Scene) -> Iterator[Hit]:
    """Words such as style, painting or illustration."""
    for subject, text in _captioned(scene):
        words = style_words_in(text[:2000])
        if words:
            yield Hit((subject.name,), f"the caption names the style: {joined(printable(word) for word in words)}")


@rule(
    "captions-identical",
    "warning",
    reason="One caption for different pictures tells the model nothing about what differs.",
    fix="Name what each of them shows.",
)
def identical(scene: Scene) -> Iterator[Hit]:
    """The same words for several pictures."""
    captioned = _captioned(scene)
    same: dict[str, list[str]] = defaultdict(list)
    for subject, text in captioned:
        same[" ".join(_words(text))].append(subject.name)
    for words, names in same.items():
        if len(names) > 1:
            shared = f"“{words[:60]}”" if words else "the trigger alone"
            # Two portraits of a man are no fault yet.
            few = len(names) < max(3, len(captioned) / 6)
            message = f"{len(names)} pictures are captioned {shared}"
            yield Hit(tuple(names), message, severity="info" if few else None)


@rule(
    "caption-common-word",
    "warning",
    reason="A content word that stands in nearly every caption fuses with the trigger: the LoRA will draw it unasked.",
    fix="Add pictures without it, or drop the word where it does not matter.",
)
def common_word(scene: Scene) -> Iterator[Hit]:
    """One word in four of five captions."""
    captioned = _captioned(scene)
    counts: Counter[str] = Counter()
    for _, text in captioned:
        counts.update(set(_words(text)) - _STOP_WORDS)
    for word, count in sorted(counts.items()):
        if len(captioned) >= 6 and count >= 0.8 * len(captioned):
            names = tuple(subject.name for subject, text in captioned if word in _words(text))
            yield Hit(names, f"“{word[:60]}” stands in {count} of {len(captioned)} captions")


@rule(
    "caption-over-limit",
    "warning",
    reason="CLIP reads 75 tokens of a caption and T5 as many as the run allows; what follows is never seen.",
    fix="Shorten it; the trigger and the subject belong in front.",
)
def over_limit(scene: Scene) -> Iterator[Hit]:
    """More tokens than the encoders take."""
    found = scene.options.tokenizers or Tokenizers()
    most = scene.options.t5_tokens - 1  # one marks the end
    for subject in scene.subjects:
        text = subject.caption.text
        t5, about_t5 = _tokens(text, found.t5)
        clip, about_clip = _tokens(text, found.clip)
        if t5 > most:
            yield Hit((subject.name,), f"the caption has {about_t5}{t5} T5 tokens; {most} are read")
        elif clip > _CLIP_TOKENS:
            message = f"the caption has {about_clip}{clip} CLIP tokens; {_CLIP_TOKENS} are read, only T5 sees the rest"
            yield Hit((subject.name,), message, severity="info")


def _tokens(text: str, vocabulary: Vocabulary | None) -> tuple[int, str]:
    """Return how many tokens a caption has, and "about " where that is only estimated."""
    if vocabulary is None:
        return round(len(text.split()) * _TOKENS_A_WORD), "about "
    return len(vocabulary.pieces(text)), ""

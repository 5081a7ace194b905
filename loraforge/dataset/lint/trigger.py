"""The trigger word itself, as `loraforge trigger WORD` judges it."""

from collections.abc import Callable, Iterator

from loraforge.dataset.lint.base import Hit, Scene, rule
from loraforge.findings import Severity
from loraforge.trigger import trigger_findings

_FREE = "`loraforge trigger WORD` suggests words that are free."
_CODES: dict[str, tuple[Severity, str, str, str]] = {
    "trigger-invalid": (
        "error",
        "No single word.",
        "The engine splits captions at commas, and prompts are typed by hand.",
        "Join its parts with _ or leave them out.",
    ),
    "trigger-style-word": (
        "warning",
        "It names styles in general.",
        "The base model has seen millions of pictures under this word; yours would have to overrule them all.",
        _FREE,
    ),
    "trigger-known-word": (
        "warning",
        "It already means something.",
        "A word with a meaning resists, and fires where nobody calls it.",
        _FREE,
    ),
    "trigger-contains-style-word": (
        "warning",
        "A piece of it names a style.",
        "The text encoders read words in pieces; a piece such as style or art brings every style along.",
        _FREE,
    ),
    "trigger-contains-word": (
        "info",
        "A piece of it is a word.",
        "The text encoders read words in pieces, and each piece brings its own meaning along.",
        _FREE,
    ),
    "trigger-one-token": (
        "info",
        "One rare token.",
        "A token of its own was earned by meaning something somewhere.",
        "Draw a picture of it with the base model: it should show nothing in particular.",
    ),
    "trigger-unknown-characters": (
        "warning",
        "Characters that no token stands for.",
        "Unknown characters all read the same, so the trigger is not told from others.",
        "Use the letters a to z.",
    ),
    "trigger-case": (
        "warning",
        "Capital letters.",
        "CLIP-L reads lower case only and T5 both, so another spelling calls half of it.",
        "Use lower case.",
    ),
    "trigger-long": (
        "warning",
        "Many pieces.",
        "What is learned is spread over all pieces, and they take attention from the rest of the caption.",
        _FREE,
    ),
    "trigger-unchecked": (
        "info",
        "A tokenizer is missing.",
        "Without the tokenizers nobody knows which pieces the text encoders read.",
        "`loraforge trigger WORD --download` fetches both.",
    ),
}


def _looking_for(code: str) -> Callable[[Scene], Iterator[Hit]]:
    def look(scene: Scene) -> Iterator[Hit]:
        trigger = scene.options.trigger
        # How captions spell it is the caption rules' to say.
        for finding in trigger_findings(trigger, (), scene.options.tokenizers) if trigger else ():
            if finding.code == code:
                yield Hit((finding.where,), finding.message, finding.fix)

    return look


for _code, (_severity, _what, _reason, _fix) in _CODES.items():
    _look = _looking_for(_code)
    _look.__doc__ = _what
    rule(_code, _severity, reason=_reason, fix=_fix)(_look)

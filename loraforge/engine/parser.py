"""One line of the engine's output -> typed events. Pure: no clock, no files, no process."""

import math
import re
from collections.abc import Callable
from typing import Final

from loraforge.engine.events import (
    CheckpointSaved,
    Event,
    FactKey,
    Facts,
    Line,
    ModelSaved,
    NoData,
    Phase,
    PhaseStarted,
    Problem,
    Progress,
    SamplesStarted,
    StateSaved,
    Step,
)
from loraforge.engine.lines import RawLine, Stream

_Action = Callable[[str], list[Event]]
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
# The engine's handler writes "2026-01-31 23:59:59", a default one "[01/31/26 23:59:59]"; blank where nothing changed.
_RECORD = re.compile(r"[\d/:\[\] -]{10,30} (DEBUG|INFO|WARNING|ERROR|CRITICAL) +")
_SOURCE = re.compile(r"[\w<>.-]+:\d+")
_CONTINUATION = " " * 20
_BAR = re.compile(r"\s*(?:([^%|]*?):)?\s*\d{1,3}%\|[^|]*\| *(\d+)/(\d+) \[([^\]]*)\]")
_ENDLESS = re.compile(r"[^\[]*\b\d+it \[[^\]]*\]\s*")  # a bar that knows no end, as over an empty list
_RATE = re.compile(r"([\d.]+)(s/it|it/s)")
_LOSS = re.compile(r"\bavr_loss=([^,\s]+)")
_LEARNING_RATE = re.compile(r"\blr=([^,\s]+)")
_FACT = re.compile(
    r"  (num train images \* repeats|num batches per epoch|num epochs|total optimization steps) / .*: (\d+)$"
)
_FACT_KEYS: dict[str, FactKey] = {
    "num train images * repeats": "examples",
    "num batches per epoch": "batches-per-epoch",
    "num epochs": "epochs",
    "total optimization steps": "total-steps",
}
_STEP_NAME = re.compile(r"-step(\d{8})\.\w+$")
_STATE_STEP = re.compile(r"at step (\d+)")
_ARGUMENT_ERROR = re.compile(r"(?:\S+\.py: )?error: ")

# What a line begins with, and the phase that it opens.
_PHASES: dict[str, Phase] = {
    "Loading settings from": "loading",
    "Loading dataset config from": "loading",
    "prepare images": "loading",
    "preparing accelerator": "loading",
    "Building Flux model": "loading",
    "import network module": "loading",
    "caching latents": "caching-latents",
    "move text encoders to gpu": "caching-text",
    "caching Text Encoder outputs": "caching-text",
    "cache Text Encoder outputs": "caching-text",
    "text_encoder is not needed for training": "training",
    "unet dtype": "training",
}


# Said in every sound run of ours: nothing the user could act on.
_HARMLESS = (
    "no regularization images",
    "min_bucket_reso and max_bucket_reso are ignored",
    "constant_with_warmup will be good",
    "Failed to load CPU gemm",
    "A matching Triton is not available",
    "Failed to get git commit hash",  # a copy of the engine without its history
)


class Parser:
    """Follows one run of the engine.

    Args:
        first_step: steps already done when a run is resumed. The bar counts only what remains; once the header
            has told the total, it is the difference to the bar's total that counts.
    """

    def __init__(self, first_step: int = 0) -> None:
        self._first_step = first_step
        self._total_steps: int | None = None
        self._phase: Phase = "starting"
        self._step = first_step
        self._loss_text: str | None = None
        self._loss_told = False
        self._nan_told = False
        self._saving: CheckpointSaved | StateSaved | None = None
        # (step, whether its loss is known) from which on a tick proves that the save is over: the two streams may
        # overtake each other, so the first tick after the announcement can be older than it.
        self._saved_at = (0, False)
        self._traceback: dict[Stream, list[str]] = {}
        self._actions: Final[dict[str, _Action]] = {
            **{f"  {name} / ": self._fact for name in _FACT_KEYS},
            "saving checkpoint: ": self._save_checkpoint,
            "saving state at step ": self._save_state,
            "saving state at epoch": self._save_state,
            "saving last state": self._save_state,
            "removing old checkpoint": lambda _: self._saved(),
            "removing old state": lambda _: self._saved(),
            "generating sample images at step": self._sample,
            "model saved.": lambda _: [*self._saved(), ModelSaved(), *self._enter("finishing")],
            "No data found.": lambda _: [NoData()],
        }
        self._marks = re.compile("|".join(re.escape(mark) for mark in (*_PHASES, *self._actions)))

    def feed(self, line: RawLine) -> list[Event]:
        """Return what one piece of output says; an empty list for blank ones and repeated ticks."""
        text = _ANSI.sub("", line.text) if "\x1b" in line.text else line.text
        events: list[Event] = []
        if "%|" in text and (bar := _BAR.match(text)):
            events = self._training_tick(bar) if bar[1] == "steps" else self._progress(bar)
            text = text[bar.end() :]  # a bar leaves the cursor behind its end, where the next record is written
        if text and not text.isspace() and not _ENDLESS.fullmatch(text):
            events += self._text(text.rstrip(), line.stream)
        return events

    def _progress(self, bar: re.Match[str]) -> list[Event]:
        return [Progress(self._phase, int(bar[2]), int(bar[3]))]

    def _training_tick(self, bar: re.Match[str]) -> list[Event]:
        done, remaining, status = int(bar[2]), int(bar[3]), bar[4]
        before = self._first_step if self._total_steps is None else max(self._total_steps - remaining, 0)
        step, loss = before + done, _LOSS.search(status)
        loss_text = loss[1] if loss else None
        if done == 0:
            return [] if self._saving else self._enter("training")
        if step == self._step and self._loss_told and loss_text == self._loss_text:
            return []  # the bar is drawn again as it is closed
        # The bar advances with the loss of the step before, and is drawn again as soon as the new one is known.
        fresh = loss_text is not None and (step == self._step or loss_text != self._loss_text)
        self._step, self._loss_text, self._loss_told = step, loss_text, fresh
        average = _number(loss_text) if fresh else None
        rate, learning_rate = _RATE.search(status), _LEARNING_RATE.search(status)
        events = self._saved() if self._saving and (step, fresh) >= self._saved_at else []
        if not self._saving and self._phase != "finishing":  # the bar is drawn once more as it is closed
            events += self._enter("training")
        events.append(
            Step(
                step,
                before + remaining,
                _seconds(rate) if rate else None,
                average,
                _number(learning_rate[1]) if learning_rate else None,
            )
        )
        if average is not None and not math.isfinite(average) and not self._nan_told:
            self._nan_told = True
            events.append(Problem("error", f"the loss is {average} since step {step}: the run has diverged"))
        return events

    def _text(self, text: str, stream: Stream) -> list[Event]:
        if stream in self._traceback or text == "Traceback (most recent call last):":
            return self._traceback_line(text, stream)
        record = _RECORD.match(text)
        message = _without_source(text[record.end() :]) if record else text
        level = record[1] if record else "INFO"
        if not message:
            return []
        english = _english(message)
        shown = english if level == "INFO" else f"{level} {english}"
        events: list[Event] = [Line(shown.strip() if shown.startswith(_CONTINUATION) else shown, stream)]
        if level == "WARNING" and not english.startswith(_HARMLESS):
            events.append(Problem("warning", english))
        elif level in {"ERROR", "CRITICAL"} or _ARGUMENT_ERROR.match(message):
            events.append(Problem("error", english))
        if mark := self._marks.match(message):
            phase = _PHASES.get(mark[0])
            events += self._enter(phase) if phase else self._actions[mark[0]](message)
        return events

    def _traceback_line(self, text: str, stream: Stream) -> list[Event]:
        lines = self._traceback.setdefault(stream, [])
        lines.append(text)
        events: list[Event] = [Line(text, stream)]
        if len(lines) > 1 and not text.startswith(" "):
            events.append(Problem("traceback", "\n".join(self._traceback.pop(stream))))
        return events

    def _enter(self, phase: Phase) -> list[Event]:
        if phase == self._phase:
            return []
        self._phase = phase
        return [PhaseStarted(phase)]

    def _fact(self, message: str) -> list[Event]:
        if not (fact := _FACT.match(message)):
            return []
        found = Facts(_FACT_KEYS[fact[1]], int(fact[2]))
        if found.key != "total-steps":
            return [found]
        self._total_steps = found.value
        # The header's last line. A full SHA-256 over the base model follows, in silence.
        return [found, *self._enter("hashing")]

    def _save_checkpoint(self, message: str) -> list[Event]:
        path = message.removeprefix("saving checkpoint: ")
        named = _STEP_NAME.search(path)
        return self._save(CheckpointSaved(path), int(named[1]) if named else None)

    def _save_state(self, message: str) -> list[Event]:
        named = _STATE_STEP.search(message)
        step = int(named[1]) if named else None
        return self._save(StateSaved(self._step if step is None else step), step)

    def _save(self, what: CheckpointSaved | StateSaved, step: int | None) -> list[Event]:
        events = self._saved()  # a save that follows at once proves the one before
        # A last save has no ticks after it, and one of an epoch may wait one step longer for its proof.
        self._saving, self._saved_at = what, (self._step + 2, False) if step is None else (step, True)
        self._phase = "saving"
        return [*events, PhaseStarted("saving")]

    def _saved(self) -> list[Event]:
        saved, self._saving = self._saving, None
        return [saved] if saved else []

    def _sample(self, message: str) -> list[Event]:
        number = message.rpartition(":")[2].strip()
        return [SamplesStarted(int(number) if number.isdecimal() else self._step), *self._enter("sampling")]


def _english(message: str) -> str:
    """Drop the Japanese half; a " / " before plain text belongs to a path."""
    half, _, other = message.partition(" / ")
    return message.removesuffix(" /") if other.isascii() else half


def _without_source(message: str) -> str:
    head, _, last = message.rstrip().rpartition(" ")
    return head.rstrip() if _SOURCE.fullmatch(last) else message.rstrip()


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _seconds(rate: re.Match[str]) -> float | None:
    value = _number(rate[1])
    if not value:
        return None
    return value if rate[2] == "s/it" else 1.0 / value

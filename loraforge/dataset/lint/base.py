"""What rules are made of: the scene they look at, what they say, and the registry that documents them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from loraforge.config.dataset import Buckets
from loraforge.dataset.buckets import Placement
from loraforge.dataset.captions import Caption
from loraforge.dataset.features import Features
from loraforge.dataset.images import PictureError
from loraforge.findings import Finding, Severity, printable
from loraforge.trigger import Tokenizers


@dataclass(frozen=True, slots=True)
class LintOptions:
    """What the pictures are meant for.

    Attributes:
        trigger: the word that calls the style; None leaves trigger rules out.
        resolution: training size, one side of a square or [width, height].
        buckets: bucket settings.
        batch_size: pictures a step.
        sparse: captions are meant to be two to five words beside the trigger.
        text: look for text where rapidocr is installed.
        embed: a transformers model (name or folder) that judges style; None uses what needs no download.
        tokenizers: those found, which count tokens and cut the trigger; None estimates from words.
        t5_tokens: the T5 limit the run uses.
        workers: threads, None for one a core.
        cache: folder of remembered measurements, None to measure afresh.
        progress: called with (what is being done, how many are done, of how many).
    """

    trigger: str | None = None
    resolution: int | Sequence[int] = 1024
    buckets: Buckets = field(default_factory=Buckets)
    batch_size: int = 1
    sparse: bool = True
    text: bool = True
    embed: str | None = None
    tokenizers: Tokenizers | None = None
    t5_tokens: int = 512
    workers: int | None = None
    cache: Path | None = None
    progress: Callable[[str, int, int], None] = lambda _what, _done, _total: None

    @property
    def sides(self) -> tuple[int, int]:
        """Training (width, height) in pixels."""
        return (self.resolution,) * 2 if isinstance(self.resolution, int) else (self.resolution[0], self.resolution[1])

    @property
    def area(self) -> int:
        """Pixels of the training resolution."""
        return self.sides[0] * self.sides[1]


@dataclass(frozen=True, slots=True)
class Subject:
    """One picture and all that is known of it.

    Attributes:
        path: the file.
        caption: its caption, with the problems of the file.
        features: measurements, None where it can't be read.
        fault: why it can't be read, None where it can.
        placement: its bucket, None where it has none.
        text: lines of text seen in it, None where nobody looked.
        embedding: what the `embed` model says, None without one.
    """

    path: Path
    caption: Caption
    features: Features | None
    fault: PictureError | None
    placement: Placement | None
    text: tuple[str, ...] | None = None
    embedding: Sequence[float] | None = None

    @property
    def name(self) -> str:
        """The file's name in printable characters."""
        return printable(self.path.name)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the folder that may matter.

    Attributes:
        name: raw file name.
        is_folder: a folder, or a link to one.
        target: where a symbolic link leads, None for others.
        disguised: a picture inside, but not by its name.
    """

    name: str
    is_folder: bool
    target: Path | None
    disguised: bool = False


@dataclass(frozen=True, slots=True)
class Scene:
    """All that rules may look at; they never touch the disk.

    Attributes:
        folder: the folder, absolute.
        entries: its direct children but the hidden ones.
        nested: pictures in its subfolders, by subfolder name.
        subjects: its pictures, sorted by name.
        options: what they are meant for.
        can_read_text: rapidocr is installed.
    """

    folder: Path
    entries: tuple[Entry, ...]
    nested: dict[str, int]
    subjects: tuple[Subject, ...]
    options: LintOptions
    can_read_text: bool

    @property
    def readable(self) -> list[tuple[Subject, Features]]:
        """Pictures that could be measured, with their measurements."""
        return [(subject, subject.features) for subject in self.subjects if subject.features is not None]


@dataclass(frozen=True, slots=True)
class Hit:
    """What a rule found.

    Attributes:
        where: names of the pictures or files it is about; none for the set.
        message: what is the matter, with figures.
        fix: what to do, where it differs from the rule's own advice.
        severity: likewise.
    """

    where: tuple[str, ...]
    message: str
    fix: str | None = None
    severity: Severity | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: its code, how grave it is, why it matters, what to do, and the generator that looks."""

    code: str
    family: str
    severity: Severity
    reason: str
    fix: str
    look: Callable[[Scene], Iterator[Hit]]

    @property
    def title(self) -> str:
        """What it looks for, in a few words without a full stop."""
        return (self.look.__doc__ or "").strip().removesuffix(".")

    def findings(self, scene: Scene) -> Iterator[tuple[Finding, tuple[str, ...]]]:
        """Yield findings with the names of the pictures they are about."""
        for hit in self.look(scene):
            where = joined(hit.where) if hit.where else "the set"
            severity = hit.severity or self.severity
            yield Finding(self.code, severity, where, hit.message, hit.fix or self.fix), hit.where


RULES: dict[str, Rule] = {}


def rule(
    code: str, severity: Severity, *, reason: str, fix: str
) -> Callable[[Callable[[Scene], Iterator[Hit]]], Callable[[Scene], Iterator[Hit]]]:
    """Register a generator of hits as a rule; its family is the module it stands in."""

    def register(look: Callable[[Scene], Iterator[Hit]]) -> Callable[[Scene], Iterator[Hit]]:
        if code in RULES:
            raise ValueError(f"two rules are called {code}")
        RULES[code] = Rule(code, look.__module__.rsplit(".", 1)[-1], severity, reason, fix, look)
        return look

    return register


def joined(names: Iterable[str], most: int = 6) -> str:
    """Return "a, b and 3 more"."""
    every = list(names)
    if len(every) <= most:
        return ", ".join(every)
    return f"{', '.join(every[:most])} and {len(every) - most} more"

"""What three real steps showed, and what it changes about a forecast. Taking them is `run.measure`'s."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from loraforge.advice.duration import Duration
from loraforge.advice.fitting import as_set
from loraforge.config.job import Job
from loraforge.findings import Finding


@dataclass(frozen=True, slots=True)
class Measurement:
    """What three steps on the largest bucket took.

    Attributes:
        job: the settings with which they fitted, steps and samples as in the whole run.
        change: what had to be changed for that, dotted setting -> value; empty when nothing had.
        seconds_per_step: the last step's time, gradient accumulation included.
        allocated_gib: most memory held by tensors, all phases but sampling; None without a GPU.
        reserved_gib: most memory taken from the card, likewise.
    """

    job: Job
    change: Mapping[str, object]
    seconds_per_step: float
    allocated_gib: float | None
    reserved_gib: float | None

    def as_dict(self) -> dict[str, object]:
        """Return the JSON form that `check --json --measure` carries."""
        return {
            "seconds_per_step": round(self.seconds_per_step, 3),
            "allocated_gib": self.allocated_gib and round(self.allocated_gib, 2),
            "reserved_gib": self.reserved_gib and round(self.reserved_gib, 2),
            "settings": dict(self.change),
        }

    def line(self) -> str:
        """Say it for people."""
        memory = f", {self.reserved_gib:.1f} GiB at the most" if self.reserved_gib is not None else ""
        return f"measured: {self.seconds_per_step:.2f} s a step{memory}"

    def duration(self, predicted: Duration, steps: int) -> Duration:
        """Return a predicted duration with the steps' part as measured."""
        parts = {**predicted.parts, "steps": steps * self.seconds_per_step}
        return replace(
            predicted,
            seconds_per_step=self.seconds_per_step,
            total_seconds=sum(parts.values()),
            measured=True,
            parts=parts,
        )

    def findings(self, predicted: tuple[Finding, ...]) -> Iterator[Finding]:
        """Yield the findings of a check with those on memory as they were measured.

        A prediction for samples stays: none was drawn.
        """
        for finding in predicted:
            if not finding.code.startswith("memory-") or finding.message.startswith("Drawing"):
                yield finding
        if self.change:
            message = "The run does not fit this card as it is set; three steps did with other settings."
            yield Finding("memory-measured", "error", "memory", message, as_set(self.change))

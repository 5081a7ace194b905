"""What went wrong and what to change, from a run's own traces or from what its user sees."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from loraforge.advice.rules.registry import as_flags
from loraforge.advice.symptoms import matching, symptoms
from loraforge.config.job import Job
from loraforge.engine.events import Step
from loraforge.engine.failures import UNKNOWN, Diagnosis, classify
from loraforge.engine.lines import replayed
from loraforge.engine.parser import Parser
from loraforge.engine.remedy import Change, Remedy, setting_of
from loraforge.errors import ConfigError

# A mean over fewer steps still wanders; over this many a single loss moves it by a few percent at most.
_STEADY = 50
_RISE = 4 / 3


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing that may be wrong.

    Attributes:
        code: of the failure or the symptom.
        title: what is seen.
        cause: why, likely.
        fix: what to do, in words.
        evidence: what tells it: lines of the log as "line 12: text", or the source of the advice.
        settings: dotted setting -> (the job's value, the proposed one).
    """

    code: str
    title: str
    cause: str
    fix: str
    evidence: tuple[str, ...]
    settings: Mapping[str, tuple[object, object]] = field(default_factory=dict)

    @property
    def flags(self) -> str:
        """The `--set` flags that apply the settings; empty when there are none."""
        return as_flags({path: new for path, (_, new) in self.settings.items()})

    def as_dict(self) -> dict[str, object]:
        """Return the JSON form."""
        return {
            "code": self.code,
            "title": self.title,
            "cause": self.cause,
            "fix": self.fix,
            "evidence": list(self.evidence),
            "settings": {path: {"from": old, "to": new} for path, (old, new) in self.settings.items()},
            "set": self.flags,
        }


def of_run(log_text: str, returncode: int | None, job: Job, *, end: str = "", cause: str = "") -> list[Advice]:
    """Judge a run by what its engine printed.

    Args:
        log_text: engine.log.
        returncode: how the engine ended; None where it was not recorded.
        job: the run's settings.
        end: the name that loraforge gave the end, where it was there.
        cause: and what it saw of it.
    """
    advice = [_of_failure(diagnosis, job) for diagnosis in classify(log_text, returncode, job)]
    unexplained = all(item.code in UNKNOWN for item in advice)
    # An engine that is told to end complains as one that fails does.
    if end == "interrupted" or (unexplained and end not in {"", "done", "engine-crash"}):
        advice = [_of_end(end, cause)]
    return advice + ([] if any(item.code == "loss-nan" for item in advice) else _of_loss(_means(log_text), job))


def of_symptom(text: str, job: Job) -> list[Advice]:
    """Advise on what a user sees.

    Raises:
        ConfigError: the words fit no known symptom; names them all.
    """
    found = matching(text)
    if not found:
        known = "; ".join(symptom.says[0] for symptom in symptoms())
        raise ConfigError(f'--symptom "{text}": fits no symptom that is known', f"say it with words such as: {known}")
    return [
        Advice(
            code=symptom.code,
            title=symptom.title,
            cause=cause.cause,
            fix=cause.fix,
            evidence=(cause.source,),
            settings=difference(job, cause.remedy.settings(job)),
        )
        for symptom in found
        for cause in symptom.causes
    ]


def _means(log_text: str) -> list[tuple[int, float]]:
    """Return (step, the engine's mean loss since the run began) for every step that told it."""
    parser = Parser()
    lines = replayed([log_text.encode("utf-8", "surrogateescape")])
    steps = (event for line in lines for event in parser.feed(line) if isinstance(event, Step))
    return [(step.step, step.average_loss) for step in steps if step.average_loss is not None]


def _of_loss(means: list[tuple[int, float]], job: Job) -> list[Advice]:
    """Tell of a loss that climbs: the mean of a whole run is steady, so that a rise by a third is no noise."""
    steady = [(mean, step) for step, mean in means if step >= _STEADY]
    if not steady:
        return []
    (low, since), (last, end) = min(steady), steady[-1]
    if last < low * _RISE:
        return []
    return [
        Advice(
            code="loss-rising",
            title="The loss climbs",
            cause="The run is diverging: the learning rate is too high for it.",
            fix=f"Look at the checkpoints around step {since}, and halve the rate for the next run.",
            evidence=(f"mean loss {low:.3g} at step {since}, {last:.3g} at step {end}",),
            settings=difference(job, Remedy(scale={"optimizer.learning_rate": 0.5}).settings(job)),
        )
    ]


def difference(job: Job, change: Change) -> dict[str, tuple[object, object]]:
    """Pair each changed setting's value in the job with the new one."""
    return {path: (setting_of(job, path), value) for path, value in change.items()}


def _of_end(end: str, cause: str) -> Advice:
    return Advice(
        code=end,
        title="The run was stopped" if end == "interrupted" else "The run did not come to its end",
        cause=f"{cause[:1].upper()}{cause[1:].rstrip('.')}." if cause else "It was cut off.",
        fix="`loraforge train RUN --resume` goes on from the last state.",
        evidence=(f"state.json: {end}",),
    )


def _of_failure(diagnosis: Diagnosis, job: Job) -> Advice:
    evidence = tuple(f"line {item.line}: {item.text}" if item.line else item.text for item in diagnosis.evidence)
    return Advice(
        code=diagnosis.code,
        title=f"The run failed while {diagnosis.phase}",
        cause=diagnosis.cause,
        fix=diagnosis.fix,
        evidence=evidence,
        settings=difference(job, dict(diagnosis.settings)),
    )

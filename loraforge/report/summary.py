"""The end of a run in a few lines: what was made, and what to do with it."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from loraforge.run.plan import RunPlan
from loraforge.run.record import read
from loraforge.run.train import Outcome


@dataclass(frozen=True, slots=True)
class Summary:
    """What `train` says when it is over.

    Attributes:
        plan: what was asked for.
        outcome: what came of it.
        samples: number of sample pictures drawn.
        changes: settings that healing changed on the way, as state.json has them.
    """

    plan: RunPlan
    outcome: Outcome
    samples: int
    changes: tuple[Mapping[str, Any], ...] = ()

    def as_json(self) -> str:
        """Return one JSON object, the last line of `train --json`."""
        proof = self.outcome.proof
        return json.dumps(
            {
                "event": "ended",
                "status": self.outcome.status,
                "cause": self.outcome.cause,
                "run": str(self.plan.folder.path),
                "lora": str(proof.path) if proof is not None and proof.proven else None,
                "steps": self.plan.steps,
                "last_step": self.outcome.ending.last_step,
                "changes": list(self.changes),
                "checkpoints": {str(step): str(path) for step, path in self.outcome.checkpoints.items()},
                "seconds": round(self.outcome.ending.seconds, 1),
                "peak_gpu_gib": self.outcome.ending.peak_gpu_gib,
            }
        )

    def as_text(self) -> str:
        """Return the lines for people."""
        job, folder, proof = self.plan.job, self.plan.folder, self.outcome.proof
        run = shlex.quote(str(folder.path))
        assert proof is not None  # noqa: S101  # a run that is done has one
        word = f'"{job.dataset.trigger}, ..."' if job.dataset.trigger else "any prompt"
        cost = f"{proof.size / 1e6:.1f} MB, in {self.outcome.ending.seconds / 60:.1f} min"
        lines = [
            f"done: {proof.path}",
            f"  proven: {proof.modules} layers of rank {job.network.rank}, finite, {proof.step} steps, {cost}",
            *(f"  changed on the way: {line}" for line in map(_in_words, self.changes)),
            *(f"  checkpoint {step:>6}: {path}" for step, path in self.outcome.checkpoints.items()),
            f"  {self.samples} samples: {folder.samples}" if self.samples else "  no samples were asked for",
            "next:",
            f"  which checkpoint?    loraforge compare {run}",
            f"  the run as a page    loraforge report {run}",
            f"  made ready for use   loraforge ship {run}",
            f"  the same once more   loraforge train {run}",
            f"  in your tool: {word} at strength 0.7 to 1.0",
        ]
        return "\n".join(lines)


def summary(plan: RunPlan, outcome: Outcome) -> Summary:
    """Gather the summary of an ended run."""
    samples = sum(1 for _ in plan.folder.samples.glob("*.png")) if plan.folder.samples.is_dir() else 0
    record = read(plan.folder.state)
    return Summary(plan, outcome, samples, record.changes if record is not None else ())


def _in_words(change: Mapping[str, Any]) -> str:
    settings = ", ".join(f"{path} {old} → {new}" for path, (old, new) in change["settings"].items())
    return f"{settings} ({change['because']} at step {change['step']})"

"""The doctor's look at the engine, the weight files, the tokenizers and access to the hub."""

from collections.abc import Iterator

from loraforge.advice.checkup import Check, Facts
from loraforge.config.job import Job
from loraforge.engine.inspection import FETCH
from loraforge.engine.locate import engine_findings
from loraforge.engine.weights import ROLES
from loraforge.errors import MachineError


def file_checks(job: Job, facts: Facts) -> Iterator[Check]:
    """Look at what must lie on the disk before a run."""
    yield _engine(job, facts)
    yield from _weights(facts)
    yield _tokenizers(facts)
    yield _hub(facts)


def _engine(job: Job, facts: Facts) -> Check:
    engine = facts.engine
    if isinstance(engine, MachineError):
        if job.engine.kind == "embedded":
            return Check("engine", "ok", "embedded, as engine.kind says; sd-scripts is not on this machine")
        return Check("engine", "missing", engine.message, engine.hint)
    for finding in engine_findings(engine):
        return Check("engine", "warning", f"{engine.path}: {finding.message}", finding.fix)
    return Check("engine", "ok", f"{engine.path} ({engine.source}), commit {(engine.commit or '')[:12]}")


def _weights(facts: Facts) -> Iterator[Check]:
    for role in ROLES:
        name = f"weights-{role.replace('_', '-')}"
        wrong = [finding for finding in facts.weight_findings if finding.where == f"model.{role}"]
        for finding in wrong:
            yield Check(name, "missing", finding.message, finding.fix)
        if not wrong:
            yield Check(name, "ok", f"{facts.found.paths[role]}, {facts.weight_bytes.get(role, 0) / 1e9:.2f} GB")


def _tokenizers(facts: Facts) -> Check:
    if facts.found.tokenizers is not None:
        return Check("tokenizers", "ok", str(facts.found.tokenizers))
    if facts.cached_tokenizers:
        return Check("tokenizers", "ok", "in the hub's cache")
    message = "not here: the engine fetches them on first use, and fails without a network"
    return Check("tokenizers", "warning", message, FETCH)


def _hub(facts: Facts) -> Check:
    if facts.token is not None:
        return Check("hub", "ok", f"a log-in is set in {facts.token} (not shown, not tried)")
    if "transformer" in facts.found.missing or "autoencoder" in facts.found.missing:
        message = "no log-in: FLUX.1-dev is given to accounts that accepted its licence"
        fix = "hf auth login, after accepting it at https://huggingface.co/black-forest-labs/FLUX.1-dev"
        return Check("hub", "warning", message, fix)
    return Check("hub", "ok", "no log-in, and none needed: the weights are here")

"""The rules: will this run, and will it be any good? One file a family, all registered on import."""

from collections.abc import Iterator
from importlib import import_module

from loraforge.advice.facts import DatasetFacts, MachineFacts, WeightFacts
from loraforge.advice.rules.case import Case
from loraforge.advice.rules.registry import RULES, Rule
from loraforge.config.job import Job
from loraforge.findings import Finding

# Importing a family registers its rules; findings of one severity come in this order.
FAMILIES = (
    "network",
    "optimizer",
    "schedule",
    "training",
    "memory",
    "dataset",
    "sampling",
    "machine",
    "output",
    "extra",
    "extra_inert",
)
for _family in FAMILIES:
    import_module(f"{__name__}.{_family}")

__all__ = ["FAMILIES", "RULES", "Rule", "check_job"]


def check_job(
    job: Job,
    dataset: DatasetFacts | None = None,
    machine: MachineFacts | None = None,
    weights: WeightFacts | None = None,
) -> Iterator[Finding]:
    """Judge a validated job; rules that need facts which are None stay silent.

    Args:
        job: the settings; what the memory profile decides may be left open.
        dataset: facts on the pictures.
        machine: facts on the machine.
        weights: facts on the weight files.
    """
    case = Case(job, dataset, machine, weights)
    for rule in RULES.values():
        yield from rule.findings(case)

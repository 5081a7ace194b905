"""Sane pictures, and a way to a job as a user would write it."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from loraforge.advice.facts import DatasetFacts
from loraforge.config.dataset import Dataset
from loraforge.config.job import Job
from loraforge.settings import load

SIZES = ((1200, 1200), (1248, 1152), (1152, 1248), (1200, 1180), (1180, 1200)) * 4
CAPTIONS = ("zqx, a lighthouse on a cliff",) * 20


@pytest.fixture
def make_job(tmp_path: Path) -> Callable[[Sequence[str], str], Job]:
    """Return a maker of jobs from `--set` assignments over a preset."""

    def make(assignments: Sequence[str], preset: str = "style") -> Job:
        start = ["dataset.trigger=zqx", "output.name=zqx_v1"]
        return load(None, preset=preset, assignments=[*start, *assignments], cwd=tmp_path).job

    return make


@pytest.fixture
def make_pictures() -> Callable[[Dataset], DatasetFacts]:
    """Return a maker of facts on twenty sound pictures under a job's dataset settings."""
    return lambda dataset: DatasetFacts.of(SIZES, CAPTIONS, dataset)

"""The cards that a run takes."""

import pytest

from loraforge.advice.chosen import gpu_of, names_of
from loraforge.config.job import Job
from loraforge.machine.gpu import Gpu


def card(index: int, gib: float, uuid: str) -> Gpu:
    """Return a card of this machine."""
    return Gpu(index, "a card", gib, gib, "570", (12, 8), (8, 9), uuid=uuid)


CARDS = [card(0, 8.0, "GPU-aa11"), card(1, 24.0, "GPU-bb22")]


@pytest.mark.parametrize(
    ("launch", "shown", "names", "gib"),
    [
        ({}, None, ("0",), 8.0),
        ({}, "1", ("1",), 24.0),
        ({}, "1,0", ("1",), 24.0),
        ({"processes": 2}, "1, 0", ("1", "0"), 24.0),
        ({"processes": 2}, None, ("0", "1"), 8.0),
        ({"gpu_ids": "1"}, "0", ("1",), 24.0),
        ({"env": {"CUDA_VISIBLE_DEVICES": "1"}}, "0", ("1",), 24.0),
        ({}, "GPU-bb", ("GPU-bb",), 24.0),
        ({}, "", (), None),
        ({}, "-1", (), None),
        ({"processes": 2}, "1,-1,0", ("1",), 24.0),
        ({}, "7", ("7",), None),
    ],
)
def test_the_users_choice_then_what_the_environment_shows(launch, shown, names, gib):
    """A card that somebody else was given is never taken, and memory is that of the card that trains."""
    job, environ = Job.model_validate({"launch": launch}), {} if shown is None else {"CUDA_VISIBLE_DEVICES": shown}
    assert names_of(job, environ) == names
    found = gpu_of(job, environ, CARDS)
    assert (found.total_gib if found else None) == gib

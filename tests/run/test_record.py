"""state.json is read whatever stands in it, and never says that a dead run goes on."""

import json
import random
from dataclasses import replace

import pytest

from loraforge.run.folder import RunFolder
from loraforge.run.lock import owned
from loraforge.run.record import RESERVE, Record, read, reserve, standing, write

FULL = Record(
    "running", "", "", ("a",), "demo", 4, 12, "training", "2026-01-01T00:00:00+00:00", None, 7, "mark", None, 5, 2,
    ({"step": 3, "because": "gpu-memory", "settings": {"memory.blocks_to_swap": [None, 8]}},),
)  # fmt: skip


def test_what_is_written_is_read(tmp_path):
    """Whole, with the changes that were made on the way."""
    folder = RunFolder(tmp_path)
    write(folder, FULL)
    assert read(folder.state) == FULL
    assert FULL.changed_paths == {"memory.blocks_to_swap"}


def test_a_dead_run_is_lost(tmp_path):
    """It runs only while somebody holds its folder."""
    folder = RunFolder(tmp_path)
    write(folder, FULL)
    with owned(tmp_path):
        assert standing(folder).status == "running"
    found = standing(folder)
    assert (found.status, found.end, found.step) == ("failed", "lost", 4)
    assert found.evidence
    write(folder, replace(FULL, status="done"))
    assert standing(folder).status == "done"


def test_cut_at_every_byte(tmp_path):
    """A file cut anywhere is no record, and no crash."""
    folder = RunFolder(tmp_path)
    write(folder, FULL)
    data = folder.state.read_bytes().rstrip()
    for end in range(len(data)):
        folder.state.write_bytes(data[:end])
        assert read(folder.state) is None


def test_any_bytes_are_survived(tmp_path):
    """Flipped bits, foreign types and old forms end in a record of sound types or in none."""
    folder = RunFolder(tmp_path)
    write(folder, FULL)
    data, chance = folder.state.read_bytes(), random.Random(1)  # noqa: S311  # no secret
    for _ in range(2000):
        flipped = bytearray(data)
        for _ in range(chance.randint(1, 4)):
            flipped[chance.randrange(len(data))] = chance.randrange(256)
        folder.state.write_bytes(flipped)
        found = read(folder.state)
        assert found is None or isinstance(found.changed_paths, frozenset)


@pytest.mark.parametrize(
    "values",
    [
        {"status": "walking"},
        {"status": "done", "step": "four", "evidence": [1, "a"], "changes": [1], "pid": None, "ended": []},
        {"status": "done", "changes": [{"settings": 3}]},
        {"status": "failed", "returncode": 1},
    ],
)
def test_foreign_types_are_left_out(tmp_path, values):
    """What has another type than it should is as if it were not there."""
    folder = RunFolder(tmp_path)
    folder.state.write_text(json.dumps(values))
    found = read(folder.state)
    assert (found is None) == (values["status"] == "walking")
    if found is not None:
        assert isinstance(found.step, int)
        assert all(isinstance(line, str) for line in found.evidence)
        assert found.changed_paths == frozenset()


def test_the_last_word_has_room(tmp_path):
    """What is kept back while a run goes on is given up when it ends."""
    folder = RunFolder(tmp_path)
    reserve(folder)
    write(folder, FULL)
    assert (tmp_path / RESERVE).stat().st_size > 2 * 4096
    write(folder, replace(FULL, status="failed", end="disk-full"))
    assert not (tmp_path / RESERVE).exists()


def test_an_unwritable_folder_ends_no_run(tmp_path):
    """A record that can't be written is passed over."""
    write(RunFolder(tmp_path / "missing"), FULL)

import json

import pytest
from fake_runs import BEGAN, make_run

from loraforge.errors import ConfigError
from loraforge.run.history import read_history, read_run


def test_a_finished_run_is_read(tmp_path):
    """Steps, times, memory, checkpoints and surroundings are those of the diary."""
    run = read_run(make_run(tmp_path / "runs" / "art" / "1").path)
    history = run.history
    assert (run.status, run.steps, list(run.loras())) == ("done", 300, [100, 200, 300])
    assert [point.step for point in history.points] == list(range(1, 301))
    assert history.points[9].nth == 10
    assert [phase for phase, _ in history.phases] == ["starting", "loading", "training"]
    assert history.phases[0][1] == BEGAN + 2
    assert history.checkpoints[0][0] == "art-step00000100.safetensors"
    assert history.surroundings == {"torch": "2.6", "GPU 0": "Test Card, 24.0 GiB"}
    assert len(history.memory) == 30


def test_a_resumed_run_has_two_parts(tmp_path):
    """After a resume the engine's mean begins anew, and so does the count."""
    steps = [{"event": "phase-started", "phase": "starting"}]
    steps += [{"event": "step", "step": step, "average_loss": 0.5} for step in (1, 2, 3)]
    steps += [{"event": "phase-started", "phase": "starting"}]
    steps += [{"event": "step", "step": step, "average_loss": 0.4} for step in (3, 4)]
    diary = tmp_path / "events.ndjson"
    diary.write_text("".join(json.dumps(step) + "\n" for step in steps))
    points = read_history(diary).points
    assert [(point.part, point.step, point.nth) for point in points] == [
        (0, 1, 1),
        (0, 2, 2),
        (0, 3, 3),
        (1, 3, 1),
        (1, 4, 2),
    ]


def test_exact_figures_are_read(tmp_path):
    """Each step's own loss, rate, time and memory; of a step done again the last counts, and a loss of nan is none."""
    diary = tmp_path / "events.ndjson"
    entries = [(1, 0.5), (2, 0.4), (2, 0.3), (3, None)]
    lines = [{"event": "measured", "step": step, "loss": loss, "seconds": 2.0, "new": 1} for step, loss in entries]
    diary.write_text("".join(json.dumps(line | {"learning_rate": None, "at": 1.0}) + "\n" for line in lines))
    measured = read_history(diary).measured
    assert {step: one.loss for step, one in measured.items()} == {1: 0.5, 2: 0.3}
    assert measured[1].reserved_gib is None


def test_origins_are_read_with_what_healing_changed(tmp_path):
    """The record of the start, and over it what the run changed by itself; without a record there is none."""
    folder = make_run(tmp_path / "r", steps=(2,), prompts=[])
    assert read_run(folder.path).origins is None
    folder.origins.write_text('{"network.rank": "--set", "memory.fp8_base": "preset style"}')
    state = json.loads(folder.state.read_text())
    folder.state.write_text(json.dumps(state | {"changes": [{"settings": {"memory.fp8_base": [False, True]}}]}))
    assert read_run(folder.path).origins == {"network.rank": "--set", "memory.fp8_base": "healing"}


def test_half_lines_and_foreign_entries_are_passed_over(tmp_path):
    """A crash leaves half a line; it is counted, and the rest is read."""
    diary = tmp_path / "events.ndjson"
    diary.write_text('{"event": "step", "step": 1, "average_loss": 0.5}\n[]\n{"event": "new-kind"}\n{"event": "st')
    history = read_history(diary)
    assert (len(history.points), history.unread) == (1, 1)
    assert read_history(tmp_path / "none").points == []


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ('{"status": "running", "pid": 99999999}', "broken-off"),
        ('{"status": "failed", "cause": "out of memory"}', "failed"),
        ('{"status": "exploded"}', "unknown"),
        ('{"sta', "unknown"),
        ("[]", "unknown"),
    ],
)
def test_states(state, status, tmp_path):
    """A run that says it is running without a process has broken off; a damaged state is unknown."""
    folder = make_run(tmp_path / "r", steps=(2,), prompts=[])
    folder.state.write_text(state)
    assert read_run(folder.path).status == status


def test_a_folder_of_runs_names_the_newest(tmp_path):
    """The folder above the runs is a likely mistake; the message names the run that was meant."""
    make_run(tmp_path / "art" / "20260101-000000", steps=(2,), prompts=[])
    newest = make_run(tmp_path / "art" / "20260102-000000", steps=(2,), prompts=[])
    with pytest.raises(ConfigError) as caught:
        read_run(tmp_path / "art")
    assert str(newest.path) in caught.value.hint

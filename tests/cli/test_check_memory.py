"""`loraforge check`: memory and time."""

import json

import pytest
from make_sets import TRIGGER, make_set

from loraforge.cli import run


@pytest.fixture
def argv(tmp_path, monkeypatch):
    """Return the command over a small sound set, on a machine without weights or a card."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setattr("loraforge.advice.check.gpus", list)
    monkeypatch.chdir(tmp_path)
    return ["check", "--images", str(make_set(tmp_path / "set", "flat", 3)), "--trigger", TRIGGER]


def document(argv, capsys):
    """Return what --json prints."""
    run([*argv, "--json"])
    return json.loads(capsys.readouterr().out)


def test_json_carries_memory_and_duration(argv, capsys):
    """The deciding phase with its peak, each phase's, and the time of a step and of the run."""
    said = document([*argv, "--vram", "24"], capsys)
    memory = said["memory"]
    assert set(memory) == {"phase", "allocated_gib", "reserved_gib", "phases"}
    assert set(memory["phases"]) == {"latent-caching", "text-caching", "training", "sampling"}
    assert memory["phases"][memory["phase"]] == {key: memory[key] for key in ("allocated_gib", "reserved_gib")}
    assert set(said["duration"]) == {"seconds_per_step", "total_seconds", "measured"}
    assert said["duration"]["measured"] is False


def test_vram_asks_for_a_card_one_does_not_have(argv, capsys):
    """Profile auto follows it, and so do the predictions."""
    small, large = (document([*argv, "--vram", size], capsys) for size in ("12", "80"))
    assert (small["profile"], large["profile"]) == ("12gb", "80gb")
    assert small["memory"]["reserved_gib"] < 12
    assert large["duration"]["seconds_per_step"] < small["duration"]["seconds_per_step"]
    assert large["duration"]["measured"] is True


def test_what_does_not_fit_is_an_error_with_a_change(argv, capsys):
    """As a finding like any other."""
    said = document([*argv, "--vram", "16", "--set", "memory.fp8_base=false"], capsys)
    (finding,) = [finding for finding in said["findings"] if finding["code"] == "memory-does-not-fit"]
    assert finding["severity"] == "error"
    assert finding["fix"].startswith("--set memory.")


def test_people_are_told_in_lines(argv, capsys):
    """Memory with phase and headroom, host, time as a range."""
    run([*argv, "--vram", "24"])
    told = capsys.readouterr().err
    assert "decides with" in told
    assert "to spare" in told
    assert "an estimate for the RTX 4090" in told


def test_table_is_printed_on_stdout(argv, capsys):
    """One row a size, nothing else."""
    assert run([*argv, "--table"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows[2:]] == ["8", "10", "12", "16", "24", "32", "48", "80"]


def test_measuring_waits_until_the_machine_is_ready(argv, capsys):
    """Without weights and engine nothing is started; the findings say what is missing."""
    assert "measurement" not in document([*argv, "--measure"], capsys)

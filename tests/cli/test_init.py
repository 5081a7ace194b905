"""`init`, `presets`, `check` and `plan` as a user meets them."""

import json

import pytest
from sets import small_set, tree

from loraforge.cli import VERBS, built, run
from loraforge.presets import names
from loraforge.settings import load


@pytest.fixture
def place(tmp_path, monkeypatch, layouts, write_weights):
    """Return a working folder with pictures and sound tiny weights."""
    small_set(tmp_path / "pics", 16)
    for name, shapes in layouts.items():
        write_weights(tmp_path / "models" / name, shapes)
    monkeypatch.setenv("LORAFORGE_MODELS", str(tmp_path / "models"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("preset", names())
def test_init_writes_a_file_that_loads(place, capsys, preset):
    """The written forge.toml is sparse, commented and valid, whatever the preset."""
    assert run(["init", "project", "--images", "pics", "--trigger", "zx_q", "--preset", preset]) == 0
    file = place / "project" / "forge.toml"
    job = load(file, cwd=place).job
    assert (job.preset, job.dataset.trigger, job.output.name) == (preset, "zx_q", "zx_q")
    assert job.dataset.images.resolve() == (place / "pics").resolve()
    assert "#" in file.read_text()
    assert "loraforge train" in capsys.readouterr().err


def test_init_never_replaces_a_file_unasked(place, capsys):
    """A forge.toml that is there stays, unless --force says otherwise."""
    command = ["init", ".", "--images", "pics", "--trigger", "zx_q"]
    assert run(command) == 0
    (place / "forge.toml").write_text("# mine\n")
    assert run(command) == 2
    assert (place / "forge.toml").read_text() == "# mine\n"
    assert run([*command, "--force"]) == 0
    assert (place / "forge.toml").read_text() != "# mine\n"


def test_plan_starts_and_writes_nothing_without_out(place, capsys):
    """The command goes to stdout, who decided what goes to stderr."""
    before = tree(place)
    argv = [
        "plan",
        "--images",
        "pics",
        "--trigger",
        "zx_q",
        "--set",
        "engine.kind=embedded",
        "--set",
        "network.rank=12",
    ]
    assert run(argv) == 0
    said = capsys.readouterr()
    assert "accelerate.commands.launch" in said.out
    rows = {line.split(" = ")[0].strip(): line.rpartition("(")[2].rstrip(")") for line in said.err.splitlines()}
    assert rows["network.rank"] == "--set"
    assert rows["network.alpha"] == "preset style"
    assert rows["training.steps"] == "steps_per_picture x pictures"
    assert tree(place) == before


def test_plan_out_writes_all_a_manual_run_needs(place):
    """Files, staged pictures with captions, and both scripts."""
    argv = ["plan", "--images", "pics", "--trigger", "zx_q", "--set", "engine.kind=embedded", "--out", "run"]
    assert run(argv) == 0
    found = set(tree(place / "run"))
    expected = {"config.toml", "dataset.toml", "prompts.txt", "run.sh", "run.ps1", "job.toml", "accelerate.yaml"}
    assert expected <= found
    assert sum(name.startswith("dataset/") for name in found) == 32
    assert (place / "run" / "run.sh").stat().st_mode & 0o100


def test_check_says_ready_and_why_not(place, capsys):
    """A sound set is ready; the document tells pictures, steps and profile."""
    argv = [
        "check",
        "--images",
        "pics",
        "--trigger",
        "zx_q",
        "--set",
        "engine.kind=embedded",
        "--set",
        "launch.device=cpu",
    ]
    run([*argv, "--json"])
    told = json.loads(capsys.readouterr().out)
    assert (told["pictures"], told["steps"]) == (16, 320)


def test_every_verb_of_the_fixed_command_line_is_listed(capsys):
    """Help names each verb that is built, with one line on it."""
    assert run(["--help"]) == 0
    out = capsys.readouterr().out
    for verb in built():
        assert f"  {verb} " in out
    assert {"init", "presets", "check", "plan", "train", "demo", "models", "doctor"} <= built().keys() <= VERBS.keys()


@pytest.mark.parametrize("verb", sorted(built()))
def test_every_verb_explains_itself(verb, capsys):
    """VERB --help ends well and describes every option."""
    assert run([verb, "--help"]) == 0
    assert "--help" in capsys.readouterr().out

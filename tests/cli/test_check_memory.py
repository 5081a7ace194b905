"""`loraforge check`: memory and time."""

import json

import pytest
from make_sets import TRIGGER, make_set

from loraforge.advice.facts import DatasetFacts, WeightFacts
from loraforge.cli import run
from loraforge.config.profiles import PROFILES
from loraforge.engine.locate import PINNED_COMMIT
from loraforge.machine.gpu import Gpu
from loraforge.machine.host import Host
from loraforge.presets import names


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


def test_the_profile_is_the_card_that_is_meant(argv, capsys):
    """Without a card here, what is asked of a profile's card is held against that card."""
    said = document([*argv, "--set", "memory.profile=8gb", "--set", "memory.gradient_checkpointing=false"], capsys)
    assert "memory-does-not-fit" in [finding["code"] for finding in said["findings"]]


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


@pytest.mark.parametrize("size", ["0", "-5", "nan", "inf", "1e9"])
def test_memory_that_no_card_has_is_refused(argv, capsys, size):
    """One sentence says so."""
    assert run([*argv, f"--vram={size}"]) == 2
    assert "no card has that much memory" in capsys.readouterr().err


@pytest.mark.parametrize(("size", "measured"), [("80", True), ("79.2", True), ("96", False), ("141", False)])
def test_only_the_measured_card_is_said_to_be_measured(argv, capsys, size, measured):
    """Larger ones are estimated by it."""
    assert document([*argv, "--vram", size], capsys)["duration"]["measured"] is measured


def test_switches_that_do_nothing_say_so(argv, capsys, monkeypatch):
    """Nothing measured, no table, no table as JSON."""
    run([*argv, "--measure"])
    assert "nothing is measured" in capsys.readouterr().err
    assert run([*argv, "--table", "--json"]) == 2
    assert "no JSON form" in capsys.readouterr().err
    assert run([*argv, "--table", "--images", "nowhere"]) != 0
    assert "no table: the pictures" in capsys.readouterr().err
    monkeypatch.setattr("loraforge.advice.check.WeightFacts", lambda: WeightFacts(full_size=False))
    run([*argv, "--table"])
    assert "no table: the weights" in capsys.readouterr().err


# What tells full-size files from tiny ones.
_FULL = {
    "flux1-dev.safetensors": {"img_in.weight": (3072, 64)},
    "clip_l.safetensors": {"text_model.embeddings.token_embedding.weight": (100, 768)},
    "t5xxl_fp16.safetensors": {"shared.weight": (100, 4096)},
    "ae.safetensors": {"encoder.conv_in.weight": (128, 3, 3, 3)},
}


@pytest.fixture
def sound(tmp_path, monkeypatch, layouts, write_weights):
    """Return `sound(profile)`: a machine with its card, engine and weights, and twenty sound pictures."""
    engine = tmp_path / "engine"
    (engine / ".git").mkdir(parents=True)
    (engine / ".git" / "HEAD").write_text(PINNED_COMMIT)
    (engine / "flux_train_network.py").touch()
    monkeypatch.setenv("LORAFORGE_ENGINE", str(engine))
    monkeypatch.chdir(tmp_path)

    def machine(profile):
        card = Gpu(0, "Some Card", profile.vram_gib, profile.vram_gib, "570.1", (12, 8), (8, 9))
        monkeypatch.setattr("loraforge.advice.check.gpus", lambda: [card])
        monkeypatch.setattr("loraforge.advice.check.host", lambda: Host(64.0, 60.0, 8.0))
        monkeypatch.setattr("loraforge.advice.check.free_gib", lambda _: 200.0)
        for name, shapes in _FULL.items():
            # Up to 10 GB the profiles ask for T5's file in 8 bits.
            kind = "F8_E4M3" if name.startswith("t5") and profile.vram_gib <= 10 else "BF16"
            write_weights(tmp_path / "models" / name, layouts[name] | shapes, kind)
        monkeypatch.setattr(
            "loraforge.advice.check._pictures",
            lambda job: (DatasetFacts.of([(1024, 1024)] * 20, ["zxqv, a house"] * 20, job.dataset), []),
        )
        files = {"transformer": "flux1-dev", "clip_l": "clip_l", "t5xxl": "t5xxl_fp16", "autoencoder": "ae"}
        sets = [f"model.{role}={tmp_path}/models/{name}.safetensors" for role, name in files.items()]
        return [part for setting in [*sets, "dataset.trigger=zxqv"] for part in ("--set", setting)]

    return machine


def test_strict_json_says_what_the_exit_code_says(sound, capsys):
    """A warning is no fault without --strict, and one with it."""
    argv = ["check", "--json", *sound(PROFILES[-1]), "--set", "training.guidance_scale=3.5"]
    for strict, code in (([], 0), (["--strict"], 2)):
        assert run([*argv, *strict]) == code
        assert json.loads(capsys.readouterr().out)["ok"] is (code == 0)


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_every_preset_passes_at_every_profile(profile, sound, capsys):
    """`check --strict` on the card that the profile is named for."""
    flags = sound(profile)
    for preset in names():
        code = run(
            ["check", "--strict", "--json", "--preset", preset, "--set", f"memory.profile={profile.name}", *flags]
        )
        said = json.loads(capsys.readouterr().out)
        faults = [finding for finding in said["findings"] if finding["severity"] != "info"]
        assert (code, faults, said["profile"]) == (0, [], profile.name)
        assert said["memory"]["reserved_gib"] < profile.vram_gib

"""`loraforge diagnose` reads a run folder, a log or a symptom."""

import json

import pytest

from loraforge.cli import run

OOM = "unet dtype: torch.bfloat16\ntorch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1 GiB.\n"
JOB = '[memory]\ngradient_checkpointing = true\nfp8_base = false\n[output]\nname = "ink"\n'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return the newest of two run folders of a LoRA called ink, below the working folder."""
    monkeypatch.chdir(tmp_path)
    for stamp in ("20260101-000000", "20260102-000000"):
        path = tmp_path / "runs" / "ink" / stamp
        path.mkdir(parents=True)
        (path / "job.toml").write_text(JOB)
        (path / "engine.log").write_text(OOM)
        (path / "state.json").write_text(json.dumps({"status": "failed", "returncode": 1}))
    (tmp_path / "forge.toml").write_text('[output]\nname = "ink"\n')
    return path


def test_run_folder(folder, capsys):
    """A run folder is told with its status, evidence, and the settings that would change it, on stderr."""
    assert run(["diagnose", str(folder)]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "(failed)" in err
    assert "line 2: torch.OutOfMemoryError" in err
    assert "--set memory.fp8_base=true" in err


@pytest.mark.parametrize(("end", "cause"), [("interrupted", "stopped at step 8 of 12"), ("lost", "the machine ended")])
def test_a_run_that_was_stopped_is_not_called_a_failure(folder, capsys, end, cause):
    """An engine that is told to end, or ended from outside, complains or falls silent; loraforge knows better."""
    (folder / "engine.log").write_text("Traceback (most recent call last):\nKeyboardInterrupt\n" * (end != "lost"))
    (folder / "state.json").write_text(
        json.dumps({"status": "interrupted", "end": end, "cause": cause, "returncode": 1})
    )
    assert run(["diagnose", str(folder), "--json"]) == 0
    (advice,) = json.loads(capsys.readouterr().out)["advice"]
    assert (advice["code"], advice["cause"].lower()) == (end, f"{cause}.")
    assert "--resume" in advice["fix"]


def test_newest_run(folder, capsys):
    """Without a name it is the newest run of the settings here."""
    assert run(["diagnose", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["run"] == str(folder)
    assert [item["code"] for item in document["advice"]] == ["gpu-memory-training"]
    assert document["advice"][0]["set"] == "--set memory.fp8_base=true"


def test_log_alone(tmp_path, capsys):
    """A log of someone else's run will do."""
    log = tmp_path / "train.log"
    log.write_text("ValueError: constant does not require `num_warmup_steps`. Set None or 0.\n")
    assert run(["diagnose", str(log), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["advice"][0]["code"] == "warmup-refused"


def test_half_a_state(folder, capsys):
    """A state.json that was cut off leaves the log to judge by."""
    (folder / "state.json").write_text('{"stat')
    assert run(["diagnose", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == ""


def test_settings_are_judged(folder, capsys):
    """The run's settings are judged too, since a failure often begins there."""
    (folder / "job.toml").write_text(JOB + "[training]\nprecision = 'fp16'\n")
    assert run(["diagnose", str(folder), "--json"]) == 0
    codes = {finding["code"] for finding in json.loads(capsys.readouterr().out)["findings"]}
    assert "precision-fp16" in codes


def test_settings_that_contradict_each_other_are_judged_too(folder, capsys):
    """Whatever run wrote them, its log is read and the clash named."""
    (folder / "job.toml").write_text("[memory]\nfp8_base = true\n[training]\nprecision = 'no'\n")
    (folder / "engine.log").write_text("AssertionError: fp8_base requires mixed precision='fp16' or 'bf16'\n")
    assert run(["diagnose", str(folder), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["advice"][0]["code"] == "precision-clash"
    (clash,) = [finding for finding in document["findings"] if finding["code"] == "contradiction"]
    assert (clash["where"], clash["severity"]) == ("memory.fp8_base", "error")
    assert 'needs training.precision = "bf16"' in clash["message"]


def test_symptom(tmp_path, monkeypatch, capsys):
    """A symptom needs no run; its settings start from forge.toml or the style preset."""
    monkeypatch.chdir(tmp_path)
    assert run(["diagnose", "--symptom", "deep fried", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["run"] is None
    assert document["advice"][0]["settings"] == {"optimizer.learning_rate": {"from": 1e-4, "to": 5e-5}}


def test_sound_run(folder, capsys):
    """A run in which nothing went wrong is said to be one."""
    (folder / "engine.log").write_text("model saved.\n")
    (folder / "state.json").write_text(json.dumps({"status": "done", "returncode": 0}))
    assert run(["diagnose", str(folder)]) == 0
    assert "nothing in the log" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["diagnose", "--symptom", "purple elephants"], "fits no symptom"),
        (["diagnose", "nowhere"], "can't be read"),
        (["diagnose"], "there is no run"),
    ],
)
def test_refusals(tmp_path, monkeypatch, capsys, argv, says):
    """What can't be diagnosed is refused with exit code 2 and a hint."""
    monkeypatch.chdir(tmp_path)
    assert run(argv) == 2
    err = capsys.readouterr().err
    assert says in err
    assert "→" in err


@pytest.mark.engine
def test_failed_training_explains_itself(engine_home, tmp_path, capsys):
    """A training that the engine refuses ends with its cause and the setting that mends it; diagnose says the same."""
    argv = ["demo", "--out", str(tmp_path), "--engine", "kohya", "--set", "engine.extra.color_aug=true"]
    assert run(argv) == 1
    err = capsys.readouterr().err
    assert "[augmentation-under-cache]" in err
    assert "--set engine.extra.color_aug=none" in err
    (folder,) = (tmp_path / "runs" / "demo").iterdir()
    assert run(["diagnose", str(folder), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["status"] == "failed"
    assert document["advice"][0]["code"] == "augmentation-under-cache"
    assert "augmentation-with-latent-cache" in {finding["code"] for finding in document["findings"]}

"""Recorded and reported logs are recognised; sound ones are left alone.

The logs under tests/data/failures/recorded are what the real engine printed when each failure was provoked on a tiny
model: `<code>[--variant]@<exit code>.log`.
"""

import re
import tomllib
from pathlib import Path

import pytest

from loraforge.config.job import Job
from loraforge.engine.failures import classify, signatures
from loraforge.settings import load
from loraforge.settings.schema import settings

DATA = Path(__file__).parent.parent / "data"
RECORDED = sorted((DATA / "failures" / "recorded").glob("*.log"))
HANDMADE = tomllib.loads((DATA / "failures" / "handmade.toml").read_text("utf-8"))["log"]
LEADS = {
    "starting": "",
    "loading": "Loading dataset config from dataset.toml\n",
    "caching-latents": "caching latents with caching strategy.\n",
    "caching-text": "move text encoders to gpu\n",
    "training": "unet dtype: torch.bfloat16, device: cuda:0\n",
    "sampling": "generating sample images at step / サンプル画像生成 ステップ: 100\n",
    "saving": "saving checkpoint: lora-step00000100.safetensors\n",
}


def code_of(path: Path) -> str:
    """Return the signature that a recorded log is named after."""
    return re.split(r"--|@", path.stem)[0]


def returncode_of(path: Path) -> int:
    """Return the exit code in a recorded log's name."""
    return int(path.stem.rpartition("@")[2])


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_recorded(path):
    """What the engine really printed leads to its cause first, with a line of the log as evidence."""
    text = path.read_text("utf-8")
    first = classify(text, returncode_of(path))[0]
    assert first.code == code_of(path)
    if first.evidence[0].line:
        line = text.split("\n")[first.evidence[0].line - 1]
        assert first.evidence[0].text.split("\n")[-1].split()[-1] in line


@pytest.mark.parametrize("row", HANDMADE, ids=lambda row: f"{row['code']}-{row['phase']}")
def test_reported(row):
    """What users reported leads to its cause first, in the phase where it happened."""
    text = f'{LEADS[row["phase"]]}Traceback (most recent call last):\n  File "x.py", line 1\n{row["text"]}\n'
    if row["phase"] == "training" and row["text"].startswith("steps:"):
        text = LEADS["training"] + row["text"] + "\n"
    first = classify(text, row.get("rc", 1))[0]
    assert (first.code, first.phase) == (row["code"], row["phase"])


def test_every_signature_has_a_log():
    """No signature is untested, hints apart, which come first nowhere; there are at least 51, 20 provoked for real."""
    tested = {code_of(path) for path in RECORDED} | {row["code"] for row in HANDMADE}
    assert {signature.code for signature in signatures() if signature.weight} <= tested
    assert len(signatures()) >= 51
    assert len({code_of(path) for path in RECORDED}) >= 20


@pytest.mark.parametrize("name", ["kohya-tiny", "embedded-tiny"])
def test_sound_run(name):
    """A run that ended well has nothing wrong with it, whatever warnings it printed."""
    assert classify((DATA / "logs" / f"{name}.log").read_text("utf-8"), 0) == []


def test_exit_0_without_lora():
    """An exit code of 0 counts for nothing without the engine's word that the model was saved."""
    assert [item.code for item in classify("import network module: None\n", 0)] == ["ended-without-lora"]


def test_unknown_failure_shows_its_last_word():
    """A failure outside the table is told by the engine's own exception, not by the launcher's."""
    text = (
        'Traceback (most recent call last):\n  File "a.py", line 7, in f\n    g()\nOddError: the moon is full\n'
        'Traceback (most recent call last):\n  File "l.py", line 1, in h\n'
        "subprocess.CalledProcessError: Command '['python']' returned non-zero exit status 1.\n"
    )
    (only,) = classify(text, 1)
    assert only.code == "unrecognised"
    assert "OddError: the moon is full" in only.evidence[0].text


def test_nothing_known():
    """A log that says nothing, of a run whose end is unknown, draws no diagnosis."""
    assert classify("unet dtype: torch.bfloat16\n") == []


def test_hint_follows_cause():
    """A warning that fails no run comes after what failed it."""
    text = "No caption file found for 8 images.\nRuntimeError: NaN detected in latents: a.png\n"
    assert [item.code for item in classify(text, 1)] == ["latents-nan", "captions-missing"]


def test_killed_after_failing():
    """A process group that is killed because one process failed was not killed for memory."""
    text = "torch.OutOfMemoryError: CUDA out of memory.\n"
    assert [item.code for item in classify(text, -9)] == ["gpu-memory-training"]


def test_code_in_a_traceback_is_no_evidence():
    """Source lines of a traceback hold messages of branches that were not taken."""
    text = 'Traceback (most recent call last):\n  File "a.py", line 1\n    raise E("CUDA out of memory")\nE: other\n'
    assert [item.code for item in classify(text, 1)] == ["unrecognised"]


def test_settings_are_what_differs(tmp_path):
    """Proposed settings leave out what the job already has."""
    fp8 = load(None, preset="style", assignments=["memory.fp8_base=true"], cwd=tmp_path).job
    text = LEADS["caching-text"] + "torch.OutOfMemoryError: CUDA out of memory.\n"
    assert classify(text, 1, Job())[0].settings == {"memory.fp8_base": True}
    assert classify(text, 1, fp8)[0].settings == {}


def test_remedies_name_settings():
    """Every path in the table is a setting, a table's key or an engine option."""
    free = ("engine.extra.", "launch.env.", "optimizer.args.")
    for signature in signatures():
        for path in signature.remedy.paths:
            assert path in settings() or path.startswith(free), (signature.code, path)


def test_long_logs_are_quick():
    """Ten thousand ticks of a progress bar do not hold a diagnosis up."""
    ticks = "".join(f"\rsteps:   1%| | {step}/9999 [00:01<00:02,  1.00s/it, avr_loss=0.4]" for step in range(10_000))
    assert [item.code for item in classify(f"{LEADS['training']}{ticks}\nos error 28: (os error 28)\n", 1)] == [
        "disk-full"
    ]

"""The same tests over both engines: the demo, its repetition, and a run by hand."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest
from safetensors import safe_open

from loraforge.run.folder import RunFolder
from loraforge.settings import load


def loraforge(*argv: str, cwd: Path) -> list[dict]:
    """Run loraforge in a process of its own with --json, and return its events; it must succeed."""
    done = subprocess.run(
        [sys.executable, "-m", "loraforge", *argv, "--json"],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        timeout=280,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def same_weights(first: Path, second: Path) -> bool:
    """Tell whether two LoRA files hold the same bits; their headers carry times and may differ."""
    with safe_open(first, "np") as one, safe_open(second, "np") as two:
        assert set(one.keys()) == set(two.keys())
    return tensors(first) == tensors(second)


def tensors(path: Path) -> bytes:
    """Return the bytes behind the header."""
    data = path.read_bytes()
    return data[8 + int.from_bytes(data[:8], "little") :]


class EndToEnd:
    """What must hold of a run, whichever engine trains it."""

    kind: ClassVar[str]

    @pytest.fixture(scope="class")
    @classmethod
    def events(cls, tmp_path_factory) -> list[dict]:
        """Run the demo once."""
        if cls.kind == "kohya":
            from loraforge.engine.locate import find

            if find() is None:
                pytest.skip("no sd-scripts here: run `git submodule update --init` or set LORAFORGE_ENGINE")
        home = tmp_path_factory.mktemp(f"demo {cls.kind}")
        return loraforge("demo", "--engine", cls.kind, "--out", "the demo", cwd=home)

    @pytest.fixture(scope="class")
    @classmethod
    def folder(cls, events) -> RunFolder:
        """Return the demo's run folder."""
        return RunFolder(Path(events[-1]["run"]))

    def test_the_demo_ends_in_a_proven_lora(self, events, folder):
        """It says done, and the file is there."""
        assert (events[-1]["event"], events[-1]["status"]) == ("ended", "done")
        assert Path(events[-1]["lora"]) == folder.lora("demo")
        assert json.loads(folder.state.read_text())["status"] == "done"

    def test_checkpoints_are_at_the_asked_steps(self, events, folder):
        """Every 4 of 12 steps, each proven."""
        assert list(events[-1]["checkpoints"]) == ["4", "8", "12"]
        assert list(folder.checkpoints("demo")) == [4, 8, 12]

    def test_samples_are_drawn_with_each_checkpoint(self, folder):
        """Three prompts at three steps, and before the first."""
        assert len(list(folder.samples.glob("demo_*.png"))) == 12
        assert len(list(folder.samples.glob("demo_e000000_*.png"))) == 3

    def test_metadata_equals_the_job(self, folder):
        """Rank, alpha, steps, rate and seed in the header are those asked for."""
        job = load(folder.job, cwd=folder.path).job
        with safe_open(folder.lora("demo"), "np") as file:
            metadata = file.metadata()
        expected = {
            "ss_network_dim": job.network.rank,
            "ss_network_alpha": job.network.alpha,
            "ss_steps": job.training.steps,
            "ss_max_train_steps": job.training.steps,
            "ss_learning_rate": job.optimizer.learning_rate,
            "ss_seed": job.training.seed,
        }
        assert {key: float(metadata[key]) for key in expected} == expected
        assert metadata["ss_network_module"] == "networks.lora_flux"
        assert metadata["ss_base_model_version"] == "flux1"
        assert metadata["ss_output_name"] == "demo"

    def test_every_phase_is_told_in_order(self, events):
        """From loading to the end, each phase of the run was seen."""
        phases = list(dict.fromkeys(event["phase"] for event in events if event["event"] == "phase-started"))
        order = [
            "starting",
            "loading",
            "caching-latents",
            "caching-text",
            "training",
            "saving",
            "finishing",
        ]
        assert [phase for phase in phases if phase in order] == order
        assert "sampling" in phases
        steps = [event["step"] for event in events if event["event"] == "step"]
        assert sorted(set(steps)) == list(range(1, 13))
        assert not [event for event in events if event["event"] == "problem" and event["level"] != "warning"]

    def test_the_raw_log_and_the_events_are_kept(self, events, folder):
        """The run folder holds what was seen, whole."""
        first, *diary = [json.loads(line) for line in folder.events.read_text().splitlines()]
        assert first["event"] == "surroundings"
        times = [entry.pop("at") for entry in diary]
        assert times == sorted(times)
        kept = [entry for entry in diary if entry["event"] != "memory"]
        assert kept == [event for event in events if event["event"] not in {"line", "ended"}]
        assert b"model saved." in folder.log.read_bytes()

    def test_repeating_the_run_folder_gives_the_same_bits(self, folder):
        """`loraforge train RUN` is a recipe: a new folder, the same LoRA."""
        again = loraforge("train", str(folder.path), cwd=folder.path)
        assert Path(again[-1]["run"]) != folder.path
        assert same_weights(folder.lora("demo"), Path(again[-1]["lora"]))

    def test_a_plan_started_by_hand_trains_the_same(self, folder, tmp_path):
        """run.sh needs no loraforge around it."""
        out = tmp_path / "by hand"
        done = subprocess.run(
            [sys.executable, "-m", "loraforge", "plan", str(folder.path), "--out", str(out)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        script = out / "run.sh"
        subprocess.run(
            ["bash", str(script)],
            check=True,
            capture_output=True,
            timeout=280,
            cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert same_weights(folder.lora("demo"), RunFolder(out).lora("demo"))

"""What loraforge runs goes through the shim; what it writes for manual runs does not."""

from dataclasses import replace
from pathlib import Path

import pytest
from jobs import WEIGHTS
from PIL import Image

from loraforge.advice.fast_policy import FastPlan
from loraforge.config.definite import definite
from loraforge.config.job import Job
from loraforge.dataset.staging import Entry
from loraforge.engine.locate import EngineHome
from loraforge.run.folder import RunFolder
from loraforge.run.plan import RunPlan, build_plan
from loraforge.run.quicken import _GRAPHS, quickened
from loraforge.run.settle import Ready

_ENGINE = EngineHome(Path("/opt/sd-scripts"), None, "test")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """Return a picture of FLUX's size."""
    path = tmp_path / "a.png"
    Image.new("RGB", (1024, 1024)).save(path)
    return path


def _plan(picture: Path, *, home: EngineHome | None = _ENGINE, full_size: bool = True, **sections: object) -> RunPlan:
    job = definite(Job.model_validate(sections), 20, 80.0)
    set_ = (Entry("abc", picture, "zx, a"), Entry("gone", picture.with_name("gone.png"), "zx, b"))
    return build_plan(Ready(job, WEIGHTS, full_size, home, set_), RunFolder(Path("/runs/x")))


def test_a_full_size_run_goes_through_the_shim(picture: Path) -> None:
    """Only the script differs; the parts, the figures' file and both caches are told by the environment."""
    plain = _plan(picture)
    fast = quickened(plain)
    changed = [(one, other) for one, other in zip(plain.argv, fast.argv, strict=True) if one != other]
    assert [(Path(one).name, Path(other).name) for one, other in changed] == [("flux_train_network.py", "shim.py")]
    assert fast.env["LORAFORGE_ENGINE_DIR"] == "/opt/sd-scripts"
    assert fast.env["LORAFORGE_FAST"] == "hash,encoders,segments,norms,adafactor,compile"
    assert fast.env["LORAFORGE_TELEMETRY"] == "/runs/x/steps.ndjson"
    assert Path(fast.env["TORCHINDUCTOR_CACHE_DIR"]).parent == Path(fast.env["LORAFORGE_CACHE"])
    assert (fast.files, fast.cwd) == (plain.files, plain.cwd)


def test_what_is_compiled_is_kept_where_that_can_be(picture: Path, tmp_path: Path, monkeypatch) -> None:
    """A folder of the user's own is left; where ours can't be made, and where nothing is compiled, it is torch's."""
    own = replace(_plan(picture), env={_GRAPHS: "/scratch/graphs"})
    assert quickened(own).env[_GRAPHS] == "/scratch/graphs"
    assert _GRAPHS not in quickened(_plan(picture), FastPlan(("hash",))).env
    (tmp_path / "file").touch()
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: tmp_path / "file")
    assert _GRAPHS not in quickened(_plan(picture)).env


def test_a_toy_run_is_recorded_only(picture: Path) -> None:
    """Nothing is compiled for tiny weights, but their figures are exact too."""
    fast = quickened(_plan(picture, full_size=False))
    assert "LORAFORGE_FAST" not in fast.env
    assert fast.env["LORAFORGE_TELEMETRY"] == "/runs/x/steps.ndjson"


def test_off_leaves_the_figures_and_the_whole_files(picture: Path) -> None:
    """Nothing is sped up, and the run is watched and its files are saved as ever."""
    plan = _plan(picture, engine={"fast": "off"})
    slow = quickened(plan)
    assert [Path(part).name for part in slow.argv if part not in plan.argv] == ["shim.py"]
    assert slow.env["LORAFORGE_TELEMETRY"] == "/runs/x/steps.ndjson"
    assert not {"LORAFORGE_FAST", _GRAPHS} & set(slow.env)


def test_the_embedded_engine_is_left_as_it_is(picture: Path) -> None:
    """It has no shim."""
    plan = _plan(picture, home=None, engine={"kind": "embedded"})
    assert quickened(plan) is plan

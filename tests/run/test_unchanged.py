"""A resume goes on with the same run, or is refused with every difference."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from sets import picture, small_set

from loraforge.config.job import Job
from loraforge.dataset.staging import Entry, entries
from loraforge.engine.weights import find_weights
from loraforge.errors import ConfigError
from loraforge.run.folder import RunFolder
from loraforge.run.unchanged import as_decided, note_weights, refuse_changes, refuse_pictures, refuse_weights, taken
from loraforge.settings import Settings


def _asked(**sections: dict[str, object]) -> Settings:
    origins = {f"{name}.{key}": "--set" for name, table in sections.items() for key in table}
    return Settings(Job.model_validate(sections), origins, Path())


def test_changed_settings_are_refused_by_name():
    """Another rank is another run, and so is another count of processes or a lost option; another launch is not."""
    run = Job.model_validate({"engine": {"extra": {"flip_aug": True, "network_weights": "a.safetensors"}}})
    free = {
        "launch": {"grace_seconds": 5.0, "gpu_ids": "1", "env": {"OMP_NUM_THREADS": "2"}},
        "output": {"dir": Path("elsewhere")},
    }
    refuse_changes(run, Job.model_validate({**free, "engine": {"extra": {"flip_aug": True}, "fast": "off"}}))
    with pytest.raises(ConfigError) as caught:
        refuse_changes(run, Job.model_validate({"network": {"rank": 8}, "launch": {"processes": 2}}))
    assert caught.value.message.splitlines()[1:] == [
        "  network.rank: 16 then, 8 now",
        "  launch.processes: 1 then, 2 now",
        "  engine.extra.flip_aug: true then, none now",
    ]


def test_what_the_run_changed_by_itself_is_no_difference():
    """A run that took less memory goes on with the settings it was begun with, too."""
    run = Job.model_validate({"memory": {"gradient_checkpointing": True}})
    now = Job.model_validate({"memory": {"gradient_checkpointing": False}})
    refuse_changes(run, now, {"memory.gradient_checkpointing"})
    with pytest.raises(ConfigError, match="gradient_checkpointing"):
        refuse_changes(run, now)


def test_what_may_change_is_taken_where_it_is_said():
    """Launch, engine and places of weights come from this start; what it leaves open, and what was healed, stays."""
    run = Job.model_validate(
        {
            "launch": {"gpu_ids": "0", "grace_seconds": 9.0},
            "engine": {"fast": "off", "path": "then"},
            "network": {"rank": 4},
        }
    )
    asked = _asked(
        launch={"gpu_ids": "1", "env": {"OMP_NUM_THREADS": "2"}},
        engine={"fast": "on"},
        model={"t5xxl": "moved.safetensors"},
        network={"rank": 8},
    )
    job = taken(run, asked, {"engine.fast"})
    assert (job.launch.gpu_ids, job.launch.grace_seconds, job.launch.env) == ("1", 9.0, {"OMP_NUM_THREADS": "2"})
    assert (job.engine.fast, job.engine.path) == ("off", Path("then"))
    assert job.model.t5xxl == Path("moved.safetensors")
    assert job.network.rank == 4, "what may not change is for refuse_changes"


@pytest.fixture
def begun(tmp_path) -> list[Entry]:
    """Return what a run has staged of a folder `pics`: p0 to p2."""
    return entries(small_set(tmp_path / "pics"), "zx", "encoders")


def test_the_same_pictures_go_on(begun, tmp_path):
    """Renamed they are the same; so are they when the weights that read them can't be known, or the folder is gone."""
    pictures = tmp_path / "pics"
    refuse_pictures(begun, pictures, "zx")
    for suffix in (".png", ".txt"):
        (pictures / f"p1{suffix}").rename(pictures / f"a{suffix}")
    refuse_pictures(begun, pictures, "zx")
    shutil.rmtree(pictures)
    refuse_pictures(begun, pictures, "zx")
    refuse_pictures(begun, None, "zx")


def test_other_pictures_are_refused_by_name(begun, tmp_path):
    """An edited caption, an edited picture, one more and one less, all at once."""
    pictures = tmp_path / "pics"
    (pictures / "p0.txt").write_text("another thing\n")
    picture(pictures / "p1.png", (1, 2, 3))
    (pictures / "p2.png").unlink()
    picture(pictures / "p3.png", (9, 9, 9))
    with pytest.raises(ConfigError) as caught:
        refuse_pictures(begun, pictures, "zx")
    assert caught.value.message.splitlines()[1:] == [
        "  p0.png: another caption",
        "  p1.png: another picture",
        "  p2.png: gone",
        "  p3.png: new",
    ]
    assert "--from-weights" in caught.value.hint


def test_a_second_copy_is_a_difference(begun, tmp_path):
    """Training sees it twice then."""
    for suffix in (".png", ".txt"):
        shutil.copy(tmp_path / f"pics/p0{suffix}", tmp_path / f"pics/copy{suffix}")
    with pytest.raises(ConfigError, match=r"copy\.png: new"):
        refuse_pictures(begun, tmp_path / "pics", "zx")


def test_an_emptied_folder_is_told(begun, tmp_path):
    """In the words that say what is wrong with it."""
    for path in (tmp_path / "pics").iterdir():
        path.unlink()
    with pytest.raises(ConfigError, match=r"not those of the run:\n.*holds no pictures"):
        refuse_pictures(begun, tmp_path / "pics", "zx")


@pytest.fixture
def files(tmp_path, layouts, write_weights):
    """Return four weight files that were found."""
    for name, shapes in layouts.items():
        write_weights(tmp_path / "models" / name, shapes)
    return find_weights(Job().model, {"LORAFORGE_MODELS": str(tmp_path / "models")}).weights()


def test_other_weights_are_refused(tmp_path, files):
    """A file that was moved is the same; one that differs is named, whether under another path or its old one."""
    folder = RunFolder(tmp_path)
    refuse_weights(folder, files)  # of a run of an earlier version nothing was noted
    note_weights(folder, files)
    moved = replace(files, t5xxl=files.t5xxl.rename(tmp_path / "moved.safetensors"))
    refuse_weights(folder, moved)
    moved.t5xxl.write_bytes(moved.t5xxl.read_bytes()[:-1] + b"\1")
    note_weights(folder, moved)  # once: it is what the run began with that counts
    with pytest.raises(ConfigError) as caught:
        refuse_weights(folder, moved)
    assert caught.value.message.splitlines()[1:] == [f"  model.t5xxl: {moved.t5xxl}"]


@pytest.mark.parametrize("text", ["", "[]", "null", '{"t5xxl": 3}', "{"])
def test_a_damaged_note_of_the_weights_tells_nothing(tmp_path, files, text):
    """The run goes on as one of which nothing was noted."""
    folder = RunFolder(tmp_path)
    folder.weights.write_text(text)
    refuse_weights(folder, files)


def test_another_card_decides_nothing_for_a_run_that_goes_on():
    """What nobody set stays as the run has it; what was set, by itself or by a profile, is compared."""
    run = Job.model_validate({"memory": {"profile": "80gb", "gradient_checkpointing": False}})
    small = {"profile": "24gb", "gradient_checkpointing": True, "fp8_base": True}
    now = Job.model_validate({"memory": small})
    refuse_changes(run, as_decided(run, _asked(network={"rank": 16}), now))
    for asked in (_asked(memory={"gradient_checkpointing": True}), _asked(memory={"profile": "24gb"})):
        with pytest.raises(ConfigError, match="gradient_checkpointing: false then, true now"):
            refuse_changes(run, as_decided(run, asked, now))

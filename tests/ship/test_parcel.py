import json
import re

import pytest
from fake_runs import make_run, write_lora

from loraforge.cli.ship import ship
from loraforge.compare.choice import remember
from loraforge.compare.recommend import Recommendation
from loraforge.config.job import Job
from loraforge.errors import ConfigError, MachineError
from loraforge.run.history import read_run
from loraforge.ship.card import Card, render_card
from loraforge.ship.lora_file import read_lora
from loraforge.ship.metadata import Words, words_of
from loraforge.ship.parcel import Order, pack

HOSTILE = "<script>alert(1)</script> | `x` [a](b)\n# head"


def _pack(run, folder, **order):
    words = order.pop("words", None) or words_of(run.job, author="Ada", license_="CC BY 4.0")
    return pack(run, Order(words, **order), folder)


def test_the_header_helps_and_hides(tmp_path):
    """Trigger, rank, base and settings stay; folders, tags and unknown keys go; modelspec is filled."""
    run = read_run(make_run(tmp_path / "1").path)
    parcel = _pack(run, tmp_path / "out", step=200)
    metadata = read_lora(parcel.lora).metadata
    assert "secret" not in json.dumps(metadata)
    assert not {"ss_dataset_dirs", "ss_tag_frequency", "ss_datasets"} & set(metadata)
    for key, value in {
        "ss_network_dim": "4",
        "ss_sd_model_name": "flux1-dev.safetensors",
        "ss_steps": "200",
        "modelspec.author": "Ada",
        "modelspec.license": "CC BY 4.0",
        "modelspec.trigger_phrase": "zxqv",
        "modelspec.architecture": "flux-1-dev/lora",
    }.items():
        assert metadata[key] == value
    assert metadata["modelspec.thumbnail"].startswith("data:image/jpeg;base64,")
    assert re.fullmatch("0x[0-9a-f]{64}", metadata["modelspec.hash_sha256"])


def test_what_was_asked_for_is_kept(tmp_path):
    """Folder names and tag frequencies stay on request."""
    run = read_run(make_run(tmp_path / "1").path)
    assert "ss_tag_frequency" in read_lora(_pack(run, tmp_path / "out", keep_data=True).lora).metadata


def test_the_weights_are_the_checkpoints(tmp_path):
    """Float16 goes to bf16; nothing else changes."""
    run = read_run(make_run(tmp_path / "1").path)
    before, after = read_lora(run.loras()[100]), read_lora(_pack(run, tmp_path / "out", step=100).lora)
    assert set(before.tensors) == set(after.tensors)
    assert all(
        abs(after.tensors[name] - value).max() <= abs(value).max() / 200 for name, value in before.tensors.items()
    )


def test_the_recommended_step_is_the_default(tmp_path):
    """Without --step: what compare said, else the last; a recommendation whose file is gone is not followed."""
    folder = make_run(tmp_path / "1")
    run = read_run(folder.path)
    assert "may find" in _pack(run, tmp_path / "out").notes[0]
    remember(run, Recommendation(None, None, 0.0, ()))
    assert "could not tell" in _pack(run, tmp_path / "out").notes[0]
    remember(run, Recommendation(200, (200, 200), 1.0, ("the style has saturated", "it <b>burns</b> later")))
    parcel = _pack(run, tmp_path / "out")
    assert parcel.step == 200
    card = (tmp_path / "out" / "README.md").read_text()
    assert "Why this checkpoint: the style has saturated; it \\<b\\>burns" in card
    assert "recommended" in parcel.notes[0]
    folder.checkpoint("art", 200).unlink()
    assert _pack(run, tmp_path / "out").step == 300


def test_nothing_of_an_earlier_parcel_stays(tmp_path):
    """A converted file or samples of another checkpoint must not be handed on."""
    run = read_run(make_run(tmp_path / "1").path)
    out = tmp_path / "out"
    parcel = _pack(run, out, step=100)
    (out / "art-diffusers.safetensors").write_bytes(b"old")
    (out / "samples" / "09.jpg").write_bytes(b"old")
    (out / "mine.txt").write_text("kept")
    parcel = _pack(run, out, step=200)
    found = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert found == {*parcel.files, "mine.txt", ".loraforge-parcel"}


def test_files_of_others_are_not_replaced(tmp_path):
    """A folder that is not empty and no parcel is refused as it stands; RUN/ship is ours whatever lies in it."""
    run, out = read_run(make_run(tmp_path / "1").path), tmp_path / "project"
    (out / "samples").mkdir(parents=True)
    for name in ("README.md", "samples/01.jpg"):
        (out / name).write_text("mine")
    with pytest.raises(ConfigError, match="not empty"):
        _pack(run, out)
    assert {path.read_text() for path in out.rglob("*") if path.is_file()} == {"mine"}
    (run.folder.path / "ship").mkdir()
    (run.folder.path / "ship/README.md").write_text("of an older version")
    assert _pack(run, run.folder.path / "ship").step == 300


def test_a_lower_rank_is_told(tmp_path):
    """Rank and alpha in the header are the new ones, and the card has the error."""
    run = read_run(make_run(tmp_path / "1").path)
    parcel = _pack(run, tmp_path / "out", rank=2)
    metadata = read_lora(parcel.lora).metadata
    assert (metadata["ss_network_dim"], metadata["ss_network_alpha"]) == ("2", "2.0")
    assert parcel.error is not None
    assert "Reduced from rank 4 to 2" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize(
    ("harm", "step", "says"),
    [
        (lambda _run: None, 150, "no such checkpoint"),
        (lambda run: run.checkpoint("art", 100).write_bytes(b"\x10"), 100, "not a .safetensors"),
        (
            lambda run: run.checkpoint("art", 100).write_bytes(run.checkpoint("art", 100).read_bytes()[:-9]),
            100,
            "cut off",
        ),
    ],
)
def test_what_cannot_be_shipped(harm, step, says, tmp_path):
    """An unknown step, a damaged or truncated file: words and a hint."""
    folder = make_run(tmp_path / "1")
    harm(folder)
    with pytest.raises(ConfigError, match=says) as caught:
        _pack(read_run(folder.path), tmp_path / "out", step=step)
    assert caught.value.hint


def test_a_run_without_checkpoints(tmp_path):
    """There is nothing to ship, and it says so."""
    folder = make_run(tmp_path / "1")
    for path in folder.output.glob("*.safetensors"):
        path.unlink()
    with pytest.raises(ConfigError, match="no LoRA to ship"):
        _pack(read_run(folder.path), tmp_path / "out")


def test_a_checkpoint_without_metadata(tmp_path):
    """The header is told by the run's settings instead."""
    folder = make_run(tmp_path / "1")
    run = read_run(folder.path)
    job = {
        "network": {"rank": 4, "alpha": 4.0},
        "optimizer": {"learning_rate": 1e-4},
        "training": {"seed": 1, "steps": 9},
        "output": {"name": "art"},
    }
    write_lora(folder.checkpoint("art", 100), job, 100, metadata=False)
    parcel = _pack(run, tmp_path / "out", step=100)
    assert read_lora(parcel.lora).metadata["ss_network_dim"] == "4"
    assert any("no metadata" in note for note in parcel.notes)


def test_a_folder_that_cannot_be_made(tmp_path):
    """A file in the folder's place is told."""
    (tmp_path / "out").write_text("a file")
    with pytest.raises(MachineError, match="can't be written"):
        _pack(read_run(make_run(tmp_path / "1").path), tmp_path / "out")


def test_odd_names_are_shipped(tmp_path, capsys):
    """Quotes, brackets and blanks in the name are part of the file's name; without samples there is no thumbnail."""
    name = "it's [my] art & ü"
    folder = make_run(tmp_path / "1", name=name, prompts=[])
    options = dict.fromkeys(("step", "out", "rank", "title", "author", "license_", "data_license", "publish"))
    assert ship(folder.path, **options, diffusers=False, keep_data=False, public=False) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["lora"] == str(folder.path / "ship" / f"{name}.safetensors")
    assert "modelspec.thumbnail" not in read_lora(folder.path / "ship" / f"{name}.safetensors").metadata


def test_hostile_words_make_no_markup():
    """Titles, prompts and licences of other people are text in the card, and its front matter stays YAML."""
    yaml = pytest.importorskip("yaml")
    job = Job.model_validate({"dataset": {"trigger": "zx"}, "training": {"steps": 10}})
    words = Words(HOSTILE, HOSTILE, HOSTILE, HOSTILE, (HOSTILE,))
    card = Card("a.safetensors", None, 4, 4, 5, samples=[(HOSTILE, "samples/01.jpg")], data_licence=HOSTILE)
    text = render_card(card, words, job)
    _, front, body = text.split("---\n", 2)
    assert yaml.safe_load(front)["tags"][-1] == HOSTILE
    assert "<script>" not in body
    assert "\n# head" not in body
    assert body.count("| ![](samples/01.jpg) |") == 1

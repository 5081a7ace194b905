"""Captioning a folder."""

import pytest
from PIL import Image

from loraforge.captioning.batch import Settings, caption_pictures, plan_folder
from loraforge.dataset.caption_history import CaptionHistory
from loraforge.errors import DatasetError, MachineError

SETTINGS = Settings("fake", "zxq", "sparse", 30)


class Fake:
    """Says the colour of a picture; fails on black ones, alone or in company."""

    name = "fake"
    longest_side = 16

    def __init__(self, limit=None) -> None:
        self.batches = []
        self.limit = limit

    def describe(self, pictures):
        if self.limit is not None and sum(self.batches) >= self.limit:
            raise KeyboardInterrupt
        if any(picture.getpixel((0, 0)) == (0, 0, 0) for picture in pictures):
            raise ValueError("odd picture")
        assert all(max(picture.size) <= 16 for picture in pictures)
        self.batches.append(len(pictures))
        return [f"a painting of a {'red' if p.getpixel((0, 0))[0] > 99 else 'blue'} cat in a garden" for p in pictures]


@pytest.fixture
def folder(tmp_path):
    """Five pictures."""
    for name in "abcde":
        Image.new("RGB", (64, 32), "red").save(tmp_path / f"{name}.png")
    return tmp_path


def _run(folder, captioner, settings=SETTINGS, *, overwrite=False, batch_size=2):
    history = CaptionHistory(folder)
    plan = plan_folder(folder, settings, history, overwrite=overwrite)
    return plan, list(caption_pictures(plan.todo, captioner, settings, history, batch_size=batch_size, workers=2))


def _texts(folder):
    return {path.stem: path.read_text() for path in sorted(folder.glob("*.txt"))}


def test_all_pictures_get_trimmed_captions_in_batches(folder):
    """Batches are as large as asked; the trigger stands first."""
    captioner = Fake()
    _, outcomes = _run(folder, captioner)
    assert captioner.batches == [2, 2, 1]
    assert _texts(folder) == dict.fromkeys("abcde", "zxq, cat in garden\n")
    assert [outcome.picture.stem for outcome in outcomes] == list("abcde")


def test_dense_keeps_the_sentence(folder):
    """Density decides what of a description is kept."""
    _run(folder, Fake(), Settings("fake", "zxq", "dense", 30))
    assert _texts(folder)["a"] == "zxq, a red cat in a garden\n"


def test_a_persons_caption_is_kept_unless_told_otherwise(folder):
    """--overwrite replaces it, and undo brings it back."""
    (folder / "b.txt").write_text("by hand")
    plan, _ = _run(folder, Fake())
    assert [path.stem for path in plan.kept] == ["b"]
    assert _texts(folder)["b"] == "by hand"
    _run(folder, Fake(), overwrite=True)
    assert _texts(folder)["b"] == "zxq, cat in garden\n"
    CaptionHistory(folder).undo()
    assert _texts(folder)["b"] == "by hand"


def test_an_empty_caption_file_is_nobodys(folder):
    """White space is not a person's text; what can't be read is left alone."""
    (folder / "a.txt").write_text(" \n")
    (folder / "b.txt").mkdir()
    plan, _ = _run(folder, Fake())
    assert [path.stem for path in plan.kept] == ["b"]
    assert (folder / "a.txt").read_text() == "zxq, cat in garden\n"


def test_a_second_call_goes_on_where_the_first_stopped(folder):
    """After an interruption only the rest is captioned; after completion nothing is."""
    with pytest.raises(KeyboardInterrupt):
        _run(folder, Fake(limit=2))
    assert list(_texts(folder)) == ["a", "b"]
    captioner = Fake()
    plan, _ = _run(folder, captioner)
    assert [path.stem for path in plan.done] == ["a", "b"]
    assert sum(captioner.batches) == 3
    plan, _ = _run(folder, Fake())
    assert plan.todo == ()


@pytest.mark.parametrize(
    "settings",
    [
        Settings("other", "zxq", "sparse", 30),
        Settings("fake", "new", "sparse", 30),
        Settings("fake", "zxq", "dense", 30),
    ],
)
def test_other_settings_caption_again_what_is_ours(folder, settings):
    """Our own captions are replaced when model, trigger or density change; a person's stay."""
    _run(folder, Fake())
    (folder / "c.txt").write_text("changed by hand")
    plan, _ = _run(folder, Fake(), settings)
    assert [path.stem for path in plan.todo] == ["a", "b", "d", "e"]
    assert _texts(folder)["c"] == "changed by hand"


def test_bad_pictures_are_reported_and_the_rest_go_on(folder):
    """Undecodable, vanished, and one the model chokes on in the middle of a batch."""
    (folder / "a.png").write_bytes(b"\x89PNG broken")
    Image.new("RGB", (64, 32), "black").save(folder / "d.png")
    history = CaptionHistory(folder)
    plan = plan_folder(folder, SETTINGS, history)
    (folder / "e.png").unlink()
    outcomes = list(caption_pictures(plan.todo, Fake(), SETTINGS, history, batch_size=5))
    assert {outcome.picture.stem: bool(outcome.fault) for outcome in outcomes} == {
        "a": True, "b": False, "c": False, "d": True, "e": True,
    }  # fmt: skip
    assert "odd picture" in outcomes[3].fault
    assert list(_texts(folder)) == ["b", "c"]


def test_a_caption_that_cannot_be_kept_is_not_replaced(folder):
    """A folder in the caption's place, or a file without permission, costs that picture only."""
    (folder / "b.txt").mkdir()
    _, outcomes = _run(folder, Fake(), overwrite=True)
    assert "can't be read" in outcomes[1].fault
    assert sorted(path.stem for path in folder.glob("*.txt") if path.is_file()) == ["a", "c", "d", "e"]


def test_a_machine_fault_stops_everything(folder):
    """Running out of memory on a single picture is not the picture's fault."""

    class Small(Fake):
        def describe(self, pictures):
            raise MachineError(f"no memory for {len(pictures)}", "")

    with pytest.raises(MachineError):
        _run(folder, Small())


def test_pictures_of_one_stem_share_a_caption(folder):
    """The second is named, not captioned over the first."""
    Image.new("RGB", (8, 8), "blue").save(folder / "a.webp")
    plan, outcomes = _run(folder, Fake())
    assert [path.name for path in plan.shared] == ["a.webp"]
    assert len(outcomes) == 5


def test_no_pictures_is_a_dataset_fault(tmp_path):
    """An empty and a missing folder are told."""
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(DatasetError):
            plan_folder(folder, SETTINGS, CaptionHistory(folder))


def test_odd_file_names_are_captioned(tmp_path):
    """Line breaks and emoji in names."""
    for name in ("a\nb", "🌸", " spaced "):
        Image.new("RGB", (8, 8), "red").save(tmp_path / f"{name}.png")
    _run(tmp_path, Fake())
    assert set(_texts(tmp_path)) == {"a\nb", "🌸", " spaced "}

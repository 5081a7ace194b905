"""Where tokenizers are found."""

import shutil
import sys

from loraforge.trigger import find_tokenizers


def _environment(tmp_path, **more):
    return {"HF_HOME": str(tmp_path / "none"), **more}


def test_places_are_tried_in_order(tmp_path, clip_folder, t5_folder):
    """A named folder, a model folder, the hub's cache."""
    assert find_tokenizers([clip_folder.parent], _environment(tmp_path)).clip.source == clip_folder
    models = tmp_path / "models"
    shutil.copytree(t5_folder, models / "tokenizers" / t5_folder.name)
    shutil.copytree(clip_folder, models / "tokenizer")  # FLUX in diffusers layout
    found = find_tokenizers((), _environment(tmp_path, LORAFORGE_MODELS=str(models)))
    assert found.t5.source == models / "tokenizers" / t5_folder.name
    assert found.clip.source == models / "tokenizer"
    assert found.missing == ()
    cached = tmp_path / "hub" / "hub" / "models--google--t5-v1_1-xxl" / "snapshots" / "abc"
    shutil.copytree(t5_folder, cached)
    found = find_tokenizers((), {"HF_HOME": str(tmp_path / "hub")})
    assert found.t5.source == cached
    assert [text for text in found.missing if "CLIP-L" in text]


def test_nothing_found_is_said(tmp_path):
    """Both are named."""
    found = find_tokenizers([tmp_path], _environment(tmp_path))
    assert found.present == []
    assert found.missing == ("CLIP-L's tokenizer is not on this machine", "T5's tokenizer is not on this machine")


def test_a_damaged_tokenizer_is_told_and_the_next_place_tried(tmp_path, t5_folder):
    """Damage is no reason to stop looking."""
    broken = tmp_path / "broken" / t5_folder.name
    broken.mkdir(parents=True)
    (broken / "spiece.model").write_bytes(b"half")
    found = find_tokenizers([broken.parent], _environment(tmp_path))
    assert any(str(broken) in text for text in found.missing)
    found = find_tokenizers([broken.parent, t5_folder.parent], _environment(tmp_path))
    assert found.t5.source == t5_folder


def test_a_missing_library_is_told(tmp_path, t5_folder, monkeypatch):
    """Without the tokenizers package, it is named."""
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    found = find_tokenizers([t5_folder.parent], _environment(tmp_path))
    assert "T5's tokenizer can't be read: the Python package tokenizers is not installed" in found.missing


def test_a_cache_that_may_not_be_read_is_passed_over(tmp_path, t5_folder, monkeypatch):
    """Another user's cache is no reason to fail."""

    def refused(_environ):
        raise PermissionError(13, "Permission denied")
        yield

    monkeypatch.setattr("loraforge.trigger.sources.model_folders", refused)
    found = find_tokenizers([t5_folder.parent], _environment(tmp_path))
    assert found.t5.source == t5_folder
    assert found.clip is None

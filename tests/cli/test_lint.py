import json

import pytest
from make_sets import TRIGGER, make_set

from loraforge.cli import run


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a small sound set, with the cache in a folder of its own and no tokenizers."""
    for name in ("XDG_CACHE_HOME", "HF_HOME", "LORAFORGE_MODELS"):
        monkeypatch.setenv(name, str(tmp_path / "cache"))
    return make_set(tmp_path / "set", "flat", 3)


def test_json_is_one_document_on_stdout(folder, capsys):
    """--json prints findings and facts; warnings alone exit with 0."""
    assert run(["lint", str(folder), "--trigger", TRIGGER, "--no-text", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert set(document) == {"folder", "findings", "pictures"}
    assert [finding["code"] for finding in document["findings"]] == ["few-pictures", "trigger-unchecked"]
    assert set(document["findings"][0]) == {"code", "severity", "where", "message", "fix"}
    assert {"file", "caption", "size", "bucket", "cropped_percent", "upscaled"} <= set(document["pictures"][0])


def test_dataset_errors_exit_with_4(folder, capsys):
    """A broken picture, an empty folder and a missing one all end with 4, people's text on stderr."""
    (folder / "broken.png").touch()
    assert run(["lint", str(folder), "--no-text"]) == 4
    assert run(["lint", str(folder / "missing"), "--no-text"]) == 4
    (folder / "empty").mkdir()
    assert run(["lint", str(folder / "empty"), "--no-text"]) == 4
    out, err = capsys.readouterr()
    assert out == ""
    assert "broken.png" in err
    assert "Traceback" not in err


def test_html_is_written(folder, tmp_path, capsys):
    """--html writes the page and says where."""
    page = tmp_path / "page.html"
    assert run(["lint", str(folder), "--no-text", "--html", str(page)]) == 0
    assert page.read_text("utf-8").startswith("<!doctype html>")
    assert str(page) in capsys.readouterr().err.replace("\n", "")
    assert run(["lint", str(folder), "--no-text", "--html", str(tmp_path / "no" / "page.html")]) == 2


@pytest.mark.parametrize("wrong", ["big", "1024x", "100", "1x2x3", "99999"])
def test_wrong_resolutions_exit_with_2(folder, wrong, capsys):
    """A size that can't be trained is a usage error."""
    assert run(["lint", str(folder), "--no-text", "--resolution", wrong]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_resolution_and_buckets_are_used(folder, capsys):
    """--resolution decides the buckets, as one number or as width and height."""
    assert run(["lint", str(folder), "--no-text", "--json", "--resolution", "512x768"]) == 0
    for picture in json.loads(capsys.readouterr().out)["pictures"]:
        assert picture["bucket"][0] * picture["bucket"][1] <= 512 * 768


@pytest.mark.parametrize("images", [True, False])
def test_check_says_once_what_is_wrong_with_the_trigger(folder, images, capsys):
    """`check` judges the trigger in lint's words, with pictures and without, and never twice."""
    pictures = ["--set", f"dataset.images={folder}"] if images else []
    run(["check", "--set", "dataset.trigger=zxy_style", *pictures, "--json"])
    findings = json.loads(capsys.readouterr().out)["findings"]
    told = [finding["code"] for finding in findings if '"style"' in finding["message"]]
    assert told == ["trigger-contains-style-word"]

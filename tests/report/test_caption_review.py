"""The review page."""

import re
import shutil
import subprocess

import pytest
from PIL import Image

from loraforge.errors import ConfigError, DatasetError
from loraforge.report.caption_review import write_review


def test_the_page_holds_all_pictures_and_escapes_everything(tmp_path):
    """Hostile captions and names are text; the page loads nothing from elsewhere."""
    folder = tmp_path / "set <b>"
    folder.mkdir()
    for name, text in {
        "a": "zxq, woman in garden",
        "<img src=x onerror=alert(1)>": "<script>alert(1)</script>",
        "line\nbreak 🌸": "x" * 1_000_000,
        "quote\"'": "a\x00b\x1b[31m\u202e",
    }.items():
        Image.new("RGB", (40, 20), "red").save(folder / f"{name}.png")
        (folder / f"{name}.txt").write_text(text)
    (folder / "bad.png").write_bytes(b"no picture")
    page = tmp_path / "review.html"
    assert write_review(folder, page, "zxq") == 5
    html = page.read_text()
    assert html.count("<figure") == 5
    assert html.count("<script>") == 1  # our own
    assert "&lt;script&gt;alert(1)" in html
    assert "<img src=x" not in html
    assert "<mark>zxq</mark>, woman in garden" in html
    assert "the trigger does not stand first" in html
    assert html.count("data:image/jpeg") == 4
    assert len(html) < 100_000
    assert not re.search(r"(src|href)=\"?(http|//)", html)


def test_faults_are_told(tmp_path):
    """A missing folder is the dataset's fault, an impossible page the caller's."""
    with pytest.raises(DatasetError):
        write_review(tmp_path / "none", tmp_path / "page.html")
    with pytest.raises(ConfigError, match="can't be written"):
        write_review(tmp_path, tmp_path / "none" / "page.html")


@pytest.mark.browser
@pytest.mark.spawns
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Debian's chromium")
def test_a_browser_shows_captions_and_runs_none(tmp_path):
    """Chromium draws every card, and a hostile caption stays text."""
    for name, text in {
        "a": "zxq, woman",
        "b": "<script>document.title='hacked'</script>",
        "c": '"><svg onload=1>',
        "<img src=x onerror=document.title='hacked'>": "\x1b[31m\x07\u202ered",
        "two\nlines 🌸": "x" * 1_000_000,
    }.items():
        Image.new("RGB", (40, 20), "red").save(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.txt").write_text(text)
    page = tmp_path / "page.html"
    write_review(tmp_path, page, "zxq")
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    seen = subprocess.run(
        [*command, "--dump-dom", page.as_uri()], capture_output=True, text=True, check=True, timeout=90
    )
    assert seen.stdout.count("<figure") == 5
    assert seen.stdout.count("<img") == 5
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", seen.stdout)
    assert len(seen.stdout) < 100_000
    assert "<title>Captions of" in seen.stdout
    assert "&lt;script&gt;document.title='hacked'" in seen.stdout
    assert "<svg" not in seen.stdout

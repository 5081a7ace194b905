"""Pages in Debian's headless Chromium: a script is put into the page, and its findings are read from the DOM."""

import html.parser
import json
import shutil
import subprocess
from pathlib import Path

import pytest

_NAME = shutil.which("chromium") or shutil.which("chromium-browser")
_FLAGS = [
    "--no-sandbox",
    "--headless",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
]
_PROBE = """<script>
addEventListener("load", () => {
  const answer = {};
  const key = (name) => document.dispatchEvent(new KeyboardEvent("keydown", {key: name, bubbles: true}));
  try { (() => { %s })(); } catch (error) { answer.thrown = String(error); }
  answer.error = document.documentElement.dataset.error ?? null;
  answer.ready = document.documentElement.dataset.ready ?? null;
  answer.broken = [...document.images].filter((image) => image.src && !image.naturalWidth).length;
  answer.overflow = document.documentElement.scrollWidth - innerWidth;
  document.title = JSON.stringify(answer);
});
</script></body>"""


class _Title(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.inside, self.text = False, ""

    def handle_starttag(self, tag, _attrs):
        self.inside = tag == "title" and not self.text  # drawings have titles too

    def handle_endtag(self, _tag):
        self.inside = False

    def handle_data(self, data):
        self.text += data if self.inside else ""


def ask(page: Path, scratch: Path, script: str = "", width: int = 1280) -> dict:
    """Open a page, run a script that fills `answer`, and return it with errors, broken pictures and overflow.

    Args:
        page: the .html file.
        scratch: folder for the browser's profile.
        script: JavaScript with `answer` and `key(name)` in reach.
        width: of the window in pixels, at least 500, Chromium's least.
    """
    if _NAME is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    probed = page.with_suffix(".probed.html")
    probed.write_text(page.read_text("utf-8").replace("</body>", _PROBE % script), "utf-8")
    window = [f"--window-size={width},900", f"--user-data-dir={scratch / 'profile'}", "--enable-logging=stderr"]
    done = subprocess.run(
        [_NAME, *_FLAGS, *window, "--dump-dom", probed.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    parser = _Title()
    parser.feed(done.stdout)
    answer = json.loads(parser.text)
    answer["console"] = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    return answer


def phone(page: Path, width: int = 390) -> Path:
    """Return a page that shows another in a frame of a phone's width: Chromium's window can't be that narrow."""
    framed = page.with_suffix(".phone.html")
    source = page.read_text("utf-8").replace("&", "&amp;").replace('"', "&quot;")
    frame = f'<iframe id="frame" style="width:{width}px;height:800px;border:0" srcdoc="{source}"></iframe>'
    framed.write_text(f"<!doctype html><html><head><title></title></head><body>{frame}</body></html>", "utf-8")
    return framed

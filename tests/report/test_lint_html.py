import html.parser
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from make_sets import TRIGGER, draw
from PIL import Image

from loraforge.config.dataset import Buckets
from loraforge.dataset.lint import LintOptions, Report, lint
from loraforge.errors import ConfigError
from loraforge.report import lint_html

HOSTILE = '<script>document.documentElement.dataset.error="caption ran"</script><img src=x onerror="boom()">'
OPTIONS = LintOptions(trigger=TRIGGER, text=False, buckets=Buckets(enabled=False))
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox",
    "--headless",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Report:
    """Lint a set with hostile names and captions, a broken file and pictures that are cropped."""
    folder = tmp_path_factory.mktemp("set")
    for index, name in enumerate(["<b>bold.png", "new\nline.png", "😀 & 'quoted\".png", "plain.png"]):
        draw("flat", index, size=(900, 600))[0].save(folder / name)
        (folder / f"{name[:-4]}.txt").write_text(f"{TRIGGER}, {HOSTILE}\x07 {{{{ 7 * 7 }}}} {index}" + " x" * 500_000)
    (folder / "broken.png").write_text("no picture")
    turned = Image.Exif()
    turned[0x0112] = 6
    draw("flat", 6, size=(900, 600))[0].save(folder / "turned.jpg", exif=turned)
    return lint(folder, OPTIONS)


class Elements(html.parser.HTMLParser):
    """Collects what a browser would make elements of."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attrs):
        """Remember one element."""
        self.tags.append((tag, dict(attrs)))


def elements(page: str) -> list[tuple[str, dict[str, str | None]]]:
    """Return the elements of a page."""
    parser = Elements()
    parser.feed(page)
    return parser.tags


def test_everything_foreign_is_escaped(report):
    """Markup in names and captions makes no element, and control characters are written out."""
    page = lint_html.render(report)
    tags = elements(page)
    assert sum(tag == "script" for tag, _ in tags) == 2
    assert not any(name.startswith("on") for _, attributes in tags for name in attributes)
    assert "&lt;script&gt;" in page
    assert "{{ 7 * 7 }}" in page
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", page)


def test_nothing_is_loaded_from_elsewhere(report):
    """Every picture is inside the page, and a policy forbids the rest."""
    tags = elements(lint_html.render(report))
    sources = [attributes["src"] for tag, attributes in tags if tag == "img"]
    assert len(sources) == 5
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert not any(tag in {"link", "iframe", "object", "a"} for tag, _ in tags)
    policy = next(a["content"] for _, a in tags if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy


def test_cards_crops_and_chart(report):
    """Each picture has a card; 900×600 cut to a square shows its middle two thirds; the chart counts the bucket."""
    page = lint_html.render(report)
    assert page.count("<figure") == 6
    assert "left:16.67%;top:0.0%;width:66.67%;height:100.0%" in page
    assert "left:0.0%;top:16.67%;width:100.0%;height:66.67%" in page  # turned.jpg stands upright
    assert "1024×1024</text>" in page
    assert "picture-unreadable" in page


def test_large_folders_show_findings_first(report, monkeypatch):
    """Above the limit only some pictures are shown, those with findings before the others."""
    monkeypatch.setattr(lint_html, "_MOST_CARDS", 2)
    clean = replace(report, findings=(), about=())
    assert lint_html.render(clean).count("<figure") == 2
    assert "2 of 6 pictures are shown" in lint_html.render(clean)
    assert lint_html.render(report).count("<figure") == 2


def test_a_page_that_cannot_be_written(report, tmp_path):
    """A missing folder is an error with a hint, not a traceback."""
    with pytest.raises(ConfigError) as caught:
        lint_html.write(report, tmp_path / "missing" / "page.html")
    assert caught.value.hint


@pytest.mark.browser
@pytest.mark.spawns
def test_a_browser_runs_it_without_an_error(report, tmp_path):
    """In headless Chromium the page's script runs to its end, nothing foreign runs, and every picture decodes."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    page = tmp_path / "page.html"
    lint_html.write(report, page)
    probe = (
        "<script>addEventListener('load', () => { const broken = [...document.images].filter((i) => !i.naturalWidth);"
    )
    probe += " document.documentElement.dataset.broken = broken.length; });</script></body>"
    text = page.read_text("utf-8").replace('loading="lazy" ', "").replace("</body>", probe)
    page.write_text(text, "utf-8")
    done = subprocess.run(
        [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    root = next(attributes for tag, attributes in elements(done.stdout) if tag == "html")
    assert root.get("data-ready") == "yes", done.stderr[-2000:]
    assert "data-error" not in root
    assert root.get("data-broken") == "0"


def test_the_page_is_written_whole(report, tmp_path):
    """The file is the rendered page in UTF-8."""
    page = tmp_path / "page.html"
    lint_html.write(report, page)
    assert page.read_text("utf-8") == lint_html.render(report)
    assert Path(page).stat().st_size < 1_000_000

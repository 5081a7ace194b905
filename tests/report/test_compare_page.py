import json
from dataclasses import replace

import numpy as np
import pytest
from browsers import ask, phone
from fake_runs import make_run
from PIL import Image

from loraforge.cli.compare import compare
from loraforge.compare.grid import Version, from_training
from loraforge.compare.judge import judge
from loraforge.report.compare_page import contact_sheet, render_compare
from loraforge.run.history import read_run

HOSTILE = '</title><script>document.documentElement.dataset.error="ran"</script><img src=x onerror=boom()> {{ 7*7 }}'
PROMPTS = ["{trigger}, " + HOSTILE, "{trigger}, \"quoted\" 'name'", "a cat & a dog"]


def make_art(folder, count=4):
    """Draw a few pictures to compare with."""
    folder.mkdir()
    rng = np.random.default_rng(7)
    paths = [folder / f"{index}.png" for index in range(count)]
    for path in paths:
        small = Image.fromarray(rng.integers(0, 255, (4, 4, 3), dtype=np.uint8))
        small.resize((96, 96), Image.Resampling.NEAREST).save(path)
    return paths


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Make a run with hostile prompts and name."""
    return read_run(make_run(tmp_path_factory.mktemp("runs") / "1", prompts=PROMPTS, name="art 'x' & <b>"[:10]).path)


@pytest.fixture(scope="module")
def judged(run, tmp_path_factory):
    """Judge its samples."""
    return judge(from_training(run), make_art(tmp_path_factory.mktemp("set") / "art"))


def test_every_picture_has_a_place(run, judged):
    """Three prompts at three checkpoints and the base, each once, with numbers beside all but the base."""
    page = render_compare(run.name, [judged], judged)
    assert page.count('<img alt="" src="data:image/jpeg;base64,') == 12
    assert page.count('<div class="small">') == 9
    assert page.count('data-with="without"') == 1


def test_prompts_and_names_are_text(run, judged):
    """No markup of theirs becomes an element, and templates in them are not run."""
    page = render_compare(run.name, [judged], judged)
    assert page.count("<script>") == 2
    assert "onerror=boom()>" not in page
    assert "{{ 7*7 }}" in page


def test_a_large_comparison_stays_small(tmp_path):
    """Ten checkpoints by twelve prompts of noise, which compresses worst, stay under 20 MB; so do 200 checkpoints."""
    folder = make_run(tmp_path / "1", steps=(100,), prompts=["{trigger}, a"], base=False)
    read = read_run(folder.path)
    grid = from_training(read)
    noise = tmp_path / "noise.png"
    rng = np.random.default_rng(1)
    Image.fromarray(rng.integers(0, 255, (1024, 1024, 3), dtype=np.uint8)).save(noise)
    plain = tmp_path / "plain.png"
    Image.new("RGB", (1024, 1024)).save(plain)
    # The third has plain pictures just where a look at every fifteenth would find them.
    for columns, lines, every in ((10, 12, 0), (200, 6, 0), (10, 12, 15)):
        versions = tuple(Version(step) for step in range(1, columns + 1))
        places = [(row, version) for row in range(lines) for version in versions]
        cells = {place: plain if every and not index % every else noise for index, place in enumerate(places)}
        large = replace(grid, versions=versions, rows=grid.rows * lines, cells=cells)
        one = replace(judge(replace(grid, cells={}), []), grid=large)
        assert len(render_compare("art", [one], one)) < 20_000_000


def test_the_sheet_has_all_pictures(judged):
    """The sheet is columns by rows, and no larger than can be opened, even with 200 checkpoints."""
    sheet = contact_sheet(judged.grid, chosen=200, side=64)
    assert sheet.size == (4 * 72 + 8, 3 * 94 + 34)
    assert [sheet.getpixel((8 + column * 72, 29)) == (180, 71, 46) for column in range(4)] == [
        False,
        False,
        True,
        False,
    ]
    many = replace(judged.grid, versions=tuple(Version(step) for step in range(1, 201)), cells={})
    assert max(contact_sheet(many).size) <= 20_000


def _call(path, **options):
    defaults = {"generate": False, "strengths": "1", "prompts": None, "out": None, "sheet": None, "embed": None}
    return compare(path, **{**defaults, "as_json": True, **options})


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda run: [path.unlink() for path in run.samples.iterdir()], "not two checkpoints"),
        (lambda run: min(run.samples.iterdir()).write_bytes(b"\x89PNG\r\n\x1a\n half"), "can't be"),
        (lambda run: run.manifest.unlink(missing_ok=True), "the training set is not there"),
        (lambda run: run.events.unlink(), "page:"),
        (lambda run: (run.samples / "stranger.png").write_bytes(b"x"), "page:"),
    ],
)
def test_odd_runs_are_told(harm, says, tmp_path, capsys):
    """Missing samples, a half-written one, a lost training set: a page and clear words, never a traceback."""
    folder = make_run(tmp_path / "1")
    paths = make_art(tmp_path / "art")
    rows = [{"staged": str(index), "source": str(path), "caption": "x"} for index, path in enumerate(paths)]
    folder.manifest.write_text(json.dumps(rows))
    harm(folder)
    assert _call(folder.path) == 0
    captured = capsys.readouterr()
    assert says in captured.err.replace("damaged", "can't be").replace("not a picture", "can't be")
    assert "recommendation" in json.loads(captured.out)
    assert (folder.path / "compare.html").is_file()
    assert (folder.path / "compare.png").is_file()


_KEYS = """
let loads = 0;
const source = Object.getOwnPropertyDescriptor(HTMLImageElement.prototype, "src");
Object.defineProperty(byId("over"), "src", {
  get() { return source.get.call(this); },
  set(value) { loads++; source.set.call(this, value); },
});
const cells = [...document.querySelectorAll(".grid button")];
cells[0].click();
answer.open = box.open;
answer.first = byId("left").textContent;
key("ArrowRight"); answer.second = byId("left").textContent; answer.scores = byId("scores").textContent;
byId("on").click(); byId("back").click(); answer.again = byId("left").textContent;
key("ArrowDown"); answer.down = byId("prompt").textContent;
other.value = cells[3].dataset.label; other.dispatchEvent(new Event("change"));
answer.against = byId("right").textContent;
slide.value = 25; slide.dispatchEvent(new Event("input"));
answer.quarter = parseFloat(byId("edge").style.left) - +stage.dataset.margin;
answer.width = stage.clientWidth - 2 * stage.dataset.margin;
answer.clip = byId("over").style.clipPath;
key(" "); answer.flipped = slide.value;
key(","); answer.nudged = slide.value;
key("ArrowRight"); answer.kept = other.value;
byId("close").click(); answer.closed = !box.open;
byId("search").value = "cat"; byId("search").dispatchEvent(new Event("input"));
answer.found = document.querySelectorAll("tbody tr:not([hidden])").length;
byId("search").value = ""; document.querySelector("[data-show=without]").click();
answer.without = document.querySelectorAll("tbody tr:not([hidden])").length;
byId("numbers").click();
byId("side").value = 20; byId("side").dispatchEvent(new Event("input"));
answer.side = document.querySelector(".grid tr:not([hidden]) img").getBoundingClientRect().width;
answer.before = loads; cells[0].click(); draw(); draw(); answer.loads = loads - answer.before; box.close();
answer.numbers = document.querySelectorAll(".small:not([hidden])").length;
"""


@pytest.mark.browser
@pytest.mark.spawns
def test_in_a_browser(run, judged, tmp_path):
    """Enlarging, keys, slider and filters work; there is no error, and a phone scrolls only inside the grid."""
    page = tmp_path / "page.html"
    page.write_text(render_compare(run.name, [judged], judged), "utf-8")
    answer = ask(page, tmp_path, _KEYS)
    assert (answer["ready"], answer["error"], answer["broken"], answer["console"]) == ("yes", None, 0, [])
    assert "thrown" not in answer
    assert answer["overflow"] <= 0
    assert (answer["open"], answer["first"], answer["second"]) == (True, "base", "step 100")
    assert "style" in answer["scores"]
    assert answer["again"] == "step 100"
    assert answer["side"] == 320
    assert '"quoted"' in answer["down"]
    assert (answer["against"], answer["kept"]) == ("step 300", "step 300")
    assert answer["quarter"] == pytest.approx(answer["width"] / 4, abs=2)
    assert answer["clip"].startswith("inset(")
    assert (answer["flipped"], answer["nudged"], answer["closed"]) == ("100", "95", True)
    assert answer["loads"] == 1, "the picture is loaded again with every drawing, which never ends"
    assert (answer["found"], answer["without"], answer["numbers"]) == (1, 1, 0)
    script = "answer.wide = document.getElementById('frame').contentDocument.documentElement.scrollWidth"
    assert ask(phone(page), tmp_path, script)["wide"] <= 390

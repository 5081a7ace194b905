import json
import re
from pathlib import Path

import pytest
from browsers import ask, phone
from fake_runs import make_run

from loraforge.cli.report import report
from loraforge.report.run_page import render_run, settings_with_origin
from loraforge.run.history import read_run
from loraforge.run.lock import NAME, take

HOSTILE = '</title><script>document.documentElement.dataset.error="ran"</script><img src=x onerror=boom()> {{ 7*7 }}'


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Make a run with hostile prompts."""
    prompts = [HOSTILE, "{trigger}, 'quoted\" name", "a cat"]
    return make_run(tmp_path_factory.mktemp("runs") / "art 'x'" / "1", prompts=prompts, name="art 'x' & co").path


def test_everything_is_on_the_page(folder):
    """Outcome, curves, phases, checkpoints, samples, settings, environment and the command."""
    page = render_run(read_run(folder))
    assert page.count('<svg class="chart"') == 5
    assert page.count("<img alt=") == 12
    assert page.count(">proven<") == 3
    for text in ("300 of 300", "22.0 GiB" if "22.0 GiB" in page else "21.0 GiB", "Test Card", "30 min"):
        assert text in page
    assert "loraforge train" in page
    assert 'http-equiv="refresh"' not in page


def test_hostile_names_and_prompts_are_text(folder):
    """No markup of theirs becomes an element."""
    page = render_run(read_run(folder))
    assert page.count("<script>") == 2
    assert "onerror=boom()>" not in page
    assert "{{ 7*7 }}" in page


def test_an_early_failure_makes_a_page(tmp_path):
    """Without diary, samples or checkpoints the page says so."""
    run = make_run(tmp_path / "r", steps=(2,), status="failed")
    for file in [run.events, run.log, *run.output.glob("*.safetensors"), *run.samples.iterdir()]:
        file.unlink()
    page = render_run(read_run(run.path))
    for text in (
        "No step was trained",
        "kept no times",
        "There is none yet",
        "No samples were drawn",
        "did not record",
    ):
        assert text in page


def test_odd_files_are_told_not_fatal(tmp_path):
    """A half-written sample is left blank, a damaged checkpoint is named, an old diary has no times."""
    run = make_run(tmp_path / "r", times=False)
    picture = min(run.samples.iterdir())
    picture.write_bytes(picture.read_bytes()[:40])
    run.checkpoint("art", 100).write_bytes(b"<html>")
    page = render_run(read_run(run.path))
    assert "is a web page" in page
    assert page.count("<img alt=") == 11
    assert "kept no times" in page


def test_watching_ends_with_the_run(tmp_path, capsys, monkeypatch):
    """While the run goes on the page loads itself again; the last one does not."""
    run = make_run(tmp_path / "r", steps=(2,), prompts=[])
    done = json.loads(run.state.read_text())
    lock = take(run.path / NAME, "")
    run.state.write_text(json.dumps(done | {"status": "running"}))
    seen = []

    def wait(_seconds):
        seen.append((run.path / "report.html").read_text())
        run.state.write_text(json.dumps(done))
        lock.release()

    monkeypatch.setattr("time.sleep", wait)
    assert report(run.path, out=None, watch=True, every=3) == 0
    assert len(seen) == 1
    assert re.search(r'http-equiv="refresh" content="3"', seen[0])
    assert 'http-equiv="refresh"' not in (run.path / "report.html").read_text()
    assert capsys.readouterr().out == f"{run.path / 'report.html'}\n"


def test_exact_figures_are_preferred(tmp_path):
    """Where every step was measured, the page shows these and not what the engine's mean lets be recovered."""
    page = render_run(read_run(make_run(tmp_path / "r", exact=True).path))
    for text in ("every step", "As the optimizer had it", "19.8 GiB", "took 19.75 at most, its tensors 18.25", "1.2 s"):
        assert text in page
    assert "three digits" not in page


def test_settings_say_where_they_come_from(tmp_path):
    """Each setting is told with the layer on record; an old run has no record and says so."""
    run = make_run(tmp_path / "r", steps=(2,), prompts=[])
    origins = {path: origin for path, _, origin in settings_with_origin(read_run(run.path))}
    assert (origins["dataset.trigger"], origins["network.targets"]) == ("not recorded", "default")
    run.origins.write_text(json.dumps({"optimizer.name": "preset style", "dataset.trigger": "/home/ada/forge.toml"}))
    origins = {path: origin for path, _, origin in settings_with_origin(read_run(run.path))}
    assert (origins["optimizer.name"], origins["dataset.trigger"]) == ("preset style", "forge.toml")
    assert origins["network.rank"] == "default"


@pytest.mark.browser
@pytest.mark.spawns
def test_in_a_browser(folder, tmp_path):
    """No error, no broken picture, nothing wider than the window; at a phone's width neither."""
    page = tmp_path / "page.html"
    page.write_text(render_run(read_run(folder)), "utf-8")
    answer = ask(page, tmp_path)
    assert (answer["ready"], answer["error"], answer["broken"], answer["console"]) == ("yes", None, 0, [])
    assert answer["overflow"] <= 0
    script = "answer.wide = document.getElementById('frame').contentDocument.documentElement.scrollWidth"
    assert ask(phone(page), tmp_path, script)["wide"] <= 390

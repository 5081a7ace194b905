"""What the verbs share."""

import os

from loraforge.cli.common import human, load_settings
from loraforge.engine.locate import locate
from loraforge.report.plain import PlainView
from loraforge.report.view import choose_view


def test_the_option_beats_the_variable(tmp_path, monkeypatch):
    """`--engine` is asked for now; $LORAFORGE_ENGINE was set some time, and beats what a settings file names."""
    for name in ("now", "then"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "flux_train_network.py").touch()
    monkeypatch.setenv("LORAFORGE_ENGINE", str(tmp_path / "then"))
    assert locate(configured=tmp_path / "now", environ=os.environ).path == tmp_path / "then"
    settings = load_settings(None, engine=tmp_path / "now")
    assert settings.origins["engine.path"] == "--engine"
    assert locate(configured=settings.job.engine.path, environ=os.environ).path == tmp_path / "now"


def test_colours_in_a_file_are_no_panel(monkeypatch):
    """FORCE_COLOR, which CI services set, asks for colours; a panel that is drawn over itself needs a terminal."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    console = human()
    assert console.is_terminal
    assert isinstance(choose_view(console, json=False), PlainView)

"""The demo's own part: art and weights, made once."""

import pytest

from loraforge.cli import demo as verb
from loraforge.cli.demo import demo_settings
from loraforge.dataset.synthetic import draw_art_set


def test_an_interrupted_demo_leaves_no_half_of_its_art(tmp_path, monkeypatch):
    """The next one draws all of it."""

    def interrupted(folder, **_):
        (draw_art_set(folder, count=1)[0]).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(verb, "make_tiny_flux_once", lambda folder: folder)
    with monkeypatch.context() as patch:
        patch.setattr(verb, "draw_art_set", interrupted)
        with pytest.raises(KeyboardInterrupt):
            demo_settings(tmp_path / "out", "embedded", [])
    assert not list((tmp_path / "out").iterdir())
    job = demo_settings(tmp_path / "out", "embedded", []).job
    assert len(list(job.dataset.images.glob("*.png"))) == 8

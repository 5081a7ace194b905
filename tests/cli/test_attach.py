"""What `loraforge attach` says of a run that is over."""

from fake_runs import make_run

from loraforge.cli import run


def test_a_run_that_is_done_needs_no_stopping(tmp_path, capsys):
    """It is told as done; going on with it would be refused."""
    folder = make_run(tmp_path / "r", steps=(2, 4), prompts=[])
    assert run(("attach", str(folder.path), "--stop")) == 0
    said = capsys.readouterr().err
    assert "done: " in said
    assert "--resume" not in said


def test_a_lora_that_is_gone_is_not_called_done(tmp_path, capsys):
    """What was proven once may have been moved since."""
    folder = make_run(tmp_path / "a b", steps=(2, 4), prompts=[])
    folder.lora("art").unlink()
    assert run(("attach", str(folder.path))) == 2
    said = capsys.readouterr().err
    assert "is gone" in said
    assert f"loraforge train '{folder.path}'" in said

import pytest
from fake_runs import make_run, write_sample

from loraforge.compare.samples import samples_of
from loraforge.run.history import read_run


def test_samples_are_told_by_their_names(tmp_path):
    """Step, prompt and seed come from the file name, the prompt's text from the settings."""
    samples = samples_of(read_run(make_run(tmp_path / "1").path))
    assert len(samples) == 12
    assert (samples[0].step, samples[0].index, samples[0].seed) == (0, 0, 1)
    assert samples[0].prompt == "zxqv, a lighthouse"


def test_what_is_drawn_before_the_first_step_is_the_bases(tmp_path):
    """The engine calls it epoch 0; what it draws after later epochs is no step's."""
    folder = make_run(tmp_path / "1")
    assert len(list(folder.samples.glob("art_e000000_*"))) == 3
    (folder.samples / "art_e000002_00_20270101000000_1.png").write_bytes(b"")
    assert [sample.step for sample in samples_of(read_run(folder.path))].count(0) == 3


def test_of_two_for_one_place_the_newest_counts(tmp_path):
    """A resumed run draws a step again."""
    folder = make_run(tmp_path / "1")
    newer = write_sample(folder, "art", 100, 0, "20260202000000")
    assert newer in {sample.path for sample in samples_of(read_run(folder.path))}
    assert len(samples_of(read_run(folder.path))) == 12


@pytest.mark.parametrize("name", ["art_2", "a[1]rt", 'it\'s "art" ü'[:4]])
def test_odd_names_do_not_confuse(name, tmp_path):
    """Underscores, digits and signs of globs in the name of the LoRA are part of it."""
    folder = make_run(tmp_path / "1", name=name)
    for stray in ("art_e000001_00_20260101000000.png", "other_000100_00_20260101000000_1.png", f"{name}.png"):
        (folder.samples / stray).write_bytes(b"")
    assert len(samples_of(read_run(folder.path))) == 12


def test_prompts_that_the_settings_no_longer_have(tmp_path):
    """A sample beyond the settings' prompts is called by its number."""
    folder = make_run(tmp_path / "1")
    write_sample(folder, "art", 100, 7)
    assert samples_of(read_run(folder.path))[-1].prompt == "prompt 8"

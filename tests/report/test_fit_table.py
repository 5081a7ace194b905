"""`check --table`."""

from loraforge.advice.facts import WeightFacts
from loraforge.advice.fitting import decided
from loraforge.advice.forecast import forecast
from loraforge.config.job import Job
from loraforge.report.fit_table import as_text, fit_table

JOB = Job.model_validate({"sampling": {"prompts": ["a cat"]}})
SEEN = forecast(decided(JOB, 20, 24), None, None, 24, WeightFacts())


def test_every_common_size_has_a_row():
    """Eight cards, each with what fits and how fast."""
    title, header, *rows = as_text(fit_table(JOB, SEEN)).splitlines()
    assert title.startswith("up to 1024 x 1024, batch 1, rank 16, adafactor")
    assert header.split()[:3] == ["card", "fits", "checkpointing"]
    assert [int(row.split()[0]) for row in rows] == [8, 10, 12, 16, 24, 32, 48, 80]
    assert rows[1].split()[2:5] == ["with", "fp8", "T5"]
    for row in rows[:2]:  # where it takes the smaller file, the peak is the one with it
        peak = next(float(word) for word in row.split()[5:] if "." in word)
        assert peak < int(row.split()[0])
    assert all(row.split()[2] == "yes" for row in rows[2:])
    assert ["measured" in row for row in rows] == [False] * 7 + [True]


def test_what_the_user_fixed_holds_on_every_card():
    """A job in bf16 fits no small card, and the table says so."""
    job = Job.model_validate({"memory": {"fp8_base": False}})
    rows = as_text(fit_table(job, SEEN)).splitlines()[2:]
    assert [row.split()[2] for row in rows] == ["no"] * 5 + ["yes"] * 3

"""The parts that pay are chosen, and those that do not are told why."""

import pytest

from loraforge.advice.fast_policy import choose, compile_cost, token_counts
from loraforge.config.job import Job

_SQUARE = [(1024, 1024)] * 20


def _job(**sections: dict[str, object]) -> Job:
    return Job.model_validate({"memory": {"gradient_checkpointing": False}, **sections})


def test_pictures_of_one_token_count_share_a_graph() -> None:
    """Upright and lying pictures of a size count once; each further length costs a compilation."""
    job = _job()
    assert token_counts([(1024, 1024), (832, 1216), (1216, 832)], job) == {4096, 3952}
    both = [(1024, 1024), (832, 1216)]
    assert compile_cost(job, both) > compile_cost(job, _SQUARE) > 0


def test_what_an_earlier_run_has_compiled_costs_little() -> None:
    """With its graphs found even a short run compiles; for another batch, or a length that is new, they don't count."""
    job, both = _job(), [(1024, 1024), (832, 1216)]
    assert 0 < compile_cost(job, _SQUARE, {(1, 4096)}) < 10
    assert compile_cost(job, _SQUARE, {(2, 4096)}) == compile_cost(job, _SQUARE)
    assert compile_cost(job, both, {(1, 4096)}) > compile_cost(job, _SQUARE)
    for compiled, expected in (((), False), ({(1, 4096)}, True)):
        parts = choose(job, _SQUARE, steps=40, full_size=True, compiled=compiled).parts
        assert ("compile" in parts) is expected


@pytest.mark.parametrize(
    ("sections", "steps", "parts"),
    [
        ({}, 500, {"hash", "encoders", "segments", "norms", "adafactor", "compile"}),
        ({}, 20, {"hash", "encoders", "segments", "norms", "adafactor"}),
        ({"engine": {"fast": "on"}}, 20, {"hash", "encoders", "segments", "norms", "adafactor", "compile"}),
        ({"engine": {"fast": "off"}}, 500, set()),
        ({"engine": {"kind": "embedded"}}, 500, set()),
        ({"launch": {"device": "cpu"}}, 500, set()),
        ({"optimizer": {"name": "adamw"}}, 500, {"hash", "encoders", "segments", "norms", "compile"}),
        ({"launch": {"processes": 2}}, 500, {"hash", "encoders", "segments", "norms", "adafactor"}),
        ({"network": {"module_dropout": 0.1}}, 500, {"hash", "encoders", "segments", "norms", "adafactor"}),
        (
            {"memory": {"cache_text_encoders": "off", "gradient_checkpointing": True}},
            500,
            {"hash", "segments", "norms", "adafactor", "compile"},
        ),
        (
            {"memory": {"gradient_checkpointing": True, "blocks_to_swap": 28}},
            500,
            {"hash", "encoders", "segments", "norms", "adafactor", "swap", "compile"},
        ),
    ],
)
def test_choice(sections: dict[str, dict[str, object]], steps: int, parts: set[str]) -> None:
    """A run of the usual length takes all that apply; a short one does not compile."""
    chosen = choose(_job(**sections), _SQUARE, steps=steps, full_size=True)
    assert set(chosen.parts) == parts
    assert ("compile" in parts) == (not chosen.left_out)


def test_a_toy_model_runs_as_it_is() -> None:
    """Tiny weights gain nothing, unless the user insists."""
    assert choose(_job(), _SQUARE, steps=500, full_size=False).parts == ()
    assert "compile" in choose(_job(engine={"fast": "on"}), _SQUARE, steps=12, full_size=False).parts


def test_the_choice_is_told_in_one_line() -> None:
    """What is on comes first, then what is not and why."""
    short = choose(_job(), _SQUARE, steps=20, full_size=True).as_text()
    assert (
        short == "hash, encoders, segments, norms, adafactor; "
        "without compile: compiling takes about 30 s, and 20 steps save about 6 s"
    )
    assert choose(_job(engine={"fast": "off"}), [], steps=9, full_size=True).as_text() == 'none: engine.fast is "off"'

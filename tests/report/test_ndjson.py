"""Every event is one JSON object on one line."""

import io
import json
import math

import pytest

from loraforge.engine.events import CheckpointSaved, Event, Facts, Line, ModelSaved, Problem, Step
from loraforge.report.ndjson import NdjsonView


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (
            Step(10, 500, 2.04, 0.457),
            {
                "event": "step",
                "step": 10,
                "total": 500,
                "seconds_per_step": 2.04,
                "average_loss": 0.457,
                "learning_rate": None,
            },
        ),
        (
            Step(2, 5, None, math.nan),
            {
                "event": "step",
                "step": 2,
                "total": 5,
                "seconds_per_step": None,
                "average_loss": None,
                "learning_rate": None,
            },
        ),
        (CheckpointSaved('C:\\a "b".safetensors'), {"event": "checkpoint-saved", "path": 'C:\\a "b".safetensors'}),
        (Facts("total-steps", 500), {"event": "facts", "key": "total-steps", "value": 500}),
        (Line("学習\u2028", "stderr"), {"event": "line", "text": "学習\u2028", "stream": "stderr"}),
        (Problem("traceback", "a\nb"), {"event": "problem", "level": "traceback", "text": "a\nb"}),
        (ModelSaved(), {"event": "model-saved"}),
    ],
)
def test_events_as_json(event: Event, expected: dict[str, object]) -> None:
    """Names are kebab-case, fields keep theirs, and what JSON can't hold is null."""
    out = io.StringIO()
    view = NdjsonView(out)
    view.handle(event)
    view.tick(1.0)
    view.close()
    assert out.getvalue().count("\n") == 1
    assert json.loads(out.getvalue()) == expected

"""sd-scripts, end to end, on tiny weights."""

import pytest
from end_to_end import EndToEnd


@pytest.mark.engine
class TestKohya(EndToEnd):
    kind = "kohya"

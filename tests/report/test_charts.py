import xml.etree.ElementTree as ET  # parses our own drawings

import pytest

from loraforge.report.charts import Mark, Series, line_chart, span_text, ticks, timeline


def parsed(drawn):
    """Parse a drawing."""
    return ET.fromstring(drawn)  # noqa: S314  # our own


def test_a_chart_is_well_formed_and_escaped():
    """Names cannot add markup, and every number is finite."""
    name = '<script>"x"&'
    drawn = line_chart(
        [Series(name, [(0, 1), (5, float("nan")), (10, 3)])], x_name=name, y_name=name, marks=[Mark(5, name)]
    )
    root = parsed(drawn)
    assert root.get("aria-label") == name
    assert not [element for element in root.iter() if element.tag == "script"]
    assert "nan" not in drawn.replace(name, "")


def test_nothing_to_draw_draws_nothing():
    """Fewer than two points, or none that are finite, give an empty string."""
    assert line_chart([], x_name="x", y_name="y") == ""
    assert line_chart([Series("s", [(1, 1)])], x_name="x", y_name="y") == ""
    assert timeline([]) == ""


def test_long_lines_are_thinned():
    """Ten thousand points are drawn as some hundreds, the last among them."""
    drawn = line_chart([Series("s", [(float(x), 1.0 + x) for x in range(10_000)])], x_name="x", y_name="y")
    points = parsed(drawn).find("polyline").get("points").split()
    assert len(points) <= 602
    assert points[-1].startswith("418.0,")


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.0001, 0.00011), (-3, 700), (5, 5), (0, 0), (1e9, 2e9)])
def test_ticks_enclose_the_data(low, high):
    """Three to eight round numbers with the data between the outer ones."""
    found = ticks(low, high)
    assert 2 <= len(found) <= 8
    assert found[0] <= low + 1e-9
    assert found[-1] >= high - abs(high) * 1e-9


def test_a_timeline_has_a_row_a_phase():
    """Two visits of one phase share a row and are added up."""
    drawn = timeline([("training", 0, 10), ("sampling", 10, 15), ("training", 15, 95)])
    root = parsed(drawn)
    assert len(root.findall("rect")) == 3
    assert [text.text for text in root.findall("text")] == ["training", "1 min 30 s", "sampling", "5.0 s"]


@pytest.mark.parametrize(("seconds", "text"), [(0.043, "0.043 s"), (2.34, "2.3 s"), (59, "59 s"), (3700, "1 h 1 min")])
def test_spans(seconds, text):
    """Short times keep their digits, long ones lose them."""
    assert span_text(seconds) == text

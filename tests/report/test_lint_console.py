import io

from make_sets import TRIGGER, make_set
from rich.console import Console

from loraforge.dataset.lint import LintOptions, lint
from loraforge.report import lint_console


def _shown(report, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    lint_console.show(report, console)
    return console.file.getvalue()


def test_findings_are_grouped_and_nothing_is_markup(tmp_path):
    """Equal findings share one line, names with brackets are printed as they are, and the verdict counts."""
    make_set(tmp_path, "flat", 3)
    for name in ("[red]a.png", "b\n.png", "c.png"):
        (tmp_path / name).touch()
    text = _shown(lint(tmp_path, LintOptions(trigger=TRIGGER, text=False)))
    assert "3× [red]a.png, b\\n.png, c.png" in text
    assert text.count("[picture-zero-bytes]") == 1
    assert "few-pictures" in text
    assert "3 errors" in text
    assert "a run would not start" in text
    assert text.index("Files") < text.index("The set") < text.index("Where pictures are trained")


def test_no_line_is_cut(tmp_path):
    """On a narrow terminal lines wrap; every word is still there."""
    make_set(tmp_path, "flat", 1)
    text = _shown(lint(tmp_path, LintOptions(text=False)), width=50)
    assert all(len(line) <= 50 for line in text.splitlines())
    assert "learns the pictures by heart" in " ".join(text.split())


def test_a_clean_set_is_praised(tmp_path):
    """Without findings there is one friendly line and the buckets."""
    make_set(tmp_path, "flat", 16)
    text = _shown(lint(tmp_path, LintOptions(trigger=TRIGGER, text=False)))
    assert "Nothing to complain about." in text
    assert "█" in text

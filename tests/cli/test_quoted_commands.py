"""Commands that findings quote must be commands that loraforge takes."""

import importlib
import re
import shlex

import pytest
import typer

from loraforge.cli import VERBS
from loraforge.dataset.lint import RULES
from loraforge.trigger import Tokenizers, trigger_findings

QUOTED = re.compile(r"`(loraforge [^`]+)`")


def told() -> set[str]:
    """Return all that lint and the trigger's judge tell people to do."""
    words = ["two words", "style", "zxy_style", "Zxqv", "zxqv" * 6, "zxß"]
    missing = Tokenizers(missing=("no tokenizer",))
    findings = [finding for word in words for finding in trigger_findings(word, [word.upper()], missing)]
    rules = {text for rule in RULES.values() for text in (rule.fix, rule.reason)}
    return rules | {text for finding in findings for text in (finding.fix, finding.message)}


COMMANDS = sorted({command for text in told() for command in QUOTED.findall(text)})


@pytest.mark.parametrize("command", COMMANDS)
def test_quoted_commands_parse(command):
    """Verb, options and arguments of a quoted command are taken as they stand."""
    _, verb, *arguments = shlex.split(command)
    app = typer.Typer()
    module = VERBS[verb][0]
    app.command(verb)(getattr(importlib.import_module(f"loraforge.cli.{module}"), module))
    context = typer.main.get_command(app).make_context(verb, arguments)
    assert context.info_name == verb


def test_commands_are_quoted():
    """Commands stand between backticks, where the test above finds them."""
    assert any(command.startswith("loraforge caption") for command in COMMANDS)
    for text in told():
        assert "loraforge " not in QUOTED.sub("", text), text

"""Pasted shell text becomes the commands its author meant."""

import time

import pytest

from loraforge.advice.importer.clean import cleaned
from loraforge.advice.importer.shell import parse


def codes(text: str) -> tuple[list[list[str]], set[str]]:
    """Return the commands of a text and the codes of its faults."""
    clean, findings = cleaned(text)
    commands = parse(clean)
    faults = [finding for command in commands for finding in command.findings()]
    return [command.words for command in commands], {finding.code for finding in [*findings, *faults]}


@pytest.mark.parametrize(
    ("text", "words", "faults"),
    [
        ("launch --a 1 \\\n  --b 2", ["launch", "--a", "1", "--b", "2"], set()),
        ("launch --a 1 `\n  --b 2", ["launch", "--a", "1", "--b", "2"], set()),
        ("launch --a 1 ^\n  --b 2", ["launch", "--a", "1", "--b", "2"], set()),
        ("launch --a 1 \\  # why\n  --b 2", ["launch", "--a", "1", "--b", "2"], {"comment-after-continuation"}),
        ("launch \\\n# why\n  --b 2", ["launch", "--b", "2"], {"comment-inside-command"}),
        ("launch --a \\ \n  --b 2", ["launch", "--a", "--b", "2"], {"space-after-continuation"}),
        ("launch --a \\ --b 2", ["launch", "--a", "--b", "2"], {"space-after-continuation"}),
        ("launch --a\n  --b 2", ["launch", "--a", "--b", "2"], {"missing-continuation"}),
        ("launch --a # why\n  --b 2", ["launch", "--a", "--b", "2"], {"missing-continuation"}),
        ("launch --a ^\n --b \\\n --c", ["launch", "--a", "--b", "--c"], {"foreign-continuation"}),
        ("launch --a “x y”", ["launch", "--a", "x y"], {"smart-quotes"}),
        ("launch —a 1 –-b 2", ["launch", "--a", "1", "--b", "2"], {"typographic-dash"}),
        ("launch --a &quot;x&quot;<br>", ["launch", "--a", "x"], {"html-entities"}),
        ("$ launch --a 1", ["launch", "--a", "1"], {"shell-prompt"}),
        ("PS C:\\x> launch --a 1", ["launch", "--a", "1"], {"shell-prompt"}),
        ("(venv) me@host:~/x$ launch --a 1", ["launch", "--a", "1"], {"shell-prompt"}),
        ("!launch --a 1", ["launch", "--a", "1"], {"shell-prompt"}),
        ('launch --a "x --b 2', ["launch", "--a", "x", "--b", "2"], {"unclosed-quote"}),
        ("launch --a C:\\x\\y", ["launch", "--a", "C:\\x\\y"], {"windows-path-in-bash"}),
        ('launch --a "C:\\x\\" --b', ["launch", "--a", "C:\\x\\", "--b"], set()),
        ("launch --a $X", ["launch", "--a", "$X"], {"unset-variable"}),
        ("launch --a x\\ y", ["launch", "--a", "x y"], set()),
        ("launch --a 0.0 \\--b=1 \\\n --c", ["launch", "--a", "0.0", "--b=1", "--c"], set()),
        ("launch --a .\\x\\y", ["launch", "--a", ".\\x\\y"], set()),
        ("```bash\nlaunch --a 1\n```", ["launch", "--a", "1"], set()),
        ('["launch", "--a", "1"]', ["launch", "--a", "1"], set()),
        ("launch --a 1 > log.txt 2>&1", ["launch", "--a", "1"], set()),
        ("launch --a <your path>", ["launch", "--a", "path"], set()),
        ("launch --a <path>", ["launch", "--a", "<path>"], set()),
        ("launch --a 'x'\"y\"z", ["launch", "--a", "xyz"], set()),
        ('launch --a ""', ["launch", "--a", ""], set()),
        ("bash -c \"cd x && launch --a 'y z' --b\"", ["launch", "--a", "y z", "--b"], set()),
        ("$ bash -c 'launch --a 1'", ["launch", "--a", "1"], {"shell-prompt"}),
        ("docker run --gpus all image /bin/sh -lc 'launch --a $X'", ["launch", "--a", "$X"], {"unset-variable"}),
    ],
)
def test_a_command_is_what_its_author_meant(text: str, words: list[str], faults: set[str]) -> None:
    """Faults are mended and named."""
    commands, found = codes(text)
    assert commands[-1] == words
    assert found == faults


@pytest.mark.parametrize(
    "text",
    [
        'M="/models/x"\nlaunch --a $M',
        "export M=/models/x\nlaunch --a ${M}",
        "set M=/models/x\r\nlaunch ^\r\n--a %M%".replace("\r", ""),
        '$M = "/models/x"\nlaunch `\n--a $M',
        "launch --a ${M:-/models/x}",
        "@set M=/models/x\nlaunch --a %M%",
        'set "M=/models/x"\nlaunch --a %M%',
    ],
)
def test_variables_of_the_text_are_put_in(text: str) -> None:
    """What a script assigns, its command gets."""
    commands, faults = codes(text)
    assert commands[-1][-1] == "/models/x"
    assert not faults


@pytest.mark.parametrize(
    "text",
    [
        'E=(--a)\nE+=("--b" "x y")\nlaunch ${E[@]}',
        'E="--a"\nE="$E --b \'x y\'"\nlaunch $E',
        'E="--a"\nE+=" --b \'x y\'"\nlaunch $E',
        (
            '$E = [System.Collections.ArrayList]::new()\n[void]$E.Add("--a")\n$E.Add("--b \'x y\'") | Out-Null\n'
            "launch `\n$E"
        ),
        '$E = @("--a")\n$E += "--b"\n$E += @("x y")\n& launch @E',
        'set E=--a --b "x y"\nlaunch ^\n%E%',
        'set X=x y\nlaunch ^\n--a --b "%X%"',
        'U=1\nE=()\nif [ $U == 1 ]; then E+=(--a); else E+=(--c); fi\nE+=(--b "x y")\nlaunch "${E[@]}"',
        (
            "U=0\nif [[ $U == 1 ]]; then\n E+=(--c)\nelif [ -z $U ]; then\n E+=(--d)\nelse\n E+=(--a)\nfi\n"
            "E+=(--b 'x y')\nlaunch ${E[@]}"
        ),
        'U=1\n[[ $U -ne 1 ]] && E+=(--c)\n[ -n "$U" ] && E+=(--a --b "x y")\nlaunch ${E[@]}',
        (
            '$U = 0\nif ($U) {\n $E += @("--c")\n}\nelseif ($true) {\n [void]$E.Add("--a")\n}\nelse {\n'
            ' [void]$E.Add("--d")\n}\nforeach ($x in 1) {\n ls\n}\nif ($U -eq 0) { [void]$E.Add("--b") }\n'
            '$null = $E.Add("x y")\nlaunch `\n$E'
        ),
    ],
)
def test_options_that_a_script_gathers_are_put_in(text: str) -> None:
    """Lists and texts of options become the command's, conditions of known values are followed."""
    commands, faults = codes(text)
    assert commands[-1] == ["launch", "--a", "--b", "x y"]
    assert not faults


@pytest.mark.parametrize(
    ("text", "words", "fault"),
    [
        ("E=(--a)\nif [ -f x ]; then E+=(--b); fi\nlaunch ${E[@]}", ["launch", "--a"], "condition-not-told"),
        ("if ($x -gt 3) {\n [void]$E.Add('--b')\n}\nlaunch `\n--a $E", ["launch", "--a"], "condition-not-told"),
        ("set E=--a\nif %X%==1 set E=%E% --b\nlaunch ^\n%E%", ["launch", "--a"], "condition-not-told"),
        ("launch --a ${E[@]}", ["launch", "--a"], "unset-variable"),
        ("launch --a x-$(date +%Y)", ["launch", "--a", "x-"], "command-not-run"),
        ('launch --a "$(pwd)/x"', ["launch", "--a", "./x"], None),
    ],
)
def test_what_a_script_does_beyond_that_is_named(text: str, words: list[str], fault: str | None) -> None:
    """An option that may be lost is an error."""
    commands, faults = codes(text)
    assert commands[-1] == words
    assert faults == ({fault} if fault else set())


def test_commands_are_told_apart() -> None:
    """Operators and lines end commands."""
    commands, _ = codes("cd x && launch --a 1; echo done\nnvidia-smi")
    assert commands == [["cd", "x"], ["launch", "--a", "1"], ["echo", "done"], ["nvidia-smi"]]


@pytest.mark.parametrize(
    "text",
    [
        "\\ " * 50_000,
        '"' * 50_001,
        "'\"" * 30_000,
        "( " * 50_000,
        "A=$A$A\n" * 2000 + "x --a $A",
        "A+=(${A[@]} --a ${A[@]})\n" * 2000 + "x ${A[@]}",
        "if [ $A ]; then\n" * 5000,
        "x $(" * 20_000,
        "<" * 50_000,
        "`\n^\n\\\n" * 20_000,
    ],
    ids=["signs", "quotes", "mixed", "brackets", "bomb", "lists", "conditions", "printed", "placeholders", "marks"],
)
def test_odd_text_takes_no_time(text: str) -> None:
    """Nothing pasted makes the reader hang."""
    start = time.monotonic()
    parse(text)
    assert time.monotonic() - start < 5

"""Bad input: one clear report, the right exit code, no traceback, nothing written."""

import os
import sys
from pathlib import Path

import pytest
from sets import picture, small_set, tree

from loraforge.cli import run

WINDOWS_PATH = r"C:\Users\me\pictures"
LONG = "x" * 300
STRAY = os.fsdecode(b"\xe9\xff")
NAMES = ("transformer", "clip_l", "t5xxl", "autoencoder")


@pytest.fixture
def place(tmp_path, tmp_path_factory, monkeypatch, layouts, write_weights):
    """Return a folder with a sound set, sound (tiny) weights and no engine needed; every row spoils one thing."""
    small_set(tmp_path / "pics")
    for name, shapes in layouts.items():
        write_weights(tmp_path / "models" / name, shapes)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LORAFORGE_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("LORAFORGE_ENGINE", raising=False)
    return tmp_path


BASE = ("--images", "pics", "--trigger", "zx_q", "--set", "engine.kind=embedded", "--set", "launch.device=cpu")


def train(*argv: str) -> tuple[str, ...]:
    """Return a dry run with sound arguments and some more."""
    return ("train", "--dry-run", *BASE, *argv)


def setting(text: str) -> tuple[str, ...]:
    """Return a dry run with one more setting."""
    return train("--set", text)


def file(text: str | bytes):
    """Return a spoiler that writes forge.toml."""

    def spoil(place: Path) -> None:
        (place / "forge.toml").write_bytes(text if isinstance(text, bytes) else text.encode())

    return spoil


def cut(name: str, keep: int):
    """Return a spoiler that truncates a weight file."""

    def spoil(place: Path) -> None:
        path = place / "models" / name
        path.write_bytes(path.read_bytes()[:keep])

    return spoil


def write(path: str, data: bytes):
    """Return a spoiler that replaces a file."""

    def spoil(place: Path) -> None:
        (place / path).write_bytes(data)

    return spoil


def swap(place: Path) -> None:
    """Put CLIP where T5 belongs and the other way round."""
    clip, t5 = place / "models/clip_l.safetensors", place / "models/t5xxl_fp16.safetensors"
    first, second = clip.read_bytes(), t5.read_bytes()
    clip.write_bytes(second)
    t5.write_bytes(first)


def empty_set(place: Path) -> None:
    """Take all pictures away."""
    for path in (place / "pics").iterdir():
        path.unlink()


def only_bare(place: Path) -> None:
    """Take all captions away."""
    for path in (place / "pics").glob("*.txt"):
        path.unlink()


def nothing(place: Path) -> None:
    """Spoil nothing."""


# ruff: noqa: E501  # one row a line reads best

# (what is spoilt, command, exit code, words that must be said)
ROWS = [
    # usage
    (nothing, ("trian",), 2, ["no such verb", "did you mean `loraforge train`"]),
    (nothing, ("train", "--stesp", "5"), 2, ["--stesp"]),
    (nothing, ("init",), 2, ["Missing argument"]),
    (nothing, ("init", "x", "--images", "nowhere", "--trigger", "zx"), 2, ["nowhere", "is not a folder"]),
    (nothing, ("init", "x", "--images", "pics", "--trigger", "two words"), 2, ["dataset.trigger", "one word"]),
    (nothing, ("init", "x", "--images", "pics", "--trigger", "zx", "--preset", "styel"), 2, ["did you mean style"]),
    (nothing, ("presets", "nope"), 2, ["no such preset", "choose one of"]),
    (nothing, ("train", "missing.toml"), 2, ["missing.toml", "no such file", "loraforge init"]),
    (nothing, ("train", "pics"), 2, ["holds neither forge.toml nor job.toml"]),
    (nothing, ("plan", *BASE, "--out", "pics"), 2, ["--out pics", "not empty"]),
    (nothing, ("plan", *BASE, "--out", "pics/p0.png"), 2, ["--out pics/p0.png", "is a file"]),
    (nothing, ("demo", "--engine", "comfy"), 2, ["neither kohya nor embedded"]),
    # the settings file
    (file("[network\nrank = 3\n"), ("train",), 2, ["line 1", "^"]),
    (file('[dataset]\nimages = "C:\\me"\n'), ("train",), 2, ["line 2", "single quotes"]),
    (file(b"\xff\xfe[\x00"), ("train",), 2, ["not UTF-8"]),
    (file("[network]\nrank = True\n"), ("train",), 2, ["line 2"]),
    (file("a = 1\na = 2\n"), ("train",), 2, ["line 2"]),
    (file("[netwrok]\nrank = 3\n"), ("train",), 2, ["netwrok is not a setting", "did you mean network"]),
    (file("network = 3\n"), ("train",), 2, ["[network] must be a table"]),
    (file("[launch]\nenv = { PATH = '/evil' }\n"), ("train",), 2, ["launch.env.PATH is refused"]),
    (file("[launch.env]\n'a b' = 'x'\n"), ("train",), 2, ["launch.env.a b is no name"]),
    (file("[dataset]\n[dataset]\n"), ("check",), 2, ["twice", "each table and each setting once"]),
    (file("[dataset]\ntrigger = 'a'\ntrigger = 'b'\n"), ("check",), 2, ["each table and each setting once"]),
    (file("[launch]\nenv = { OPENSSL_CONF = 'x' }\n"), ("train",), 2, ["launch.env.OPENSSL_CONF is refused"]),
    (file("[launch]\nenv = { GH_PAT = 'x' }\n"), ("train",), 2, ["launch.env.GH_PAT is refused"]),
    (file("[launch]\nenv = { TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD = '1' }\n"), ("train",), 2, ["is refused"]),
    (nothing, setting("engine.extra.lr_scheduler_type=evil.Foo"), 2, ["lr_scheduler_type is refused", "imports"]),
    (file("[launch]\nenv = { HF_TOKEN = 'hf_x' }\n"), ("train",), 2, ["launch.env.HF_TOKEN is refused"]),
    (file("x = [" * 2000), ("train",), 2, ["forge.toml"]),
    (file("preset = 'styel'\n"), ("train",), 2, ["did you mean style"]),
    (file("preset = 3\n"), ("train",), 2, ["preset = 3"]),
    # values
    (nothing, setting("network.rank=many"), 2, ["network.rank", '"many"', "whole number from 1 to 1024", "--set"]),
    (nothing, setting("network.rank=0"), 2, ["network.rank = 0"]),
    (nothing, setting("optimizer.learning_rate=5"), 2, ["Nothing is learnt at such a rate", "nothing was started"]),
    (write("pics/p1.png", b"x"), train(), 4, ["p1.png", "nothing was started"]),
    (cut("ae.safetensors", 100), setting("optimizer.learning_rate=5"), 3, ["Nothing is learnt at such a rate", "ae."]),
    (nothing, setting("network.rank=" + "9" * 400), 2, ["network.rank"]),
    (nothing, setting("network.rank=" + "9" * 5000), 2, ["network.rank"]),
    (nothing, setting("network.rank=1.5"), 2, ["network.rank = 1.5"]),
    (nothing, setting("network.rank=true"), 2, ["network.rank = true"]),
    (nothing, setting("optimizer.learning_rate=nan"), 2, ["optimizer.learning_rate"]),
    (nothing, setting("optimizer.learning_rate=inf"), 2, ["optimizer.learning_rate"]),
    (nothing, setting("optimizer.learning_rate=1e-4x"), 2, ["optimizer.learning_rate"]),
    (nothing, setting("network.dim=3"), 2, ["network.dim is not a setting"]),
    (nothing, setting("rank"), 2, ["expected section.key=value"]),
    (nothing, setting("=3"), 2, ["expected section.key=value"]),
    (nothing, setting("training.precision=fp8"), 2, ['one of "bf16", "fp16", "no"']),
    (nothing, setting("dataset.resolution=1000"), 2, ["multiple of 16"]),
    (nothing, setting("dataset.trigger=a, b"), 2, ["dataset.trigger", "one word"]),
    (nothing, setting("dataset.trigger=a\nb"), 2, ["dataset.trigger", "one word"]),
    (nothing, ("lint", "pics", "--tokenizers", "nope"), 2, ["--tokenizers nope", "no such"]),
    (nothing, ("trigger", "zxqv", "--tokenizers", "nope"), 2, ["--tokenizers nope", "no such"]),
    (nothing, setting("dataset.trigger=#a"), 2, ["dataset.trigger", "begin with #"]),
    (nothing, setting("dataset.trigger=a--b"), 2, ["dataset.trigger", "--"]),
    (nothing, setting("output.name=../../evil"), 2, ["output.name", "file name"]),
    (nothing, setting("output.name=a\0b"), 2, ["output.name"]),
    (nothing, setting('sampling.prompts=["x --w 5"]'), 2, ["sampling.prompts", "--"]),
    (nothing, setting("optimizer.restarts=3"), 2, ["optimizer.restarts", "cosine_with_restarts"]),
    (nothing, setting("engine.extra.network_dim=8"), 2, ["engine.extra.network_dim", "network.rank"]),
    (nothing, setting("engine.extra.flux_train_t_exponent=7"), 2, ["engine.extra.flux_train_t_exponent"]),
    (nothing, setting("engine.extra.ip_noise_gamma=much"), 2, ["engine.extra.ip_noise_gamma", "number"]),
    (file('[dataset]\nimages = "a\\u0000b"\n'), ("train",), 2, ["dataset.images", "NUL"]),
    (file('[model]\nclip_l = "a\\u0000b"\n'), ("check",), 2, ["model.clip_l", "NUL"]),
    *((nothing, (*train(), option, f"{key}{STRAY}"), 2, [said, "no UTF-8 text"]) for option, key, said in (
        ("--set", "output.dir=", "output.dir"), ("--images", "", "dataset.images"), ("--set", "model.clip_l=", "model.clip_l"),
    )),
    # pictures
    (empty_set, train(), 4, ["holds no pictures"]),
    (only_bare, (*train(), "--set", "dataset.trigger=none"), 4, ["p0.png", "p2.png", "no caption"]),
    (nothing, (*train(), "--images", "nowhere"), 4, ["nowhere"]),
    (nothing, (*train(), "--images", "pics/p0.png"), 4, ["p0.png", "not a folder"]),
    (nothing, (*train(), "--images", WINDOWS_PATH), 4, [WINDOWS_PATH]),
    (nothing, (*train(), "--images", "~nobody-of-this-name/x"), 4, ["nobody-of-this-name"]),
    # weights and engine
    (cut("flux1-dev.safetensors", 40), train(), 3, ["flux1-dev.safetensors"]),
    (cut("ae.safetensors", 0), train(), 3, ["ae.safetensors", "empty"]),
    (cut("t5xxl_fp16.safetensors", -10), train(), 3, ["t5xxl_fp16.safetensors"]),
    (write("models/clip_l.safetensors", b"<!DOCTYPE html>"), train(), 3, ["clip_l.safetensors", "page"]),
    (swap, train(), 3, ["model.clip_l", "model.t5xxl"]),
    (nothing, setting("model.transformer=/nowhere/flux.safetensors"), 3, ["/nowhere/flux.safetensors", "does not exist"]),
    (nothing, setting("model.transformer=pics"), 3, ["folder"]),
    (nothing, setting(f"model.clip_l={WINDOWS_PATH}"), 3, [WINDOWS_PATH]),
    (nothing, ("train", "--dry-run", "--images", "pics", "--trigger", "zx", "--engine", "pics"), 3, ["pics", "holds no flux_train_network.py"]),
    # what the system refuses to look at
    *((nothing, argv, 3, [LONG, "File name too long", "shorter path"]) for argv in (
        ("train", LONG), ("check", LONG), ("diagnose", LONG), ("compare", LONG), ("ship", LONG), ("import", LONG), ("models", "--dir", LONG),
        ("init", LONG, "--images", "pics", "--trigger", "zx"), ("train", "--from-weights", LONG), ("demo", "--out", LONG),
    )),
    (nothing, ("demo", "--out", "pics/p0.txt"), 3, ["p0.txt", "File exists"]),
    # faults of several kinds at once
    (empty_set, setting("model.clip_l=nowhere.safetensors"), 3, ["nowhere.safetensors", "holds no pictures"]),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "argv", "code", "words"), ROWS, ids=range(len(ROWS)))
def test_bad_input_is_told_plainly(place, capsys, spoil, argv, code, words):
    """Every fault ends in words and the promised exit code; the folder is as it was."""
    spoil(place)
    before = tree(place)
    assert run(argv) == code
    said = capsys.readouterr()
    assert "Traceback" not in said.err + said.out
    assert "a bug of ours" not in said.err
    for word in words:
        assert word in said.err, said.err
    assert tree(place) == before


def test_half_a_plan_is_none(place, capsys):
    """A picture that can't be decoded shows when it is staged; the folder is free for the next try."""
    write("pics/p1.png", b"x")(place)
    assert run(("plan", *BASE, "--out", "new")) == 4
    assert "can't be decoded" in capsys.readouterr().err
    assert not (place / "new").exists()


def test_the_base_of_all_rows_is_sound(place, capsys):
    """Unspoilt, the same command line succeeds, so that the rows fail for their own reason."""
    assert run(train()) == 0
    assert "embedded.py" in capsys.readouterr().out


@pytest.mark.parametrize(
    "name", ["pics with space", 'it\'s "quoted"', "Bilder-äöü-画像", "$HOME;rm -rf", "100%", "-dash"]
)
def test_odd_but_legal_names_work(place, capsys, name):
    """Spaces, quotes, other scripts and shell signs in paths are no reason to fail."""
    small_set(place / name)
    assert run((*train(), "--images", f"./{name}", "--set", f"output.dir=out {name}")) == 0
    assert capsys.readouterr().out


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_output_folder(place, capsys):
    """A folder without permission is a machine that is not ready."""
    (place / "locked").mkdir(mode=0o500)
    assert run(("plan", *BASE, "--out", "locked/run")) == 3
    assert "locked" in capsys.readouterr().err


def test_an_output_folder_that_is_a_file(place, capsys):
    """A file in the way of the output folder is told, whoever runs it."""
    (place / "taken").write_text("x")
    assert run(("plan", *BASE, "--out", "taken/run")) == 3
    assert "taken" in capsys.readouterr().err


def test_a_picture_that_can_not_be_decoded_stops_before_the_start(place, capsys):
    """Staging names the picture; no engine is started."""
    data = (place / "pics/p1.png").read_bytes()
    (place / "pics/p1.png").write_bytes(data[: len(data) // 2])
    assert run(("train", *BASE)) == 4
    assert "p1.png" in capsys.readouterr().err


def test_an_interruption_while_the_verb_is_imported(capsys, monkeypatch):
    """Ctrl-C in the first second is an interruption like any other."""

    def interrupted(name):
        raise KeyboardInterrupt

    monkeypatch.setattr("importlib.import_module", interrupted)
    assert run(("train",)) == 130
    assert capsys.readouterr().err == "loraforge: interrupted\n"


def test_a_folder_one_may_not_enter(place, capsys, monkeypatch):
    """Whatever the system does not let us look at is a machine that is not ready."""
    look = os.stat

    def denied(path, *rest: object, **more: object):
        if "locked" in str(path):
            raise PermissionError(13, "Permission denied", path)
        return look(path, *rest, **more)

    monkeypatch.setattr(os, "stat", denied)
    for argv in (("train", "locked/forge.toml"), ("init", "new", "--images", "locked", "--trigger", "zx")):
        assert run(argv) == 3
        said = capsys.readouterr().err
        assert "locked" in said
        assert "give yourself permission" in said


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such names")
def test_file_names_with_newlines_stay_on_their_line(place, capsys):
    """A control character in a file name is shown escaped."""
    picture(place / "pics" / "a\nb\x1b[31m.png")
    only_bare(place)
    assert run((*train(), "--set", "dataset.trigger=none")) == 4
    said = capsys.readouterr().err
    assert "\x1b" not in said


def test_check_json_is_one_document_whatever_is_wrong(place, capsys):
    """Programs get JSON for faults in settings, machine and pictures alike."""
    import json

    for argv, code in (
        (("--set", "network.rank=x"), 2),
        (("--images", "nowhere"), 4),
        (("--set", "model.clip_l=no"), 3),
    ):
        assert run(("check", *BASE, *argv, "--json")) == code
        findings = json.loads(capsys.readouterr().out)["findings"]
        assert all({"code", "severity", "where", "message", "fix"} == set(finding) for finding in findings)
        assert any(finding["severity"] == "error" for finding in findings)

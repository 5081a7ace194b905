"""Finding sd-scripts and knowing its commit."""

from pathlib import Path

import pytest

from loraforge.engine.locate import PINNED_COMMIT, EngineHome, engine_findings, find, locate, read_commit
from loraforge.errors import MachineError

OTHER = "a" * 40


def make_engine(path: Path, head: str = PINNED_COMMIT) -> Path:
    """Lay out the little of a checkout that is looked at."""
    (path / ".git").mkdir(parents=True)
    (path / ".git" / "HEAD").write_text(head + "\n", "utf-8")
    (path / "flux_train_network.py").touch()
    return path


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Path]:
    """Return an engine in each place that can hold one."""
    return {
        name: make_engine(tmp_path / name) for name in ("option", "environ", "configured", "vendor", "cache/sd-scripts")
    }


@pytest.mark.parametrize(
    ("missing", "expected", "source"),
    [
        (0, "option", "--engine"),
        (1, "environ", "$LORAFORGE_ENGINE"),
        (2, "configured", "[engine] path"),
        (3, "vendor", "vendor/sd-scripts"),
        (4, "cache/sd-scripts", "the user's cache"),
    ],
)
def test_order_of_places(places: dict[str, Path], tmp_path: Path, missing: int, expected: str, source: str) -> None:
    """The first place in the documented order wins, and the result says which it was."""
    home = locate(
        option=places["option"] if missing < 1 else None,
        environ={"LORAFORGE_ENGINE": str(places["environ"])} if missing < 2 else {"LORAFORGE_ENGINE": ""},
        configured=places["configured"] if missing < 3 else None,
        vendor=places["vendor"] if missing < 4 else tmp_path / "none",
        cache_dir=tmp_path / "cache",
    )
    assert (home.path, home.source) == (places[expected], source)
    assert home.is_pinned
    assert home.script == places[expected] / "flux_train_network.py"


def test_empty_submodule_is_skipped(tmp_path: Path) -> None:
    """A submodule that was never initialised does not hide the engine in the cache."""
    (tmp_path / "vendor").mkdir()
    cached = make_engine(tmp_path / "cache" / "sd-scripts")
    home = locate(environ={}, vendor=tmp_path / "vendor", cache_dir=tmp_path / "cache")
    assert home.path == cached


def test_none_anywhere(tmp_path: Path) -> None:
    """Without an engine the error lists the places with what is wrong there, and the commands that fetch it."""
    (tmp_path / "vendor").mkdir()
    with pytest.raises(MachineError) as caught:
        locate(environ={}, vendor=tmp_path / "vendor", cache_dir=tmp_path / "cache")
    assert f"{tmp_path / 'vendor'}, which is empty" in caught.value.message
    assert f"{tmp_path / 'cache' / 'sd-scripts'}, which does not exist" in caught.value.message
    assert "git submodule update --init" in caught.value.hint
    assert f"checkout {PINNED_COMMIT}" in caught.value.hint
    assert find(environ={}, vendor=tmp_path / "vendor", cache_dir=tmp_path / "cache") is None


def test_wheel_is_not_told_of_a_submodule(tmp_path: Path) -> None:
    """Where there is no vendor folder, the hint is the clone alone."""
    with pytest.raises(MachineError) as caught:
        locate(environ={}, vendor=tmp_path / "vendor", cache_dir=tmp_path / "cache")
    assert caught.value.hint.startswith("git clone ")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("absent", "does not exist"),
        ("file", "not a folder"),
        ("empty", "is empty"),
        ("other", "holds no flux_train_network.py"),
        ("~nobody-of-this-name/engine", "does not exist"),
        ("a\0b", "does not exist"),
    ],
)
@pytest.mark.parametrize("source", ["--engine", "$LORAFORGE_ENGINE", "[engine] path"])
def test_wrong_named_place(
    tmp_path: Path, places: dict[str, Path], monkeypatch: pytest.MonkeyPatch, name: str, reason: str, source: str
) -> None:
    """A named place without an engine is an error, though a good one lies in the cache."""
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("empty").mkdir()
    Path("other", "sub").mkdir(parents=True)
    for call in (locate, find):
        with pytest.raises(MachineError, match=reason) as caught:
            call(
                option=Path(name) if source == "--engine" else None,
                environ={"LORAFORGE_ENGINE": name} if source.startswith("$") else {},
                configured=Path(name) if source == "[engine] path" else None,
                vendor=places["vendor"],
                cache_dir=tmp_path / "cache",
            )
        assert caught.value.message.startswith(source)


def test_commit_of_a_branch(tmp_path: Path) -> None:
    """A loose branch counts before a packed one, and a packed one is read where no loose one is."""
    git = make_engine(tmp_path, "ref: refs/heads/main") / ".git"
    assert read_commit(tmp_path) is None
    (git / "packed-refs").write_text(
        f"# pack-refs with: peeled\n{'b' * 40} refs/heads/mainline\n{OTHER} refs/heads/main\n", "utf-8"
    )
    assert read_commit(tmp_path) == OTHER
    (git / "refs" / "heads").mkdir(parents=True)
    (git / "refs" / "heads" / "main").write_text(PINNED_COMMIT + "\n", "utf-8")
    assert read_commit(tmp_path) == PINNED_COMMIT


def test_commit_of_a_submodule(tmp_path: Path) -> None:
    """A .git file leads to the folder that holds the submodule's HEAD."""
    modules = tmp_path / ".git" / "modules" / "engine"
    modules.mkdir(parents=True)
    (modules / "HEAD").write_text(OTHER + "\n", "utf-8")
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / ".git").write_text("gitdir: ../.git/modules/engine\n", "utf-8")
    assert read_commit(tmp_path / "engine") == OTHER


def test_commit_of_a_worktree(tmp_path: Path) -> None:
    """A worktree's branch is found in the repository that it belongs to."""
    worktree = tmp_path / "main" / ".git" / "worktrees" / "w"
    worktree.mkdir(parents=True)
    (worktree / "HEAD").write_text("ref: refs/heads/w\n", "utf-8")
    (worktree / "commondir").write_text("../..\n", "utf-8")
    branch = tmp_path / "main" / ".git" / "refs" / "heads" / "w"
    branch.parent.mkdir(parents=True)
    branch.write_text(OTHER + "\n", "utf-8")
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / ".git").write_text(f"gitdir: {worktree}\n", "utf-8")
    assert read_commit(tmp_path / "w") == OTHER


@pytest.mark.parametrize("head", ["", "garbage", "ref: refs/heads/.invalid", "ref: refs/heads/absent"])
def test_unreadable_commit_is_unknown(tmp_path: Path, head: str) -> None:
    """A checkout whose HEAD leads nowhere has an unknown commit instead of an error."""
    assert read_commit(make_engine(tmp_path, head)) is None


@pytest.mark.parametrize(
    ("commit", "expected"), [(PINNED_COMMIT, []), (OTHER, ["is commit aaaa"]), (None, ["unknown"])]
)
def test_warning_about_another_commit(tmp_path: Path, commit: str | None, expected: list[str]) -> None:
    """Any commit but the pinned one is a warning with the command that changes it."""
    findings = list(engine_findings(EngineHome(tmp_path, commit, "--engine")))
    assert [(f.code, f.severity) for f in findings] == [("engine-commit", "warning")] * len(expected)
    assert all(text in finding.message for text, finding in zip(expected, findings, strict=True))
    assert all(PINNED_COMMIT in finding.fix for finding in findings)

"""Where sd-scripts is, and which commit of it."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from loraforge.errors import MachineError
from loraforge.findings import Finding

REPOSITORY = "https://github.com/kohya-ss/sd-scripts"
PINNED_COMMIT = "48d368fa557731ad0488c07304dfeba8c07910eb"
VARIABLE = "LORAFORGE_ENGINE"
_SCRIPT = "flux_train_network.py"
_COMMIT_LENGTHS = (40, 64)  # SHA-1 and SHA-256 repositories


@dataclass(frozen=True, slots=True)
class EngineHome:
    """A folder that holds sd-scripts.

    Attributes:
        path: the absolute folder.
        commit: the checked-out commit in full; None when the folder is not a git checkout.
        source: which of the places it was found in, in the user's words.
    """

    path: Path
    commit: str | None
    source: str

    @property
    def is_pinned(self) -> bool:
        """Whether this is the very commit loraforge is tested against."""
        return self.commit == PINNED_COMMIT

    @property
    def script(self) -> Path:
        """The training script that accelerate launches."""
        return self.path / _SCRIPT


def locate(
    *,
    option: Path | None = None,
    configured: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    cache_dir: Path | None = None,
    vendor: Path | None = None,
) -> EngineHome:
    """Find sd-scripts: a place the user named first, then the submodule, then the user's cache.

    Args:
        option: what `--engine` says.
        configured: what `[engine] path` says.
        environ: the environment, for $LORAFORGE_ENGINE.
        cache_dir: the user's cache of loraforge; None is the platform's.
        vendor: the submodule's folder; None is the one beside the package.

    Raises:
        MachineError: a named place holds no engine (it is never passed over in silence), or there is none anywhere.
    """
    home = find(option=option, configured=configured, environ=environ, cache_dir=cache_dir, vendor=vendor)
    if home is not None:
        return home
    places = _standard(cache_dir, vendor)
    looked = "\n".join(f"  {source}: {place}, {_why_not(place)}" for source, place in places)
    raise MachineError(
        f"sd-scripts, the training engine, is not on this machine; looked in\n{looked}", _how_to_fetch(places)
    )


def find(
    *,
    option: Path | None = None,
    configured: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    cache_dir: Path | None = None,
    vendor: Path | None = None,
) -> EngineHome | None:
    """Like `locate`, but None where there is no engine anywhere.

    Raises:
        MachineError: a named place holds no engine.
    """
    for source, place in _named(option, environ, configured):
        home = _home(place, source)
        if home is None:
            raise MachineError(
                f"{source} names {place}, {_why_not(place)}",
                f"name the folder that holds {_SCRIPT}, or leave it out to let loraforge look for it",
            )
        return home
    homes = (_home(place, source) for source, place in _standard(cache_dir, vendor))
    return next((home for home in homes if home is not None), None)


def engine_findings(home: EngineHome) -> Iterator[Finding]:
    """Yield a warning (code `engine-commit`) where the engine is not the commit loraforge is tested against."""
    if home.is_pinned:
        return
    seen = f"is commit {home.commit[:12]}" if home.commit else "is not a git checkout, so its commit is unknown"
    yield Finding(
        code="engine-commit",
        severity="warning",
        where=str(home.path),
        message=f"The engine {seen}; loraforge is tested against {PINNED_COMMIT[:12]}, and its options may differ.",
        fix=f'git -C "{home.path}" fetch origin && git -C "{home.path}" checkout {PINNED_COMMIT}',
    )


def _named(option: Path | None, environ: Mapping[str, str], configured: Path | None) -> Iterator[tuple[str, Path]]:
    if option is not None:
        yield "--engine", option
    if environ.get(VARIABLE):
        yield f"${VARIABLE}", Path(environ[VARIABLE])
    if configured is not None:
        yield "[engine] path", configured


def _standard(cache_dir: Path | None, vendor: Path | None) -> list[tuple[str, Path]]:
    cache = platformdirs.user_cache_path("loraforge", appauthor=False) if cache_dir is None else cache_dir
    submodule = Path(__file__).parents[2] / "vendor" / "sd-scripts" if vendor is None else vendor
    return [("vendor/sd-scripts", submodule), ("the user's cache", cache / "sd-scripts")]


def _home(place: Path, source: str) -> EngineHome | None:
    path = _absolute(place)
    try:
        return EngineHome(path, read_commit(path), source) if (path / _SCRIPT).is_file() else None
    except OSError:  # a folder we may not look into
        return None


def _why_not(place: Path) -> str:
    path = _absolute(place)
    try:
        if not path.exists():
            return "which does not exist"
        if not path.is_dir():
            return "which is not a folder"
        return f"which holds no {_SCRIPT}" if any(path.iterdir()) else "which is empty"
    except OSError as error:
        return f"which can't be read: {error.strerror}"


def _absolute(place: Path) -> Path:
    try:
        return place.expanduser().absolute()
    except RuntimeError:  # "~name" of a user who does not exist is an ordinary, missing folder
        return place.absolute()


def _how_to_fetch(places: list[tuple[str, Path]]) -> str:
    (_, submodule), (_, cache) = places
    clone = f'git clone {REPOSITORY} "{cache}" && git -C "{cache}" checkout {PINNED_COMMIT}'
    # An installed wheel has no submodule to fill.
    return f"git submodule update --init, or: {clone}" if submodule.is_dir() else clone


def read_commit(checkout: Path) -> str | None:
    """Return the commit that a folder has checked out, read from its git files without running git.

    None where it is no checkout, or one of a kind this does not know (reftable).
    """
    try:
        return _resolve_head(checkout)
    except (OSError, UnicodeDecodeError):
        return None


def _resolve_head(checkout: Path) -> str | None:
    git = checkout / ".git"
    if git.is_file():  # a submodule or a worktree: "gitdir: ../../.git/modules/..."
        git = checkout / git.read_text("utf-8").strip().removeprefix("gitdir:").strip()
    head = (git / "HEAD").read_text("utf-8").strip()
    if not head.startswith("ref:"):
        return _commit(head)
    ref = head.removeprefix("ref:").strip()
    # A worktree keeps only its HEAD; branches lie in the repository it belongs to.
    common = git / (git / "commondir").read_text("utf-8").strip() if (git / "commondir").is_file() else git
    loose = common / ref
    if loose.is_file():
        return _commit(loose.read_text("utf-8").strip())
    for line in (common / "packed-refs").read_text("utf-8").splitlines():
        commit, _, name = line.partition(" ")
        if name == ref:
            return _commit(commit)
    return None


def _commit(text: str) -> str | None:
    return text if len(text) in _COMMIT_LENGTHS and set(text) <= set("0123456789abcdef") else None

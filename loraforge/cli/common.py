"""What the verbs share: consoles, the loading of settings, and the telling of faults and findings."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from loraforge.engine.locate import VARIABLE
from loraforge.errors import ConfigError, LoraforgeError
from loraforge.findings import Finding, printable as _printable, ranked
from loraforge.settings import Settings, load
from loraforge.settings.load import DEFAULT_FILE

if TYPE_CHECKING:
    from rich.console import Console

JOB_FILE = "job.toml"
_STYLES = {"error": "bold red", "warning": "yellow", "info": "cyan"}


def human(*, soft_wrap: bool = True) -> "Console":
    """Return the console for people: stderr, so that results on stdout can be piped.

    What is done stays done where nobody listens any more: it is silent then.
    """
    from rich.console import Console  # a program that asks for JSON need not wait for it

    class Human(Console):
        def on_broken_pipe(self) -> None:  # Rich would end the program, as a failure
            self.quiet = True

    # FORCE_COLOR, as CI sets it, asks for colours in a file; a panel drawn over itself needs a terminal.
    interactive = None if sys.stderr.isatty() else False
    return Human(stderr=True, highlight=False, soft_wrap=soft_wrap, force_interactive=interactive)


def result(text: str) -> None:
    """Print a result on stdout, ending in one newline.

    Raises:
        OSError: it can't be written; it names stdout.
    """
    try:
        sys.stdout.write(text if text.endswith("\n") else f"{text}\n")
        sys.stdout.flush()
    except OSError as fault:
        fault.filename = "stdout"
        raise


def say_fault(fault: LoraforgeError) -> None:
    """Tell a fault and what to do about it."""
    from rich.text import Text

    console = human()
    console.print(Text.assemble(("loraforge: ", "bold red"), printable(fault.message)))
    if fault.hint:
        console.print(Text.assemble(("  → ", "bold"), printable(fault.hint)))


def say_findings(findings: Iterable[Finding]) -> None:
    """Tell findings, the gravest first."""
    from rich.text import Text

    console = human()
    for finding in ranked(findings):
        console.print(
            Text.assemble(
                (f"{finding.severity:<8}", _STYLES[finding.severity]),
                (f"{printable(finding.where)}  ", "bold"),
                printable(finding.message),
                (f"  [{finding.code}]", "dim"),
            )
        )
        if finding.fix:
            console.print(Text.assemble("          → ", printable(finding.fix)))


def existing(path: Path | None, option: str) -> Path | None:
    """Return what an option names.

    Raises:
        ConfigError: there is nothing there; going on without it would be another question than was asked.
    """
    if path is not None and not path.exists():
        raise ConfigError(f"{option} {path}: there is no such file or folder", "check the path")
    return path


def load_settings(
    target: Path | None,
    *,
    preset: str | None = None,
    images: Path | None = None,
    trigger: str | None = None,
    assignments: Iterable[str] = (),
    engine: Path | None = None,
) -> Settings:
    """Load the settings a verb works on.

    Args:
        target: a settings file, a run folder or a folder with a forge.toml; None takes ./forge.toml where it exists.
        preset: as `--preset` says; without it and without a file it is `style`.
        images: as `--images` says.
        trigger: as `--trigger` says; without a settings file it names the LoRA too.
        assignments: `--set` arguments.
        engine: as `--engine` says; $LORAFORGE_ENGINE counts no more then.

    Raises:
        ConfigError: all faults at once.
    """
    cwd = Path.cwd()
    file = settings_file(target, cwd)
    flags: dict[str, tuple[str, object]] = {}
    if images is not None:
        flags["dataset.images"] = ("--images", str(images))
    if trigger is not None:
        flags["dataset.trigger"] = ("--trigger", trigger)
        if file is None and trigger and not set(trigger) & set('/\\:*?"<>|.'):
            flags["output.name"] = ("--trigger", trigger)
    if engine is not None:
        flags["engine.path"] = ("--engine", str(engine))
        # Else it would win over [engine] path, here and in the process of a detached run.
        os.environ.pop(VARIABLE, None)
    if file is None and preset is None:
        preset = "style"
    return load(file, preset=preset, flags=flags, assignments=list(assignments), cwd=cwd)


def settings_file(target: Path | None, cwd: Path) -> Path | None:
    """Return the settings file that an argument means; None where there is none to mean."""
    if target is None:
        default = cwd / DEFAULT_FILE
        return default if default.exists() else None
    if target.is_dir():
        for name in (DEFAULT_FILE, JOB_FILE):
            if (target / name).exists():
                return target / name
        raise ConfigError(
            f"{target}: holds neither {DEFAULT_FILE} nor {JOB_FILE}",
            f"`loraforge init {quote(str(target))}` writes one",
        )
    return target


def printable(text: str) -> str:
    """Keep control characters and lone surrogates of file names and captions off the terminal."""
    return _printable(text, keep="\n")


__all__ = ["human", "load_settings", "printable", "result", "say_fault", "say_findings", "settings_file"]

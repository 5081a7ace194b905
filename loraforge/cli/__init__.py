"""The command line: one verb a file, each loaded only when it is called, one catch for everything that goes wrong."""

import contextlib
import functools
import importlib
import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from loraforge import __version__
from loraforge.errors import EXIT_BUG, EXIT_DONE, ConfigError, Interrupted, LoraforgeError, MachineError

# verb -> (module, what it does). Listed here so that --help need not import the verbs.
VERBS: dict[str, tuple[str, str]] = {
    "init": ("init", "write a commented forge.toml"),
    "presets": ("presets", "list the presets, or show one with the reason behind each value"),
    "check": ("check", "settings, dataset, machine, memory and time: all findings at once"),
    "plan": ("plan", "render everything for a manual run and print the command; start nothing"),
    "train": ("train", "train a LoRA"),
    "attach": ("attach", "show a run that goes on in the background, or stop it"),
    "lint": ("lint", "look through the dataset alone"),
    "caption": ("caption", "write sparse captions for a folder of pictures"),
    "trigger": ("trigger", "how the two tokenizers see a word, and better ones"),
    "import": ("import_", "turn a pasted kohya command or config into a forge.toml"),
    "doctor": ("doctor", "machine, engine, model files, disk, hub access"),
    "diagnose": ("diagnose", "what went wrong and what to change"),
    "compare": ("compare", "checkpoints side by side"),
    "report": ("report", "one run as one page"),
    "ship": ("ship", "make the chosen LoRA ready for use"),
    "models": ("models", "find, verify or fetch the four weight files"),
    "demo": ("demo", "the whole way on any machine: synthetic art, tiny weights, a real training"),
}


def run(argv: Sequence[str]) -> int:
    """Run one command line and return its exit code; never raises."""
    _speak_any_letter()
    try:
        code = _dispatch(argv)
        sys.stdout.flush()
    except LoraforgeError as fault:
        from loraforge.cli.common import say_fault

        with contextlib.suppress(OSError):  # a terminal that was closed
            say_fault(fault)
        return fault.exit_code
    except KeyboardInterrupt:  # while the verb was still being imported
        print("loraforge: interrupted", file=sys.stderr)  # noqa: T201
        return Interrupted.exit_code
    except BrokenPipeError:  # `loraforge presets | head`
        return EXIT_DONE
    except OSError as fault:
        return _unready(fault)
    except Exception as bug:  # noqa: BLE001  # the last catch: a traceback goes into a file, not at the user
        return _bug(bug)
    else:
        return code
    finally:
        _let_go()


def built() -> dict[str, str]:
    """Return verb -> summary of the verbs that this version has."""
    here = Path(__file__).parent
    return {verb: summary for verb, (module, summary) in VERBS.items() if (here / f"{module}.py").exists()}


def _dispatch(argv: Sequence[str]) -> int:
    if not argv or argv[0] in {"--help", "-h", "help"}:
        print(_help())  # noqa: T201
        return EXIT_DONE
    verb, *rest = argv
    if verb == "--version":
        print(f"loraforge {__version__}")  # noqa: T201
        return EXIT_DONE
    if verb not in built():
        import difflib

        close = difflib.get_close_matches(verb, built(), n=1)
        guess = f"; did you mean `loraforge {close[0]}`?" if close else ""
        raise ConfigError(f"{verb}: there is no such verb{guess}", "loraforge --help lists them")
    return _call(verb, rest)


def _call(verb: str, rest: Sequence[str]) -> int:
    """Import one verb and run it; Typer parses, tells what is wrong with the arguments, and exits with 2 by itself."""
    import typer

    module, summary = VERBS[verb]
    function: Callable[..., int] = getattr(importlib.import_module(f"loraforge.cli.{module}"), module)
    code = EXIT_DONE

    @functools.wraps(function)
    def remembered(*args: object, **kwargs: object) -> None:
        nonlocal code
        try:
            code = function(*args, **kwargs)
        except KeyboardInterrupt:  # Typer would make it a failure
            raise Interrupted("interrupted") from None
        except BrokenPipeError:  # likewise
            code = EXIT_DONE

    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command(verb, help=function.__doc__ or summary)(remembered)
    try:
        typer.main.get_command(app).main(args=list(rest), prog_name=f"loraforge {verb}")
    except SystemExit as end:
        if end.code == 1:  # Typer's own failure is 2: this is its help, and nobody reads it to the end
            return EXIT_DONE
        return end.code if isinstance(end.code, int) and end.code else code
    return code


def _speak_any_letter() -> None:
    """Make stdout take every path and caption; files and pipes get UTF-8, as loraforge itself reads it."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        if sys.stdout.isatty():
            sys.stdout.reconfigure(errors="replace")
        else:
            sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")


def _unready(fault: OSError) -> int:
    """Tell of a file, a folder or a stream that the system refused; where it was foreseen, a verb tells more."""
    import errno

    from loraforge.cli.common import say_fault

    if fault.errno is None:  # not the system's: a library's
        return _bug(fault)
    where = os.fsdecode(fault.filename) if isinstance(fault.filename, (str, bytes, os.PathLike)) else ""
    if not where and isinstance(fault, FileNotFoundError):  # as the system says it of a working folder that is gone
        where = "the folder you are in"
    hints = {
        errno.EACCES: "give yourself permission, or name another place",
        errno.EPERM: "give yourself permission, or name another place",
        errno.ENAMETOOLONG: "name a shorter path",
        errno.ENOSPC: "free space, or name another place",
    }
    told = MachineError(
        f"{where or 'the system refused'}: {fault.strerror}",
        hints.get(fault.errno, "name another place"),
    )
    with contextlib.suppress(OSError):
        say_fault(told)
    return told.exit_code


def _let_go() -> None:
    """Drop what nobody reads any more: Python would try to write it once more at its end, and make it a failure."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with contextlib.suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _help() -> str:
    width = max(len(verb) for verb in built())
    verbs = "\n".join(f"  {verb:<{width}}  {summary}" for verb, summary in built().items())
    return (
        "From a folder of pictures to a FLUX.1 style LoRA worth keeping.\n\n"
        "usage: loraforge VERB [OPTIONS]       (loraforge VERB --help tells more)\n\n"
        f"{verbs}\n\n"
        "A first look on any machine:  loraforge demo\n"
        "Your own pictures:            loraforge train --images FOLDER --trigger WORD"
    )


def _bug(bug: Exception) -> int:
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile(
        "w", prefix="loraforge-bug-", suffix=".txt", delete=False, encoding="utf-8"
    ) as file:
        file.write(f"loraforge {__version__}, Python {sys.version}\n")
        file.write("".join(traceback.format_exception(bug)))
    told = f"loraforge: a bug of ours: {type(bug).__name__}: {bug}\nplease report it with {file.name}"
    print(told, file=sys.stderr)  # noqa: T201
    return EXIT_BUG

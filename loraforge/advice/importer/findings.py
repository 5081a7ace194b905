"""Every fault an import can name, in one registry that docs/import.md is written from.

An error is what keeps the source from training as written, a warning what trains otherwise than its reader would
expect, an info what merely has no effect.
"""

from collections.abc import Mapping

from loraforge.advice.importer.defaults import DEFAULTS
from loraforge.findings import Finding, Severity

# code -> (severity, what it means)
FAULTS: Mapping[str, tuple[Severity, str]] = {
    # How the text was written.
    "comment-after-continuation": ("error", "A comment follows a line continuation: the shell ends the command there."),
    "comment-inside-command": ("error", "A comment line stands inside a continued command: the shell ends it there."),
    "space-after-continuation": ("error", "Spaces follow a line continuation, so that it continues nothing."),
    "missing-continuation": ("error", "A line of options is not joined to the one before: the shell ends the command."),
    "foreign-continuation": ("error", "Lines end in the continuation signs of different shells."),
    "smart-quotes": ("error", "Typographic quotes are ordinary letters to a shell."),
    "typographic-dash": ("error", "A typographic dash stands where an option needs two hyphens."),
    "html-entities": ("warning", "The text carries HTML of the page it was copied from."),
    "shell-prompt": ("info", "A prompt was copied along with the command."),
    "unclosed-quote": ("error", "A quote is opened and never closed on its line."),
    "unset-variable": ("error", "A shell variable is used and nowhere set."),
    "command-not-run": ("error", "A value is what another command prints, and import runs none."),
    "condition-not-told": ("error", "Options are added on a condition that import can't tell; they are left out."),
    "windows-path-in-bash": ("warning", "bash eats the backslashes of an unquoted Windows path."),
    "toml-mended": ("error", "The text is not TOML as meant; backslashes or True/False were mended."),
    # How options are given.
    "unknown-option": ("error", "The engine has no such option at this commit and stops, or ignores it in a file."),
    "misspelt-option": ("error", "The option is spelt with hyphens or capitals that the engine does not know."),
    "abbreviated-option": ("info", "The option is cut short; the engine completes it for now."),
    "repeated-option": ("warning", "The option is given twice with different values; the engine takes the last."),
    "stray-word": ("error", "A word belongs to no option; the engine stops with `unrecognized arguments`."),
    "missing-value": ("error", "An option stands without its value; the engine stops."),
    "unreadable-value": ("error", "The value can't be read as what the option takes."),
    "not-a-choice": ("error", "The value is none of those the option takes."),
    "wrong-type": ("error", "The value has the wrong type for the engine, which does not convert what a file says."),
    "truthy-text": ("warning", "Any text counts as true in a config file, `false` too."),
    "inert-option": ("info", "The engine accepts the option, and does nothing with it for FLUX."),
    "deprecated-option": ("warning", "The option is a deprecated name for another one."),
    "dead-option": ("error", "The option exists and fails, or ends the program before it trains."),
    "secret-left-out": ("warning", "A secret stands in the source; settings files must not hold any."),
    "not-carried": ("warning", "No setting of loraforge stands for this, so it is left out."),
    "file-not-read": ("warning", "The source refers to a file that can't be read here; what it says is missing."),
    "other-script": ("error", "The source is for another training script or model than FLUX LoRA."),
    "foreign-network": ("error", "The source trains another kind of network than sd-scripts' FLUX LoRA."),
    # What is missing.
    "missing-weights": ("error", "One of the four weight files is not named; the engine fails after loading others."),
    "missing-pictures": ("error", "The source names no pictures."),
    "missing-resolution": ("error", "No resolution is given; the engine stops."),
    "missing-network-module": ("error", "No network module is given; the engine exits with code 0, untrained."),
    "missing-prompts": ("error", "Samples are asked for without prompts; the engine crashes in mid-run."),
    # What the pictures need.
    "flat-data-folder": (
        "error",
        "The engine reads only subfolders named <repeats>_<name>; with a flat folder it exits with code 0, untrained.",
    ),
    "numbered-folder": ("info", "The number of an N_name folder became dataset.repeats."),
    "several-datasets": ("warning", "The source mixes several folders or resolutions; loraforge trains one."),
    "class-tokens": (
        "warning",
        "Class tokens are the caption of pictures without one; the trigger is written into all.",
    ),
    "caption-prefix": ("warning", "A caption prefix is lost as soon as text-encoder outputs are cached."),
    "caption-extension": ("warning", "Captions have another extension than the .txt that loraforge reads."),
    "transformer-not-a-file": ("error", "The base model must be one BFL-layout .safetensors file."),
    # What is learnt.
    "optimizer-args-in-one-string": (
        "error",
        "The optimizer's arguments stand in one string; the engine fails on it after minutes of loading and caching.",
    ),
    "adafactor-relative-step": (
        "error",
        "Adafactor without relative_step=False replaces learning_rate and schedule by its own.",
    ),
    "optimizer-unsupported": ("error", "loraforge does not offer this optimizer; the nearest one is set."),
    "schedule-unsupported": ("error", "loraforge does not offer this schedule; the nearest one is set."),
    "warmup-with-constant": ("error", "The engine refuses warmup with the constant schedule."),
    "warmup-as-fraction": ("error", "A warmup of this many as a fraction is a multiple of the whole run."),
    "split-learning-rates": ("warning", "Rates that loraforge has no separate setting for were given."),
    "text-encoder-rate-zero": ("info", "A text-encoder rate of 0 trains nothing."),
    "huber-schedule": ("error", "The engine's default huber_schedule is not implemented for this model."),
    "epochs-as-steps": ("info", "The length is given in epochs; it became steps."),
    "sample-flags": ("warning", "Flags of sample prompts that have no setting, or differ between prompts."),
    # What had to change.
    "value-adjusted": ("warning", "The value is outside what works; the nearest that works is set."),
    "engine-refuses": ("error", "The engine stops on the value; the nearest that works is set."),
    "value-refused": ("error", "The value is outside what loraforge accepts; its default is used."),
    "settings-contradict": ("error", "Two values exclude each other in the engine; one of them gives way."),
}

CODES: Mapping[str, tuple[Severity, str]] = {
    **FAULTS,
    **{default.code: (default.severity, default.why) for default in DEFAULTS.values()},
}


def found(code: str, where: str, message: str, fix: str) -> Finding:
    """Make a finding of a registered code; its severity is the registry's."""
    return Finding(code, CODES[code][0], where if len(where) <= 100 else f"{where[:97]}...", message, fix)

"""Every error a user can meet, each with its exit code.

LoraforgeError
├── ConfigError          2   settings or usage
├── MachineError         3   engine, weights, GPU or disk are not ready
├── DatasetError         4   pictures or captions
├── TrainingError        1   the training failed
└── Interrupted        130   the user stopped it

Anything else that escapes is a bug of ours (70).
"""

from typing import ClassVar

EXIT_DONE = 0
EXIT_BUG = 70


class LoraforgeError(Exception):
    """A fault the user can act on.

    Args:
        message: what is wrong and where; may span lines when several faults are reported at once.
        hint: what to do next, usually a command to type.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConfigError(LoraforgeError):
    """Settings that can't be accepted, or a command used wrongly."""

    exit_code = 2


class MachineError(LoraforgeError):
    """The machine lacks something the run needs."""

    exit_code = 3


class DatasetError(LoraforgeError):
    """Pictures or captions that can't be trained on."""

    exit_code = 4


class TrainingError(LoraforgeError):
    """The engine ran and no proven LoRA came of it."""

    exit_code = 1


class Interrupted(LoraforgeError):  # noqa: N818  # an interruption is not a fault
    """The user asked to stop."""

    exit_code = 130

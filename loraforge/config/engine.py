"""[engine]: which engine trains, and any further option of its own."""

from typing import Annotated, Literal

from pydantic import Field

from loraforge.config.base import Section
from loraforge.config.model import FilePath

OptionName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]*$")]
OptionValue = bool | int | float | str | list[str] | list[int] | list[float]


class Engine(Section):
    """The training program."""

    kind: Literal["kohya", "embedded"] = "kohya"
    """kohya is sd-scripts, the real engine; embedded is the small stand-in on diffusers + peft."""

    path: FilePath | None = None
    """Folder of sd-scripts; None looks in $LORAFORGE_ENGINE, vendor/sd-scripts and the user's cache."""

    python: FilePath | None = None
    """Python that has the engine's packages; None is the one that runs loraforge."""

    fast: Literal["auto", "on", "off"] = "auto"
    """Run sd-scripts with loraforge's accelerations, which leave the maths as it is: auto takes those that pay for the
    run, on takes all (but compiles nothing for several processes), off takes none. `plan` always writes plain
    sd-scripts."""

    extra: dict[OptionName, OptionValue] = {}
    """Any other option of the engine by its own name, checked against its parser; refused where loraforge owns it."""

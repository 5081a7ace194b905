"""The base of every section, and the units that settings are measured in."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints


class Section(BaseModel):
    """A table of forge.toml: frozen, closed to unknown keys, with a sentence under each field."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        validate_default=True,
        defer_build=True,
    )


# Whole numbers a user may write; the bounds are those beyond which nothing sensible lies.
Steps = Annotated[int, Field(ge=1, le=1_000_000)]
Pixels = Annotated[int, Field(ge=64, le=8192)]
Count = Annotated[int, Field(ge=1, le=100_000)]
Rank = Annotated[int, Field(ge=1, le=1024)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Rate = Annotated[float, Field(gt=0.0, le=10.0)]
Fraction = Annotated[float, Field(gt=0.0, lt=1.0)]
Seconds = Annotated[float, Field(gt=0.0, le=86_400.0)]

# One line of printable text: control characters would break prompt files, logs and metadata.
Line = Annotated[
    str,
    StringConstraints(min_length=1, max_length=2000, pattern=r"^[^\x00-\x1f\x7f]+$"),
    Field(json_schema_extra={"allowed": "one line of text of at most 2000 characters"}),
]

"""The leaves of forge.toml and what kind of value each takes, read from the annotations.

The words for people (`schema.py`) need a JSON schema, which costs more than all the rest of a start; this needs none.
"""

import types
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from loraforge.config.base import Section
from loraforge.config.job import Job


@dataclass(frozen=True, slots=True)
class Leaf:
    """One setting.

    Attributes:
        nullable: whether `"none"` unsets it.
        is_path: whether it names a file or folder.
        is_text: whether it takes text only, so that a bare word on the command line is no TOML.
        is_table: whether its keys are free, such as `optimizer.args`.
    """

    nullable: bool
    is_path: bool
    is_text: bool
    is_table: bool


@cache
def leaves_known() -> dict[str, Leaf]:
    """Return every setting by dotted path, in the order of the file."""
    return dict(_walk(Job, ""))


@cache
def tables_known() -> frozenset[str]:
    """Return every table by dotted path."""
    return frozenset(path.rpartition(".")[0] for path in leaves_known()) - {""}


def _walk(section: type[Section], prefix: str) -> Iterator[tuple[str, Leaf]]:
    for name, field in section.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, Section):
            yield from _walk(annotation, f"{prefix}{name}.")
        else:
            kinds = frozenset(_kinds(annotation))
            given = kinds - {type(None)}
            yield (
                prefix + name,
                Leaf(
                    nullable=type(None) in kinds,
                    is_path=Path in given,
                    is_text=given <= {str, Path},
                    is_table=dict in given,
                ),
            )


def _kinds(annotation: Any) -> Iterator[type]:
    """Yield the plain types that an annotation admits."""
    origin = get_origin(annotation)
    if origin in {Union, types.UnionType}:
        for member in get_args(annotation):
            yield from _kinds(member)
    elif origin is Literal:
        yield from (type(value) for value in get_args(annotation))
    elif hasattr(annotation, "__metadata__"):  # Annotated
        yield from _kinds(get_args(annotation)[0])
    else:
        yield origin or annotation

"""The sentence under each field, read from the source when a page needs it.

Pydantic can attach these sentences as it builds the models, but then every start of loraforge parses the source.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from functools import cache

from loraforge.config.base import Section
from loraforge.config.job import Job


@cache
def meanings() -> dict[str, str]:
    """Return dotted path -> sentence, for every setting."""
    return dict(_walk(Job, ""))


def _walk(section: type[Section], prefix: str) -> Iterator[tuple[str, str]]:
    sentences = _sentences(section)
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from _walk(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name, sentences.get(name, "")


def _sentences(section: type[Section]) -> dict[str, str]:
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(section))).body
    assert isinstance(body, ast.ClassDef)  # noqa: S101  # the source of a class is one class
    found = {}
    for field, after in zip(body.body, body.body[1:], strict=False):
        match field, after:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = inspect.cleandoc(text)
            case _:
                pass
    return found

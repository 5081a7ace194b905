"""The same engine, the same maths, faster: parts that the shim applies inside the engine's process.

Each part is one function that patches the engine, or raises Refused with the reason why it can't serve here; then the
run goes on without it. Standard library only at module level: the engine's Python need not have loraforge's packages.
"""

import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from loraforge.engine.fast.adafactor import batch_adafactor
from loraforge.engine.fast.blocks import compile_blocks
from loraforge.engine.fast.encoders import fetch_t5_when_needed
from loraforge.engine.fast.hashes import begin_hash, hash_early
from loraforge.engine.fast.norms import skip_norms
from loraforge.engine.fast.part import Context, Part, Refused, told
from loraforge.engine.fast.segments import grow_segments
from loraforge.engine.fast.swap import swap_one_way

# In the order of application.
PARTS: Mapping[str, Part] = {
    "hash": hash_early,
    "encoders": fetch_t5_when_needed,
    "segments": grow_segments,
    "norms": skip_norms,
    "adafactor": batch_adafactor,
    "swap": swap_one_way,
    "compile": compile_blocks,
}


# What a part can begin before the engine's modules are imported, to run beside that.
_BEGINNINGS: Mapping[str, Callable[[Context], Any]] = {"hash": begin_hash}


def begin(names: Iterable[str], context: Context) -> None:
    """Begin what can run beside the imports; what can't be begun is told when it is applied."""
    for name in set(names) & set(_BEGINNINGS):
        with contextlib.suppress(Refused, OSError):
            context.begun[name] = _BEGINNINGS[name](context)


def apply(names: Iterable[str], context: Context, say: Callable[[str], None]) -> tuple[str, ...]:
    """Apply the named parts; each that can't serve is told in one line and left out.

    Returns:
        The names of those applied.
    """
    wanted, applied = set(names), []
    for name, part in PARTS.items():
        if name not in wanted:
            continue
        try:
            part(context)
        except Refused as refusal:
            say(f"fast: without {name}: {refusal}")
        except Exception as fault:  # noqa: BLE001 - whatever is wrong with a shortcut, the long way is still open
            say(f"fast: without {name}: {told(fault)}")
        else:
            applied.append(name)
    say(f"fast: {', '.join(applied) or 'nothing'}")
    return tuple(applied)


__all__ = ["PARTS", "Context", "Part", "Refused", "apply", "begin", "told"]

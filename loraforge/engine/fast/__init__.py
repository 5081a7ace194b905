"""The same engine, the same maths, faster: parts that the shim applies inside the engine's process.

Each part is one function that patches the engine, or raises Refused with the reason why it can't serve here; then the
run goes on without it. Standard library only at module level: the engine's Python need not have loraforge's packages.
"""

from collections.abc import Callable, Iterable, Mapping

from loraforge.engine.fast.adafactor import batch_adafactor
from loraforge.engine.fast.blocks import compile_blocks
from loraforge.engine.fast.encoders import fetch_t5_when_needed
from loraforge.engine.fast.hashes import hash_early
from loraforge.engine.fast.norms import skip_norms
from loraforge.engine.fast.part import Context, Part, Refused
from loraforge.engine.fast.swap import swap_one_way

# In the order of application.
PARTS: Mapping[str, Part] = {
    "hash": hash_early,  # first, since it runs beside the imports that follow
    "encoders": fetch_t5_when_needed,
    "norms": skip_norms,
    "adafactor": batch_adafactor,
    "swap": swap_one_way,
    "compile": compile_blocks,
}


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
            say(f"fast: without {name}: {type(fault).__name__}: {fault}".partition("\n")[0])
        else:
            applied.append(name)
    say(f"fast: {', '.join(applied) or 'nothing'}")
    return tuple(applied)


__all__ = ["PARTS", "Context", "Part", "Refused", "apply"]

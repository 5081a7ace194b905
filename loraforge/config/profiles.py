"""Memory profiles: which trades fit which card.

The values are those that the predictor (`advice.fitting`) finds for the presets at 1024 with their samples: a sample of
1024 x 1024 needs more than a step once blocks are swapped. On 8 GB samples are drawn smaller unless their size is set;
8 and 10 GB need T5's file in 8 bits. Profile `auto` asks the predictor about the job itself; here it only takes the
name of a size.
"""

from dataclasses import dataclass

from loraforge.config.memory import Memory, ProfileName


@dataclass(frozen=True, slots=True)
class Profile:
    """One card size.

    Attributes:
        name: as written in `[memory] profile`.
        vram_gib: memory the card is sold with.
        gradient_checkpointing: recompute activations.
        fp8_base: frozen base model in 8 bits.
        blocks_to_swap: blocks kept in host memory, None for none.
    """

    name: ProfileName
    vram_gib: int
    gradient_checkpointing: bool
    fp8_base: bool
    blocks_to_swap: int | None


PROFILES: tuple[Profile, ...] = (
    Profile("8gb", 8, gradient_checkpointing=True, fp8_base=True, blocks_to_swap=32),
    Profile("10gb", 10, gradient_checkpointing=True, fp8_base=True, blocks_to_swap=34),
    Profile("12gb", 12, gradient_checkpointing=True, fp8_base=True, blocks_to_swap=27),
    Profile("16gb", 16, gradient_checkpointing=True, fp8_base=True, blocks_to_swap=13),
    Profile("24gb", 24, gradient_checkpointing=True, fp8_base=True, blocks_to_swap=None),
    Profile("32gb", 32, gradient_checkpointing=True, fp8_base=False, blocks_to_swap=None),
    Profile("48gb", 48, gradient_checkpointing=True, fp8_base=False, blocks_to_swap=None),
    Profile("80gb", 80, gradient_checkpointing=False, fp8_base=False, blocks_to_swap=None),
)


def profile_for(name: ProfileName, vram_gib: float | None) -> Profile:
    """Return the named profile, or for `auto` that of the largest size that a card of `vram_gib` GiB has.

    Cards report a little less than they are sold with (a 24 GB card 23.5 GiB), hence the tolerance. With no
    card in sight `auto` is the 24 GB profile: the commonest card that people rent.
    """
    if name != "auto":
        return next(profile for profile in PROFILES if profile.name == name)
    if vram_gib is None:
        return profile_for("24gb", None)
    fitting = [profile for profile in PROFILES if profile.vram_gib * 0.93 <= vram_gib]
    return fitting[-1] if fitting else PROFILES[0]


def settled(memory: Memory, profile: Profile, *, swaps: bool = True) -> Memory:
    """Fill what the user left open from the profile; what the user set stays.

    Args:
        memory: the settings.
        profile: what decides the rest.
        swaps: whether the run can swap blocks.
    """
    update: dict[str, bool | int | None] = {}
    for field in ("gradient_checkpointing", "fp8_base", "blocks_to_swap"):
        if getattr(memory, field) is None:
            update[field] = getattr(profile, field)
    # An explicit choice to hold the base in bf16, or to keep activations, asks for speed: swapping would undo it.
    if not swaps or memory.fp8_base is False or memory.gradient_checkpointing is False:
        update["blocks_to_swap"] = memory.blocks_to_swap
    return memory.model_copy(update={**update, "profile": profile.name})

"""What graphics cards can do, from their makers' data sheets: memory, matrix rate, memory bandwidth."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Card:
    """One kind of card.

    Attributes:
        name: as the driver reports it, without the maker.
        vram_gib: memory it is sold with.
        tflops: dense bf16 matrix products with 32-bit sums, in TFLOP/s.
        gb_per_s: memory bandwidth in GB/s.
        pcie_gb_per_s: what copies between host and card reach, both ways together, in GB/s; the data sheet's rate
            where swapping was not measured.
        compiles_fp8: Triton reads its 8-bit numbers: compute capability 8.9 and later.
        measured: the predictions of time are calibrated on it.
    """

    name: str
    vram_gib: float
    tflops: float
    gb_per_s: float
    pcie_gb_per_s: float = 20.0
    compiles_fp8: bool = True
    measured: bool = False


# The names are matched in this order, so that the longer of two that begin alike comes first.
CARDS: tuple[Card, ...] = (
    Card("H200", 141, 989, 4800, 36.0),
    Card("H100 PCIe", 80, 756, 2039, 36.0),
    Card("H100 80GB HBM3", 80, 989, 3350, 36.0, measured=True),
    Card("A100-SXM4-80GB", 80, 312, 2039, compiles_fp8=False),
    Card("A100 80GB PCIe", 80, 312, 1935, compiles_fp8=False),
    Card("A100-SXM4-40GB", 40, 312, 1555, compiles_fp8=False),
    Card("A100-PCIE-40GB", 40, 312, 1555, compiles_fp8=False),
    Card("RTX 6000 Ada", 48, 364, 960),
    Card("L40S", 48, 362, 864),
    Card("L40", 48, 181, 864),
    Card("RTX A6000", 48, 155, 768, compiles_fp8=False),
    Card("A40", 48, 150, 696, compiles_fp8=False),
    Card("RTX 5090", 32, 209, 1792, 36.0),
    Card("RTX 4090", 24, 165, 1008),
    Card("RTX 3090 Ti", 24, 80, 1008, compiles_fp8=False),
    Card("RTX 3090", 24, 71, 936, compiles_fp8=False),
    Card("A10G", 24, 70, 600, compiles_fp8=False),
    Card("L4", 24, 121, 300),
    Card("RTX A5000", 24, 111, 768, compiles_fp8=False),
    Card("RTX 5080", 16, 113, 960, 36.0),
    Card("RTX 5070 Ti", 16, 88, 896, 36.0),
    Card("RTX 5060 Ti", 16, 47, 448),
    Card("RTX 4080", 16, 97, 717),
    Card("RTX 4070 Ti SUPER", 16, 88, 672),
    Card("RTX 4060 Ti", 16, 44, 288, 10.0),
    Card("RTX A4000", 16, 77, 448, compiles_fp8=False),
    Card("RTX 5070", 12, 62, 672, 36.0),
    Card("RTX 4070", 12, 58, 504),
    Card("RTX 3060", 12, 25.6, 360, compiles_fp8=False),
    Card("RTX 3080", 10, 59.5, 760, compiles_fp8=False),
    Card("RTX 4060", 8, 30, 272, 10.0),
    Card("RTX 3070", 8, 40.6, 448, compiles_fp8=False),
)
# What stands for a size of memory when only that is known.
_TYPICAL = ("RTX 3070", "RTX 3080", "RTX 3060", "RTX 4080", "RTX 4090", "RTX 5090", "RTX A6000", "H100 80GB HBM3")
TABLE: tuple[Card, ...] = tuple(next(card for card in CARDS if card.name == name) for name in _TYPICAL)


def card_named(name: str) -> Card | None:
    """Return the card that a driver's name means; None for one that is not listed, as those of laptops are not."""
    words = f" {name.lower()} "
    return next((card for card in CARDS if f" {card.name.lower()} " in words and "laptop" not in words), None)


def typical_card(vram_gib: float) -> Card:
    """Return the card that stands for this much memory: the largest common one that has no more."""
    smaller = [card for card in TABLE if card.vram_gib * 0.93 <= vram_gib]
    return smaller[-1] if smaller else TABLE[0]


def standing_for(vram_gib: float) -> Card:
    """Return the typical card for this much memory; one of another size was not measured, whatever stands for it."""
    card = typical_card(vram_gib)
    same = 0.93 * card.vram_gib <= vram_gib <= 1.05 * card.vram_gib
    return card if same else replace(card, measured=False)

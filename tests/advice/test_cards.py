"""The list of cards."""

import pytest

from loraforge.advice.cards import CARDS, TABLE, card_named, typical_card


@pytest.mark.parametrize(
    ("name", "card"),
    [
        ("NVIDIA GeForce RTX 4090", "RTX 4090"),
        ("NVIDIA GeForce RTX 4060 Ti", "RTX 4060 Ti"),
        ("NVIDIA GeForce RTX 3090 Ti", "RTX 3090 Ti"),
        ("NVIDIA A100-SXM4-80GB", "A100-SXM4-80GB"),
        ("NVIDIA H100 80GB HBM3", "H100 80GB HBM3"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA RTX A4000", "RTX A4000"),
        ("NVIDIA H100 PCIe", "H100 PCIe"),
        ("NVIDIA RTX 6000 Ada Generation", "RTX 6000 Ada"),
    ],
)
def test_a_drivers_name_finds_its_card(name, card):
    """Of two names that begin alike the longer one is meant."""
    assert card_named(name).name == card


def test_a_card_that_is_not_listed_is_none():
    """It is for the caller to take a typical one."""
    assert card_named("Some Card 9000") is None
    assert card_named("NVIDIA GeForce RTX 4090 Laptop GPU") is None


def test_longer_names_come_before_those_they_begin_with():
    """Or they would never be found."""
    names = [card.name for card in CARDS]
    assert [later for at, later in enumerate(names) for earlier in names[:at] if f"{earlier} " in later] == []


@pytest.mark.parametrize(("gib", "card"), [(4, 8), (8, 8), (11.6, 12), (23.5, 24), (40, 32), (79.2, 80), (141, 80)])
def test_the_typical_card_has_no_more_memory_than_asked_for(gib, card):
    """Cards report a little less than they are sold with."""
    assert typical_card(gib).vram_gib == card


def test_the_table_has_the_sizes_people_own():
    """8 to 80 GB."""
    assert [card.vram_gib for card in TABLE] == [8, 10, 12, 16, 24, 32, 48, 80]

"""Memory, swap and disks."""

from types import SimpleNamespace

import psutil
import pytest

from loraforge.machine import host as module
from loraforge.machine.host import free_gib, host

GIB = 1 << 30


def test_sizes_are_gib(monkeypatch):
    """What psutil counts in bytes is told in GiB."""
    monkeypatch.setattr(module, "_LIMITS", ())
    monkeypatch.setattr(module.psutil, "virtual_memory", lambda: SimpleNamespace(total=64 * GIB, available=48 * GIB))
    monkeypatch.setattr(module.psutil, "swap_memory", lambda: SimpleNamespace(total=8 * GIB))
    facts = host()
    assert (facts.ram_gib, facts.ram_free_gib, facts.swap_gib) == (64.0, 48.0, 8.0)


@pytest.mark.parametrize(
    ("limit", "total"), [("17179869184\n", 16.0), ("max\n", 64.0), (None, 64.0), (str(2**63), 64.0)]
)
def test_a_container_has_its_own_limit(tmp_path, monkeypatch, limit, total):
    """A rented container sees the whole machine's memory but is killed at its own limit."""
    if limit is not None:
        (tmp_path / "memory.max").write_text(limit, "ascii")
    monkeypatch.setattr(module, "_LIMITS", (tmp_path / "memory.max",))
    monkeypatch.setattr(module.psutil, "virtual_memory", lambda: SimpleNamespace(total=64 * GIB, available=48 * GIB))
    facts = host()
    assert facts.ram_gib == total
    assert facts.ram_free_gib == min(total, 48.0)


@pytest.mark.parametrize("error", [OSError, RuntimeError])
def test_unreadable_swap_counts_as_none(monkeypatch, error):
    """A container without /proc/vmstat still has its memory told."""

    def fail():
        raise error

    monkeypatch.setattr(module.psutil, "swap_memory", fail)
    assert host().swap_gib == 0
    assert host().ram_gib > 0


def test_a_folder_to_be_made_has_the_room_of_its_parent(tmp_path):
    """Free space is asked of the nearest folder that exists."""
    expected = psutil.disk_usage(str(tmp_path)).free / GIB
    assert free_gib(tmp_path / "not" / "yet") == pytest.approx(expected, rel=0.2)


def test_room_that_can_not_be_told(tmp_path, monkeypatch):
    """A disk that does not answer gives None, not a number."""

    def fail(_path):
        raise PermissionError

    monkeypatch.setattr(module.psutil, "disk_usage", fail)
    assert free_gib(tmp_path) is None

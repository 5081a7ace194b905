"""Facts on pictures count the buckets that the engine would make."""

from loraforge.advice.facts import DatasetFacts
from loraforge.config.dataset import Buckets, Dataset


def test_buckets_are_counted():
    """Pictures share a bucket by their trained size; one too narrow for any is left out of the counts only."""
    sizes = [(1024, 1024), (1030, 1020), (1216, 832), (4000, 20)]
    facts = DatasetFacts.of(sizes, ["a", "b", "c", "d"], Dataset())
    assert facts.pictures == 4
    assert facts.buckets == {(1024, 1024): 1, (960, 960): 1, (1216, 832): 1}


def test_no_buckets_is_one_size():
    """Without buckets every picture is trained at the resolution."""
    facts = DatasetFacts.of([(640, 480), (1000, 2000)], ["", ""], Dataset(buckets=Buckets(enabled=False)))
    assert facts.buckets == {(1024, 1024): 2}

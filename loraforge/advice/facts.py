"""What the rules judge beside the settings: pictures, machine and weight files, as plain facts."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from loraforge.config.dataset import Dataset
from loraforge.dataset.buckets import Size, bucket_for
from loraforge.engine.header import read_header
from loraforge.engine.inspection import is_full_size, main_dtype
from loraforge.engine.weights import Weights
from loraforge.errors import DatasetError


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """A set of pictures.

    Attributes:
        pictures: how many there are.
        sizes: upright (width, height) of each in pixels.
        buckets: training size -> how many pictures share it; pictures that no bucket takes are left out.
        captions: the caption texts, in the order of the pictures.
    """

    pictures: int
    sizes: tuple[Size, ...] = ()
    buckets: Mapping[Size, int] = field(default_factory=dict)
    captions: tuple[str, ...] = ()

    @classmethod
    def of(cls, sizes: Sequence[Size], captions: Sequence[str], dataset: Dataset) -> "DatasetFacts":
        """Count the buckets that pictures of these sizes fall into under the dataset's settings."""
        counted: Counter[Size] = Counter()
        for size in sizes:
            try:
                counted[bucket_for(size, dataset.resolution, dataset.buckets).bucket] += 1
            except DatasetError:  # the dataset's own checks name such a picture
                continue
        return cls(len(sizes), tuple(sizes), dict(counted), tuple(captions))


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """The machine that would train.

    Attributes:
        vram_gib: memory of its largest GPU in GiB; None without a GPU.
        ram_gib: host memory in GiB; None where unknown.
        disk_free_gib: free space where results go, in GiB; None where unknown.
        capability: CUDA compute capability, such as (8, 9); None where unknown.
        gpu_count: number of GPUs.
        bitsandbytes: whether the engine's Python has it; None where unknown.
    """

    vram_gib: float | None = None
    ram_gib: float | None = None
    disk_free_gib: float | None = None
    capability: tuple[int, int] | None = None
    gpu_count: int = 0
    bitsandbytes: bool | None = None


@dataclass(frozen=True, slots=True)
class WeightFacts:
    """The weight files, as their headers tell.

    Attributes:
        full_size: real FLUX rather than a tiny model of the same layout.
        transformer_fp8: the transformer's file holds 8-bit numbers.
        t5_fp8: T5's file does.
    """

    full_size: bool = True
    transformer_fp8: bool = False
    t5_fp8: bool = False

    @classmethod
    def of(cls, weights: Weights) -> "WeightFacts":
        """Read the headers of files that are known to be sound."""
        eight_bit = [main_dtype(read_header(path)).startswith("F8") for path in (weights.transformer, weights.t5xxl)]
        return cls(is_full_size(weights), *eight_bit)

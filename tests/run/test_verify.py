"""The proof of a LoRA: what it accepts, and each way in which a file fails it."""

# ruff: noqa: E501  # one row a line reads best

import contextlib
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st
from safetensors.numpy import save_file

from loraforge.config.job import Job
from loraforge.engine.header import HeaderError
from loraforge.run.verify import is_finite, prove

JOB = Job.model_validate({"network": {"rank": 4, "alpha": 2.0}, "training": {"steps": 10, "seed": 7}})
METADATA = {
    "ss_network_dim": "4",
    "ss_network_alpha": "2.0",
    "ss_learning_rate": "0.0001",
    "ss_seed": "7",
    "ss_max_train_steps": "10",
    "ss_steps": "10",
}
NAMES = ("lora_unet_double_blocks_0_img_attn_qkv", "lora_unet_single_blocks_0_linear1")


def weights(**changes):
    """Return the tensors of a small sound LoRA."""
    tensors = {}
    for name in NAMES:
        tensors[f"{name}.lora_down.weight"] = np.full((4, 8), 0.1, np.float32)
        tensors[f"{name}.lora_up.weight"] = np.full((6, 4), 0.2, np.float32)
        tensors[f"{name}.alpha"] = np.array(2.0, np.float32)
    return {**tensors, **changes}


def written(tmp_path, tensors=None, **metadata):
    """Write a LoRA file."""
    path = tmp_path / "lora.safetensors"
    save_file(weights() if tensors is None else tensors, path, metadata={**METADATA, **metadata})
    return path


def faults(path, **more):
    """Return the faults as one text."""
    return "; ".join(prove(path, JOB, step=10, modules=2, **more).faults)


def test_a_sound_lora_is_proven(tmp_path):
    """Nothing is wrong, and step and size are told."""
    proof = prove(written(tmp_path), JOB, step=10, modules=2)
    assert proof.proven
    assert (proof.modules, proof.step) == (2, 10)


def bf16(value):
    """Return bf16 bits of a float as uint16."""
    return (np.asarray(value, np.float32).view(np.uint32) >> 16).astype(np.uint16)


@pytest.mark.parametrize(
    ("value", "part"), [(0.5, ""), (np.nan, "NaN"), (np.inf, "NaN"), (0.0, "still zero"), (-0.0, "still zero")]
)
def test_bf16_values_are_read_bit_by_bit(tmp_path, value, part):
    """NumPy has no bf16, and minus zero is zero."""
    path = written(tmp_path, {name: bf16(np.full(tensor.shape, value)) for name, tensor in weights().items()})
    data = path.read_bytes().replace(b'"U16"', b'"BF16"')
    length = int.from_bytes(data[:8], "little") + data.count(b'"BF16"')
    path.write_bytes(length.to_bytes(8, "little") + data[8:])
    assert (part in faults(path)) if part else faults(path) == ""


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (lambda folder: folder / "none.safetensors", "does not exist"),
        (lambda folder: written(folder, {"x": np.ones(3, np.float32)}), "holds no LoRA layers"),
        (lambda folder: written(folder, ss_network_dim="8"), "ss_network_dim = 8, not 4"),
        (lambda folder: written(folder, ss_network_alpha="16"), "ss_network_alpha = 16, not 2"),
        (lambda folder: written(folder, ss_steps="9"), "ss_steps = 9, not 10"),
        (lambda folder: written(folder, ss_seed="None"), "ss_seed = None"),
        (lambda folder: written(folder, {**weights(), f"{NAMES[0]}.lora_up.weight": np.full((6, 4), np.nan, np.float32)}), "NaN"),
        (lambda folder: written(folder, {k: v * (0 if "up" in k else 1) for k, v in weights().items()}), "still zero"),
        (lambda folder: written(folder, {k: v for k, v in weights().items() if NAMES[1] not in k}), "adapts 1 layers"),
        (lambda folder: written(folder, {k: v for k, v in weights().items() if "linear1.lora_up" not in k}), "lacks the second half"),
        (lambda folder: written(folder, {k: (np.ones((8, 8), np.float32) if "down" in k else v) for k, v in weights().items()}), "has rank 8, not 4"),
        (lambda folder: written(folder, {k.replace("lora_unet_single", "lora_te1_single"): v for k, v in weights().items()}), "not asked for"),
    ],
)  # fmt: skip
def test_each_fault_is_named(tmp_path, make, part):
    """A LoRA that is not the one asked for says in what."""
    assert part in faults(make(tmp_path))


def test_a_cut_off_file_is_no_lora(tmp_path):
    """A file that ends early is refused at every length."""
    data = written(tmp_path).read_bytes()
    cut = tmp_path / "cut.safetensors"
    for length in range(0, len(data) - 1, 37):
        cut.write_bytes(data[:length])
        assert not prove(cut, JOB).proven


ODD = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=8),
    st.lists(st.integers(-9, 2**40), max_size=4), st.dictionaries(st.text(max_size=4), st.integers(), max_size=2),
)  # fmt: skip
WHERE = st.sampled_from(["", "dtype", "shape", "data_offsets", "__metadata__"])


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 5), WHERE, ODD)
@example(0, "dtype", "F8_E4M3")
@example(0, "shape", [])
@example(0, "shape", [[4], 8])
@example(0, "data_offsets", [1, 9])
@example(0, "__metadata__", {"ss_seed": 7})
@example(0, "__metadata__", {"ss_steps": "²"})
@example(0, "__metadata__", [])
@example(0, "__metadata__", None)
def test_whatever_a_header_says(tmp_path, which, where, odd):
    """A header with any value in any place is proven wrong, or else still right: never a crash, never a false proof."""
    sound = written(tmp_path).read_bytes()
    length = int.from_bytes(sound[:8], "little")
    header = json.loads(sound[8 : 8 + length])
    entry = header[sorted(set(header) - {"__metadata__"})[which]]
    if where == "__metadata__":
        header[where] = odd
    elif where:
        entry[where] = odd
    else:
        header[sorted(header)[which]] = odd
    text = json.dumps(header).encode("utf-8", "surrogatepass")
    path = tmp_path / "odd.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + sound[8 + length :])
    assert not prove(path, JOB, step=10, modules=2).proven or header == json.loads(sound[8 : 8 + length])
    with contextlib.suppress(HeaderError):
        assert is_finite(path) in {True, False}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=6))
def test_any_bytes_are_survived(tmp_path, changes):
    """Bytes that changed on the disk end in a verdict."""
    data = bytearray(written(tmp_path).read_bytes())
    for at, value in changes:
        data[at % len(data)] = value
    path = tmp_path / "odd.safetensors"
    path.write_bytes(data)
    assert prove(path, JOB, step=10, modules=2).faults is not None

import numpy as np
import pytest
from fake_runs import lora_tensors
from safetensors.numpy import save_file

from loraforge.errors import ConfigError
from loraforge.ship.lora_file import DOWN, UP, Lora, difference, from_bf16, read_lora, to_bf16, write_bf16


@pytest.mark.spawns  # importing torch asks the system for its libraries
def test_rounding_is_torchs():
    """Every kind of float32 rounds to the bf16 that torch makes of it."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    values = rng.integers(0, 2**32, 20_000, dtype=np.uint32).view(np.float32)
    values[:6] = [0.0, -0.0, np.inf, -np.inf, 1.0, 1e-40]
    numbers = values[~np.isnan(values)]
    ours = from_bf16(to_bf16(numbers))
    theirs = torch.from_numpy(numbers.copy()).bfloat16().float().numpy()
    assert np.array_equal(ours, theirs)
    assert np.isnan(from_bf16(to_bf16(np.array([np.nan], np.float32)))).all()


@pytest.mark.spawns
def test_a_written_file_is_read_by_safetensors(tmp_path):
    """Names, shapes and values survive, rounded to bf16, and the header's words do too."""
    lora = Lora({name: value.astype(np.float32) for name, value in lora_tensors().items()}, {"ss_seed": "1", "x": "ü"})
    path = tmp_path / "a.safetensors"
    write_bf16(path, lora)
    again = read_lora(path)
    assert again.metadata == lora.metadata
    assert set(again.tensors) == set(lora.tensors)
    assert all(
        np.array_equal(again.tensors[name], from_bf16(to_bf16(value)).reshape(value.shape))
        for name, value in lora.tensors.items()
    )
    torch_file = pytest.importorskip("safetensors.torch")
    assert torch_file.load_file(path)["lora_unet_single_blocks_0_linear1.lora_down.weight"].shape == (4, 24)


def test_difference_is_that_of_the_full_matrices():
    """The small products give what the large matrices would."""
    first = Lora({name: value.astype(np.float32) for name, value in lora_tensors(seed=1).items()}, {})
    second = Lora({name: value.astype(np.float32) for name, value in lora_tensors(rank=2, seed=2).items()}, {})
    apart = total = 0.0
    for module in first.modules():
        one = first.tensors[module + UP] @ first.tensors[module + DOWN] * first.scale(module)
        two = second.tensors[module + UP] @ second.tensors[module + DOWN] * second.scale(module)
        apart, total = apart + float(np.square(one - two).sum()), total + float(np.square(one).sum())
    assert difference(first, second) == pytest.approx((apart / total) ** 0.5, rel=1e-4)
    assert difference(first, first) == 0


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "can't be read"),
        (b"", "is empty"),
        (b"<html>", "web page"),
        (b"\x10\x00\x00\x00\x00\x00\x00\x00{}", "ends within"),
    ],
)
def test_damaged_files_are_told(content, says, tmp_path):
    """Missing, empty, foreign and truncated files have words, and a hint."""
    path = tmp_path / "a.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=says) as caught:
        read_lora(path)
    assert "--step" in caught.value.hint


def test_other_tensors_are_no_lora(tmp_path):
    """A file of whole numbers, or without layers, is refused."""
    save_file({"a": np.zeros(3, np.int32)}, tmp_path / "a.safetensors")
    save_file({"a": np.zeros(3, np.float32)}, tmp_path / "b.safetensors")
    with pytest.raises(ConfigError, match="I32"):
        read_lora(tmp_path / "a.safetensors")
    with pytest.raises(ConfigError, match="no LoRA layers"):
        read_lora(tmp_path / "b.safetensors")

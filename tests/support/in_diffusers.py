"""What a LoRA does in diffusers, against the same LoRA merged into the weights by hand."""

from pathlib import Path

import pytest

from loraforge.engine.diffusers_layout import to_diffusers
from loraforge.engine.flux_pipeline import load_pipeline
from loraforge.engine.weights import Weights
from loraforge.ship.lora_file import DOWN, UP, read_lora


def assert_same_in_diffusers(converted: Path, checkpoint: Path, weights: Weights) -> None:
    """Compare a converted file, loaded by diffusers, with the checkpoint that it came from.

    The update that it makes to the transformer's output must be that of the checkpoint, merged by hand in float32, to
    within 1% of the mean change: the noise of bf16.
    """
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file

    lora = read_lora(checkpoint)
    state = {name: tensor.float() for name, tensor in load_file(weights.transformer).items()}
    names = {"lora_unet_" + name.removesuffix(".weight").replace(".", "_"): name for name in state}
    merged = dict(state)
    for module in lora.modules():
        update = lora.tensors[module + UP] @ lora.tensors[module + DOWN] * lora.scale(module)
        merged[names[module]] = merged[names[module]] + torch.from_numpy(update)
    pipeline = load_pipeline(weights)
    model = pipeline.transformer.float().eval()
    inputs = _inputs(torch, model.config)
    with torch.no_grad():
        base = model(**inputs)[0]
        pipeline.load_lora_weights(str(converted.parent), weight_name=converted.name)
        adapted = model(**inputs)[0]
        pipeline.unload_lora_weights()
        model.load_state_dict(to_diffusers(merged))
        expected = model(**inputs)[0]
    change = (expected - base).abs().mean()
    assert change > 0.01 * base.abs().mean()
    assert (adapted - expected).abs().mean() < 0.01 * change


def _inputs(torch, config):
    generator = torch.Generator().manual_seed(1)
    ids = torch.zeros(16, 3)
    ids[:, 1], ids[:, 2] = torch.arange(16) // 4, torch.arange(16) % 4
    return {
        "hidden_states": torch.randn(1, 16, config.in_channels, generator=generator),
        "encoder_hidden_states": torch.randn(1, 8, config.joint_attention_dim, generator=generator),
        "pooled_projections": torch.randn(1, config.pooled_projection_dim, generator=generator),
        "timestep": torch.tensor([0.5]),
        "guidance": torch.tensor([3.5]),
        "img_ids": ids,
        "txt_ids": torch.zeros(8, 3),
        "return_dict": False,
    }

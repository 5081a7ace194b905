"""BFL's names and diffusers' agree with what the two libraries call their modules."""

import pytest

from loraforge.engine.diffusers_layout import adapted_modules, diffusers_modules, to_diffusers


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("img_in", ["x_embedder"]),
        ("time_in.out_layer", ["time_text_embed.timestep_embedder.linear_2"]),
        ("final_layer.adaLN_modulation.1", ["norm_out.linear"]),
        ("double_blocks.7.img_attn.qkv", [f"transformer_blocks.7.attn.to_{part}" for part in "qkv"]),
        ("double_blocks.0.txt_attn.qkv", [f"transformer_blocks.0.attn.add_{part}_proj" for part in "qkv"]),
        ("double_blocks.0.txt_attn.norm.key_norm", ["transformer_blocks.0.attn.norm_added_k"]),
        ("double_blocks.18.txt_mlp.2", ["transformer_blocks.18.ff_context.net.2"]),
        ("single_blocks.37.norm.query_norm", ["single_transformer_blocks.37.attn.norm_q"]),
        (
            "single_blocks.37.linear1",
            [f"single_transformer_blocks.37.{part}" for part in ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp")],
        ),
    ],
)
def test_modules(ours: str, theirs: list[str]) -> None:
    """A BFL module is made of these diffusers modules, in the order of its rows."""
    assert diffusers_modules(ours) == theirs


@pytest.mark.parametrize("name", ["double_blocks.0.attn", "head.in_layer", "single_blocks.0.img_mod.lin"])
def test_unknown_modules(name: str) -> None:
    """A module that FLUX has not is an error, not a guess."""
    with pytest.raises(KeyError):
        diffusers_modules(name)


@pytest.mark.parametrize(("targets", "count"), [("all", 304), ("double", 190), ("single", 114)])
def test_adapted_modules_of_the_real_model(targets: str, count: int) -> None:
    """FLUX.1 has as many adapted projections as sd-scripts reports."""
    assert len(set(adapted_modules(19, 38, targets))) == count


@pytest.mark.engine
def test_tensors_are_divided_among_modules() -> None:
    """Query, key and value are as wide as the model, the rest is the last part's; the last modulation is turned."""
    import torch

    rows = torch.arange(14.0)
    state = {
        "model.diffusion_model.img_in.weight": torch.zeros(2, 3),
        "model.diffusion_model.single_blocks.0.linear1.bias": rows,
        "model.diffusion_model.single_blocks.0.norm.key_norm.scale": rows[:1],
        "model.diffusion_model.final_layer.adaLN_modulation.1.weight": rows[:4, None],
        "model.diffusion_model.final_layer.adaLN_modulation.1.bias": rows[:4],
    }
    converted = {name: tensor.flatten().tolist() for name, tensor in to_diffusers(state).items()}
    block = "single_transformer_blocks.0"
    assert converted == {
        "x_embedder.weight": [0.0] * 6,
        f"{block}.attn.to_q.bias": [0.0, 1.0],
        f"{block}.attn.to_k.bias": [2.0, 3.0],
        f"{block}.attn.to_v.bias": [4.0, 5.0],
        f"{block}.proj_mlp.bias": rows[6:].tolist(),
        f"{block}.attn.norm_k.weight": [0.0],
        "norm_out.linear.weight": [2.0, 3.0, 0.0, 1.0],
        "norm_out.linear.bias": [2.0, 3.0, 0.0, 1.0],
    }

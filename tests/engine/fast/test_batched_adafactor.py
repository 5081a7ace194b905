"""Batched Adafactor is Adafactor."""

from typing import Any

import pytest

from loraforge.engine.fast.adafactor import _stepping

_SHAPES = [(4, 10), (4, 10), (10, 4), (6, 8), (4, 10)]


def _train(step: Any, gradients: list[list[Any]], **options: Any) -> tuple[list[Any], Any]:
    import torch
    from transformers.optimization import Adafactor

    torch.manual_seed(0)
    parameters = [torch.nn.Parameter(torch.randn(shape)) for shape in _SHAPES]
    fixed = {"relative_step": False, "warmup_init": False}
    optimizer = Adafactor([{"params": parameters}], lr=1e-2, **fixed, **{"scale_parameter": False, **options})
    for of_step in gradients:
        for parameter, gradient in zip(parameters, of_step, strict=True):
            parameter.grad = gradient.clone()
        step(optimizer)
    return parameters, optimizer.state_dict()


@pytest.mark.spawns  # importing transformers does
@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.1}, {"scale_parameter": True}, {"beta1": 0.9}])
def test_the_same_parameters(options: dict[str, Any]) -> None:
    """Some steps on matrices of three shapes end where the optimizer's own step ends, with states to exchange."""
    import torch
    from transformers.optimization import Adafactor

    torch.manual_seed(1)
    gradients = [[torch.randn(shape) * 1e-3 for shape in _SHAPES] for _ in range(4)]
    gradients[0][1].zero_()  # as a LoRA's lower matrices have at the first step
    ours, state = _train(_stepping(Adafactor.step), gradients, **options)
    theirs, expected = _train(Adafactor.step, gradients, **options)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-8)
    assert [sorted(entry) for entry in state["state"].values()] == [
        sorted(entry) for entry in expected["state"].values()
    ]

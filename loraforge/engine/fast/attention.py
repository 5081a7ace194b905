"""One layout for the gradient of attention, compiled or not."""

from collections.abc import Callable
from typing import Any


def with_dense_gradient(attention: Callable[..., Any]) -> Callable[..., Any]:
    """Return the engine's attention, whose gradient reaches torch's without gaps.

    Torch keeps cuDNN's plan for the backward pass by the layout of queries, keys and values, though the plan holds the
    gradient's too (aten/src/ATen/native/cudnn/MHA.cpp). A single block's gradient is a slice of a wider matrix, but
    dense where the block is compiled: with batches of two or more the rest is alike, and whichever kind comes second
    in a process, as eager does when compiling fails, would read the gradient at the other's places.
    """
    import torch

    class Dense(torch.autograd.Function):  # type: ignore[misc]  # torch is untyped here
        @staticmethod
        def forward(_context: Any, result: Any) -> Any:
            return result.view_as(result)

        @staticmethod
        def backward(_context: Any, gradient: Any) -> Any:
            return gradient.contiguous()

    def dense(q: Any, k: Any, v: Any, pe: Any, attn_mask: Any = None) -> Any:
        return Dense.apply(attention(q, k, v, pe=pe, attn_mask=attn_mask))

    return dense

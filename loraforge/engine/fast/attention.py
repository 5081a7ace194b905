"""Attention by cuDNN where that is the fastest."""

from loraforge.engine.fast.part import Context, Refused

_HOPPER = (9, 0)


def prefer_cudnn_attention(_: Context) -> None:
    """Let torch's attention try cuDNN before the kernels it prefers by default.

    Same operation, same precision. Torch's own flash kernel was written for Ampere; from Hopper on cuDNN's is ahead.
    """
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    if not torch.cuda.is_available() or torch.cuda.get_device_capability() < _HOPPER:
        raise Refused("torch's own kernel is as fast on this card")
    order = [
        SDPBackend.CUDNN_ATTENTION,
        SDPBackend.FLASH_ATTENTION,
        SDPBackend.EFFICIENT_ATTENTION,
        SDPBackend.MATH,
    ]
    sdpa_kernel(order, set_priority=True).__enter__()  # for the rest of the process

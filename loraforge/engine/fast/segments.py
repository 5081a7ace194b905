"""GPU memory in segments that grow."""

import os
import platform

from loraforge.engine.fast.part import Context, Refused

_SETTINGS = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")  # the newer and the older name


def grow_segments(_context: Context) -> None:
    """Have torch grow its segments of GPU memory where it would ask for another one beside them.

    Compiled blocks ask for fewer and larger pieces, of sizes that change with the pictures': in segments of fixed size
    the pieces left free are too small for the next request, and more is reserved than plain sd-scripts needs.
    """
    if given := next((name for name in _SETTINGS if os.environ.get(name)), None):
        raise Refused(f"{given} is set, which decides")
    if platform.system() != "Linux" or "microsoft" in platform.release().lower():
        # Windows has none, and in WSL drivers before R615 fail on them: pytorch/pytorch#192330.
        raise Refused("segments grow on Linux only")
    import torch

    if not torch.cuda.is_available() or torch.version.cuda is None:
        raise Refused("there is no CUDA card")
    change = getattr(torch._C, "_accelerator_setAllocatorSettings", None)  # since torch 2.9
    set_ = change or torch.cuda.memory._set_allocator_settings
    set_("expandable_segments:True")
    try:
        torch.empty(1, device=f"cuda:{os.environ.get('LOCAL_RANK', '0')}")
    except RuntimeError as fault:  # as on shares of a card: dmlc/xgboost#12217
        set_("expandable_segments:False")
        raise Refused(f"this card has no virtual memory: {fault}".partition("\n")[0]) from None

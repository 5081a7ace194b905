"""Block swap that copies one way only, and beside the work."""

import contextlib
import functools
import weakref
from typing import Any

from loraforge.engine.fast.part import Context, Refused, known

_KEPT = "_loraforge_host"  # the attribute of a layer that holds its pinned copy


def swap_one_way(context: Context) -> None:
    """Keep the weights of swapped blocks in pinned memory for good, and copy them to the GPU only.

    The base model is frozen, yet the engine copies each block back as well, and waits for the whole GPU before and
    after every copy. Here a copy waits for the block that frees its place, and the next block waits for the copy; the
    CPU waits for neither.
    """
    if not context.options.get("blocks_to_swap"):
        raise Refused("no blocks are swapped")
    if not context.options.get("gradient_checkpointing"):
        raise Refused("without gradient checkpointing weights may be kept for the backward pass")
    import torch
    from library import custom_offloading_utils as offloading

    offloader = offloading.Offloader
    known(offloader, "_wait_blocks_move", "a6be576d5444")
    known(offloading, "swap_weight_devices_cuda", "9ce64a2dcaeb")
    submit = known(offloader, "_submit_move_blocks", "d7b7f8a67db4")
    move_to = known(offloading, "weighs_to_device", "fe6fb0b598f4")
    if not torch.cuda.is_available():
        raise Refused("there is no CUDA card")
    stream_of = functools.cache(torch.cuda.Stream)  # made at the first use: the card of the process is known by then
    # The engine brings blocks into pinned memory of torch's, which torch would keep when they have left it.
    give_back = getattr(torch._C, "_host_emptyCache", lambda: None)

    def _submit_move_blocks(mover: Any, blocks: Any, out: int, into: int) -> None:
        if not mover.cuda_available:
            submit(mover, blocks, out, into)
            return
        stream = stream_of(mover.device)
        stream.wait_stream(torch.cuda.current_stream())  # the block that goes has been computed
        with torch.no_grad(), torch.cuda.stream(stream):
            fresh = _move(blocks[out], blocks[into])
            mover.futures[into] = stream.record_event()
        if fresh:
            give_back()

    def _wait_blocks_move(mover: Any, block: int) -> None:
        waited = mover.futures.pop(block, None)
        if isinstance(waited, torch.cuda.Event):
            torch.cuda.current_stream().wait_event(waited)
        elif waited is not None:
            waited.result()

    def weighs_to_device(block: Any, device: Any) -> None:
        if device.type == "cpu":
            _return_to_kept(block)
        move_to(block, device)

    offloader._submit_move_blocks = _submit_move_blocks
    offloader._wait_blocks_move = _wait_blocks_move
    offloading.weighs_to_device = weighs_to_device


def _move(out: Any, into: Any) -> bool:
    """Give the GPU memory of one block's weights to another's, and fill it; tell whether a pinned copy was made."""
    going, fresh = dict(out.named_modules()), False
    for name, module in into.named_modules():
        weight = getattr(module, "weight", None)
        other = getattr(going.get(name), "weight", None)
        if weight is None or other is None or weight.shape != other.shape:
            continue
        place = other.data
        if weight.data.device == place.device:
            continue  # the two have not changed places: there is nothing to move
        fresh = fresh or not (hasattr(module, _KEPT) and hasattr(going[name], _KEPT))
        source = _kept(module)
        other.data = _kept(going[name])
        place.copy_(source, non_blocking=True)
        weight.data = place
    return fresh


def _return_to_kept(block: Any) -> None:
    """Have a block's weights be their pinned copies again.

    The engine puts all blocks in their places before each step of a sample picture, and would copy those that it swaps
    from the GPU into new pinned memory, which stays beside the copies that are there.
    """
    for module in block.modules():
        kept = getattr(module, _KEPT, None)
        if kept is not None and kept.dtype == module.weight.dtype:
            module.weight.data = kept


def _kept(module: Any) -> Any:
    """Return the pinned copy of a module's weight, made when it is first needed."""
    import torch

    kept = getattr(module, _KEPT, None)
    if kept is None:
        weight = module.weight.data
        kept = torch.empty(weight.shape, dtype=weight.dtype).copy_(weight)
        # Pinned in place: torch's own pinned memory comes in powers of two.
        if int(torch.cuda.cudart().cudaHostRegister(kept.data_ptr(), kept.nbytes, 0)) != 0:
            _forget_error()  # pageable memory serves too, only slower
        else:
            # What is freed while it is pinned can't be pinned again by whoever gets the memory next.
            ending = weakref.finalize(kept, torch.cuda.cudart().cudaHostUnregister, kept.data_ptr())
            ending.atexit = False
        setattr(module, _KEPT, kept)
    return kept


def _forget_error() -> None:
    """Take the error that a refused call left behind, lest the next kernel be blamed for it."""
    import torch

    with contextlib.suppress(RuntimeError):
        torch.zeros(1, device="cuda")

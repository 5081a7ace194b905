"""What becomes of the weights of swapped blocks, in training and between the steps of a sample picture."""

import pytest
from in_engine import answer

from loraforge.engine.locate import EngineHome

# The engine's own offloading over a card that is imagined: torch's "meta" device holds nothing, so that reading
# back from it, as the engine's way does, is an error.
_SWAP = """
import contextlib, json, sys
sys.path[:0] = sys.argv[1:3]
import torch
from library import custom_offloading_utils as offloading
from loraforge.engine.fast import swap
from loraforge.engine.fast.part import Context
pinned, given_back = [], []
class Runtime:
    def cudaHostRegister(self, place, size, flags):
        pinned.append(place)
        return 0
    def cudaHostUnregister(self, place):
        return 0
class Event: ...
class Stream:
    def __init__(self, device=None): ...
    def wait_stream(self, other): ...
    def wait_event(self, event): ...
    def record_event(self): return Event()
torch.cuda.is_available, torch.cuda.cudart, torch.cuda.Stream, torch.cuda.Event = lambda: True, Runtime, Stream, Event
torch.cuda.stream, torch.cuda.current_stream = lambda _: contextlib.nullcontext(), Stream
torch._C._host_emptyCache = lambda: given_back.append(True)
swap.swap_one_way(Context({"blocks_to_swap": 2, "gradient_checkpointing": True}, print))
offloading._synchronize_device = offloading._clean_memory_on_device = lambda _: None

class Weight:  # a parameter that may go to such a card
    def __init__(self): self.data = torch.randn(4, 4)
    shape, dtype = property(lambda self: self.data.shape), property(lambda self: self.data.dtype)
class Layer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = Weight()
    def to(self, device): self.weight.data = self.weight.data.to(device)
class Block(torch.nn.Sequential):
    def to(self, device): self[0].to(device)
card = torch.device("meta")
first, last = Block(Layer()), Block(Layer())
values = [block[0].weight.data.clone() for block in (first, last)]
first[0]._loraforge_host = first[0].weight.data.clone()  # it has been on the host before
first.to(card)
mover = offloading.ModelOffloader([first, last], 1, card, supports_backward=False)
mover.cuda_available = True
mover._submit_move_blocks([first, last], 0, 1)
waited = list(mover.futures)
mover._wait_blocks_move(1)
moved = [str(block[0].weight.data.device) for block in (first, last)]
mover.prepare_block_devices_before_forward([first, last])  # before each step of a sample picture
placed = [str(block[0].weight.data.device) for block in (first, last)]
last_kept = last[0].weight.data.data_ptr() == last[0]._loraforge_host.data_ptr() in pinned
mover._submit_move_blocks([first, last], 0, 1)
same = [torch.equal(block[0]._loraforge_host, value) for block, value in zip((first, last), values)]
print(json.dumps([moved, placed, waited, last_kept, same, len(pinned), len(given_back)]))
"""


@pytest.mark.engine
def test_a_swapped_block_has_one_copy_on_the_host(engine_home: EngineHome) -> None:
    """It is pinned once, and is what the block goes back to wherever the engine puts blocks in their places."""
    moved, placed, waited, last_kept, same, pinned, given_back = answer(_SWAP, engine_home.path)
    assert moved == ["cpu", "meta"]
    assert placed == ["meta", "cpu"]
    assert waited == [1]
    assert last_kept
    assert same == [True, True]
    assert (pinned, given_back) == (1, 1)

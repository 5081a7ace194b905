"""The gradient of attention has one layout, however a block is run."""

import pytest
from in_engine import answer

from loraforge.engine.locate import EngineHome

# Both kinds of block, forward and backward, as eager goes on after a failed compilation.
_BLOCKS = """
import json, sys
sys.path[:0] = [sys.argv[1], sys.argv[2]]
import torch
from library import flux_models as models
from loraforge.engine.fast import blocks
from loraforge.engine.fast.part import Context

attend, seen = torch.nn.functional.scaled_dot_product_attention, []
def spying(*given, **named):
    result = attend(*given, **named)
    result.register_hook(lambda gradient: seen.append([result.stride(), gradient.stride(), gradient.is_contiguous()]))
    return result
if sys.argv[3] == "fast":
    context = Context({}, print)
    blocks._start_workers = lambda: None
    blocks.compile_blocks(context)
    context.broken.add("compile")
torch.nn.functional.scaled_dot_product_attention = spying
torch.manual_seed(0)
double = models.DoubleStreamBlock(64, 2, mlp_ratio=4.0, qkv_bias=True)
single = models.SingleStreamBlock(64, 2, mlp_ratio=4.0)
pe = torch.randn(2, 1, 12, 16, 2, 2)
image, text, vector = torch.randn(2, 8, 64), torch.randn(2, 4, 64), torch.randn(2, 64)
image.requires_grad_(), text.requires_grad_()
image_out, text_out = double(image, text, vector, pe)
single(torch.cat((text_out, image_out), 1), vector, pe).square().sum().backward()
seen.append([value.grad.double().sum().item() for value in (image, text)])
print(json.dumps(seen))
"""


@pytest.mark.engine
def test_gradients_are_dense_where_compiling_failed(engine_home: EngineHome) -> None:
    """Plain, a single block's gradient is a slice of a wider one; with the fast path it is dense."""
    plain, fast = (answer(_BLOCKS, engine_home.path, way) for way in ("plain", "fast"))
    (single, _), (single_fast, double_fast) = plain[:2], fast[:2]
    tokens, features = 12, 64
    dense = [tokens * features, features // 2, features, 1]
    assert single[1] != dense, "the engine's own layout is dense now: the part has nothing left to do"
    assert single_fast[1] == double_fast[1] == dense
    assert plain[2] == fast[2]

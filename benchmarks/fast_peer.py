"""Time the same step in diffusers + peft, without checkpointing, at 1024.

usage: fast_peer.py OUT.json [--steps N] [--tiny]
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
from diffusers import FluxTransformer2DModel
from fast_ways import measured_on
from peft import LoraConfig

# What kohya's LoRA has by default: every linear layer inside the blocks.
TARGETS = (
    r"(transformer_blocks|single_transformer_blocks)\.\d+\."
    r"(attn\.(to_q|to_k|to_v|to_out\.0|add_q_proj|add_k_proj|add_v_proj|to_add_out)"
    r"|ff\.net\.0\.proj|ff\.net\.2|ff_context\.net\.0\.proj|ff_context\.net\.2|proj_mlp|proj_out"
    r"|norm\.linear|norm1\.linear|norm1_context\.linear)"
)


def model_of(device: str, *, tiny: bool) -> FluxTransformer2DModel:
    """Return FLUX.1-dev's transformer with random weights and a LoRA of rank 16."""
    small = {"num_layers": 2, "num_single_layers": 2, "num_attention_heads": 2, "joint_attention_dim": 64}
    with torch.device("meta"):
        model = FluxTransformer2DModel(guidance_embeds=True, **(small if tiny else {}))
    model = model.to_empty(device=device).to(torch.bfloat16)
    torch.manual_seed(0)
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.02) if parameter.ndim > 1 else parameter.data.fill_(1)
    model.requires_grad_(requires_grad=False)
    model.add_adapter(LoraConfig(r=16, lora_alpha=16, target_modules=TARGETS))
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return model


def main() -> None:
    """Train a few steps on random latents."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--tiny", action="store_true")
    given = parser.parse_args()
    device, side = ("cpu", 16) if given.tiny else ("cuda", 64)
    model = model_of(device, tiny=given.tiny)
    learnt = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learnt, lr=1e-4)
    torch.manual_seed(1)
    kind = {"device": device, "dtype": torch.bfloat16}
    text_width, pooled_width = model.config.joint_attention_dim, model.config.pooled_projection_dim
    text, pooled = torch.randn(1, 512, text_width, **kind), torch.randn(1, pooled_width, **kind)
    latents = torch.randn(1, side * side, 64, **kind)
    text_ids = torch.zeros(512, 3, **kind)
    picture_ids = torch.zeros(side, side, 3, **kind)
    picture_ids[..., 1], picture_ids[..., 2] = torch.arange(side, **kind)[:, None], torch.arange(side, **kind)
    seconds = []
    for _ in range(given.steps):
        began = time.perf_counter()
        noise, time_ = torch.randn_like(latents), torch.rand(1, **kind)
        with torch.autocast(device, torch.bfloat16):
            predicted = model(
                hidden_states=(1 - time_) * latents + time_ * noise, encoder_hidden_states=text,
                pooled_projections=pooled, timestep=time_, guidance=torch.ones(1, **kind), txt_ids=text_ids,
                img_ids=picture_ids.reshape(-1, 3), return_dict=False,
            )[0]  # fmt: skip
        loss = torch.nn.functional.mse_loss(predicted.float(), (noise - latents).float())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learnt, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        loss.item()
        seconds.append(round(time.perf_counter() - began, 4))
    peak = (0, 0) if given.tiny else (torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved())
    row = {
        "row": "diffusers + peft",
        "on": measured_on(),
        "modules": sum("lora_A" in name for name, _ in model.named_parameters()),
        "s_per_it": statistics.median(seconds[3:]),
        "first_step": seconds[0],
        "allocated_gib": round(peak[0] / 2**30, 2),
        "reserved_gib": round(peak[1] / 2**30, 2),
        "seconds": seconds,
    }
    given.out.write_text(json.dumps(row), encoding="utf-8")
    print("ROW", json.dumps(row))


if __name__ == "__main__":
    main()

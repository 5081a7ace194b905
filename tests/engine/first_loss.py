"""Prints the loss and LoRA gradients of one engine's first step as JSON; run in a child process, it loads torch.

usage: first_loss.py kohya|embedded WEIGHTS_FOLDER LORA_FILE [ENGINE_FOLDER]
Weights, LoRA, latents, text and seed are the same for both, and each engine draws noise and noise level by itself.
"""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import torch
from accelerate import Accelerator
from safetensors.torch import load_file, save_file

ARGS = SimpleNamespace(
    timestep_sampling="flux_shift",
    sigmoid_scale=1.0,
    discrete_flow_shift=3.0,
    model_prediction_type="raw",
    guidance_scale=1.0,
    gradient_checkpointing=True,
    apply_t5_attn_mask=False,
    ip_noise_gamma=None,
)
RANK, ALPHA, TOKENS, DTYPE = 4, 2.0, 32, torch.bfloat16


def batch() -> dict[str, torch.Tensor]:
    """Return a batch of two, of an oblong size so that rows and columns can't be confused."""
    generator = torch.Generator().manual_seed(1)
    shapes = {"latents": (2, 16, 16, 24), "l_pooled": (2, 64), "t5_out": (2, TOKENS, 64)}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def embedded(weights: Path, lora: Path) -> tuple[torch.Tensor, torch.nn.Module]:
    """Return the embedded engine's loss, and its LoRA; writes the LoRA file, all matrices random, if it is missing."""
    from loraforge.engine.embedded import flow_loss
    from loraforge.engine.flux_pipeline import load_pipeline
    from loraforge.engine.kohya_lora import add_lora
    from loraforge.engine.tiny import make_tiny_flux

    pipeline = load_pipeline(make_tiny_flux(weights))
    model = pipeline.transformer
    network = add_lora(model, RANK, ALPHA)
    if not lora.exists():
        torch.manual_seed(2)
        state = network.state_dict()
        save_file({name: torch.randn_like(old) / 10 if old.ndim else old for name, old in state.items()}, lora)
    network.load_state_dict(load_file(lora))
    model.train().enable_gradient_checkpointing()
    torch.manual_seed(3)
    names = {"latents": "latents", "l_pooled": "pooled_prompt_embeds", "t5_out": "prompt_embeds"}
    tensors = {names[name]: tensor for name, tensor in batch().items()}
    return flow_loss(pipeline, tensors, ARGS), network


def kohya(weights: Path, lora: Path, engine: Path) -> tuple[torch.Tensor, torch.nn.Module]:
    """Return sd-scripts' loss, through its own trainer, and its LoRA."""
    from loraforge.engine import shapes, shim

    sys.path.insert(0, str(engine))
    shim.shrink_transformer(shim.Launch({"ckpt_path": str(weights / "flux1-tiny.safetensors")}, shapes))
    from flux_train_network import FluxNetworkTrainer
    from library import flux_utils
    from networks import lora_flux

    _, model = flux_utils.load_flow_model(str(weights / "flux1-tiny.safetensors"), DTYPE, "cpu")
    model.requires_grad_(requires_grad=False)
    network, state = lora_flux.create_network_from_weights(1.0, str(lora), None, [], model)
    network.apply_to([], model, apply_text_encoder=False, apply_unet=True)
    network.load_state_dict(state)
    network.requires_grad_(requires_grad=True)
    model.enable_gradient_checkpointing()
    model.train()
    accelerator = Accelerator(mixed_precision="bf16", cpu=True)
    trainer = FluxNetworkTrainer()
    scheduler = trainer.get_noise_scheduler(ARGS, accelerator.device)
    inputs = batch()
    text = [inputs["l_pooled"], inputs["t5_out"], torch.zeros(2, TOKENS, 3), None]
    torch.manual_seed(3)
    predicted, target, *_ = trainer.get_noise_pred_and_target(
        ARGS, accelerator, scheduler, inputs["latents"], {}, text, model, network, DTYPE, train_unet=True
    )
    return torch.nn.functional.mse_loss(predicted.float(), target.float()), network


def main() -> None:
    """Print one engine's numbers."""
    kind, weights, lora, *engine = sys.argv[1:]
    folders = map(Path, (weights, lora, *engine))
    loss, network = kohya(*folders) if kind == "kohya" else embedded(*folders)
    loss.backward()
    norms = {name: value.grad.norm().item() for name, value in network.named_parameters() if value.grad is not None}
    sys.stdout.write(json.dumps({"loss": loss.item(), "gradients": norms}) + "\n")


if __name__ == "__main__":
    main()

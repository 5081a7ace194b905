"""FLUX with diffusers, from the four weight files that sd-scripts takes: assembled, encoding and drawing.

Needs torch; nothing that must start fast may import it.
"""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer, T5Config, T5EncoderModel, T5TokenizerFast

from loraforge.dataset.buckets import Placement
from loraforge.dataset.images import load_rgb
from loraforge.engine.diffusers_layout import to_diffusers
from loraforge.engine.shapes import autoencoder_channels, clip_dims, read_shapes, t5_dims, transformer_dims
from loraforge.engine.weights import TOKENIZERS, Weights

log = logging.getLogger(__name__)


def load_pipeline(weights: Weights) -> FluxPipeline:
    """Assemble diffusers' FluxPipeline from four files in the engine's layout, frozen, in bf16, on the processor.

    Each model gets the dimensions that its file shows. Tokenizers come from the folder that the engine would cache
    them in, else by name from the hub.
    """
    dims = transformer_dims(read_shapes(weights.transformer))
    width = autoencoder_channels(read_shapes(weights.autoencoder))
    with init_empty_weights():
        transformer = FluxTransformer2DModel(
            in_channels=dims["in_channels"],
            num_layers=dims["depth"],
            num_single_layers=dims["depth_single_blocks"],
            attention_head_dim=dims["hidden_size"] // dims["num_heads"],
            num_attention_heads=dims["num_heads"],
            joint_attention_dim=dims["context_in_dim"],
            pooled_projection_dim=dims["vec_in_dim"],
            guidance_embeds=dims["guidance_embed"],
            axes_dims_rope=tuple(dims["axes_dim"]),
        )
        autoencoder = AutoencoderKL(
            block_out_channels=(width, 2 * width, 4 * width, 4 * width),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
            latent_channels=16,
            use_quant_conv=False,
            use_post_quant_conv=False,
            scaling_factor=0.3611,
            shift_factor=0.1159,
        )
        # gelu, and eos_token_id 2 (the highest id ends a text), are what the engine's own settings come to.
        clip = CLIPTextModel(
            CLIPTextConfig(**clip_dims(read_shapes(weights.clip_l)), hidden_act="gelu", eos_token_id=2)
        )
        t5 = T5EncoderModel(T5Config(**t5_dims(read_shapes(weights.t5xxl)), feed_forward_proj="gated-gelu"))
    return FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, base_shift=0.5, max_shift=1.15),
        transformer=_filled(transformer, weights.transformer, to_diffusers),
        vae=_filled(
            autoencoder, weights.autoencoder, lambda state: convert_ldm_vae_checkpoint(state, autoencoder.config)
        ),
        text_encoder=_filled(clip, weights.clip_l, dict),
        text_encoder_2=_filled(t5, weights.t5xxl, dict),
        tokenizer=CLIPTokenizer.from_pretrained(_tokenizer(weights, "openai/clip-vit-large-patch14")),
        tokenizer_2=T5TokenizerFast.from_pretrained(_tokenizer(weights, "google/t5-v1_1-xxl")),
    )


@torch.no_grad()
def encode_picture(pipeline: FluxPipeline, path: Path, place: Placement) -> dict[str, Tensor]:
    """Return the `latents` (16, height / 8, width / 8) of a picture, scaled and centre-cropped to its bucket."""
    image = load_rgb(path)
    left, top, right, bottom = place.crop_box
    box = (left * image.width, top * image.height, right * image.width, bottom * image.height)
    kind = Image.Resampling.LANCZOS if place.upscaled else Image.Resampling.BOX
    pixels = pipeline.image_processor.preprocess(image.resize(place.bucket, kind, box))
    vae = pipeline.vae
    drawn = vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist.sample()[0]
    return {"latents": vae.config.scaling_factor * (drawn - vae.config.shift_factor)}


@torch.no_grad()
def encode_text(pipeline: FluxPipeline, text: str, tokens: int | None = None) -> dict[str, Tensor]:
    """Return what both text encoders make of a text, under the names that the pipeline takes it by.

    Args:
        pipeline: with its text encoders on the device to use.
        text: a caption or prompt.
        tokens: length of T5's sequence; None is the engine's 512 for FLUX.1-dev and 256 for schnell.

    Returns:
        `prompt_embeds` (tokens, width) of T5's and `pooled_prompt_embeds` (width) of CLIP's.
    """
    tokens = tokens or (512 if pipeline.transformer.config.guidance_embeds else 256)
    device = pipeline.text_encoder.device
    sequence, pooled, _ = pipeline.encode_prompt(text, None, device, max_sequence_length=tokens)
    return {"prompt_embeds": sequence[0], "pooled_prompt_embeds": pooled[0]}


def draw(pipeline: FluxPipeline, text: dict[str, Tensor], flags: Mapping[str, str]) -> Image.Image:
    """Draw a picture.

    Args:
        pipeline: with transformer and autoencoder on the device to use.
        text: what `encode_text` made of the prompt.
        flags: the engine's w and h (pixels), s (steps), g (guidance) and d (seed).
    """
    drawn = pipeline(
        width=int(flags["w"]),
        height=int(flags["h"]),
        num_inference_steps=int(flags["s"]),
        guidance_scale=float(flags["g"]),
        generator=torch.Generator(pipeline.device).manual_seed(int(flags["d"])),
        **{name: tensor[None] for name, tensor in text.items()},
    )
    return drawn.images[0]


def _filled(model: nn.Module, path: Path, convert: Callable[[dict[str, Tensor]], Any]) -> nn.Module:
    """Give a model that was made without memory the tensors of its file."""
    log.info("Loading state dict from %s", path)
    # Text encoders' files differ in what they carry beside the encoder, so names may be left over, as in the engine.
    model.load_state_dict(convert(load_file(path)), strict=False, assign=True)
    if missing := sorted(name for name, tensor in model.state_dict().items() if tensor.is_meta):
        raise ValueError(f"{path} lacks {', '.join(missing)}")
    return model.to(torch.bfloat16).eval().requires_grad_(requires_grad=False)


def _tokenizer(weights: Weights, name: str) -> str:
    folder = weights.tokenizers and weights.tokenizers / TOKENIZERS[name]
    return str(folder) if folder and folder.is_dir() else name

"""FLUX for the embedded engine: diffusers' transformer with a LoRA of sd-scripts' shape, and the engine's own maths.

Runs in the embedded engine's process only.
"""

import logging
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from accelerate import Accelerator
from diffusers import AutoencoderKL, FluxPipeline, FluxTransformer2DModel
from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint
from peft import LoraConfig
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer, T5Config, T5EncoderModel, T5TokenizerFast

from loraforge.engine.naming import adapted_modules, diffusers_modules
from loraforge.engine.shapes import autoencoder_channels, clip_dims, read_shapes, t5_dims, transformer_dims

log = logging.getLogger("embedded")
_LATENT_SCALE, _LATENT_SHIFT = 0.3611, 0.1159


def load_transformer(path: Path, dtype: torch.dtype) -> FluxTransformer2DModel:
    """Build the frozen transformer that a BFL-layout file describes."""
    dims = transformer_dims(read_shapes(path))
    log.info("Building Flux model %s from BFL checkpoint", "dev" if dims["guidance_embed"] else "schnell")
    with torch.device("meta"):
        model = FluxTransformer2DModel(
            in_channels=dims["in_channels"], num_layers=dims["depth"], num_single_layers=dims["depth_single_blocks"],
            attention_head_dim=dims["hidden_size"] // dims["num_heads"], num_attention_heads=dims["num_heads"],
            joint_attention_dim=dims["context_in_dim"], pooled_projection_dim=dims["vec_in_dim"],
            guidance_embeds=dims["guidance_embed"], axes_dims_rope=tuple(dims["axes_dim"]),
        )  # fmt: skip
    log.info("Loading state dict from %s", path)
    state: dict[str, Tensor] = {}
    for name, tensor in load_file(path).items():
        module, kind = name.removeprefix("model.diffusion_model.").rsplit(".", 1)
        names = [f"{part}.{'weight' if kind == 'scale' else kind}" for part in diffusers_modules(module)]
        pieces = tensor.to(dtype).split([model.get_parameter(part).shape[0] for part in names])
        state.update(zip(names, pieces, strict=True))
    for kind in ("weight", "bias"):  # the last modulation is shift and scale to BFL, scale and shift to diffusers
        state[f"norm_out.linear.{kind}"] = torch.cat(state[f"norm_out.linear.{kind}"].chunk(2)[::-1])
    log.info("Loaded Flux: %s", model.load_state_dict(state, assign=True))
    return model.requires_grad_(requires_grad=False)


def load_autoencoder(path: Path, dtype: torch.dtype) -> AutoencoderKL:
    """Build the frozen autoencoder that a BFL-layout file describes."""
    log.info("Building AutoEncoder")
    width = autoencoder_channels(read_shapes(path))
    model = AutoencoderKL(
        block_out_channels=(width, 2 * width, 4 * width, 4 * width), layers_per_block=2, latent_channels=16,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        use_quant_conv=False, use_post_quant_conv=False,
    )  # fmt: skip
    log.info("Loading state dict from %s", path)
    log.info("Loaded AE: %s", model.load_state_dict(convert_ldm_vae_checkpoint(load_file(path), model.config)))
    return model.to(dtype).requires_grad_(requires_grad=False)


class TextEncoders:
    """Both text encoders with their tokenizers; called with a caption, returns its `l_pooled` and `t5_out`."""

    def __init__(self, args: SimpleNamespace, tokens: int, dtype: torch.dtype) -> None:
        self.tokens = tokens
        self.clip_tokens = CLIPTokenizer.from_pretrained(_tokenizer(args, "openai/clip-vit-large-patch14"))
        self.t5_tokens = T5TokenizerFast.from_pretrained(_tokenizer(args, "google/t5-v1_1-xxl"))
        # gelu, and eos_token_id 2 (the highest id ends a text), are what the engine's own settings come to.
        clip = CLIPTextConfig(**clip_dims(read_shapes(Path(args.clip_l))), hidden_act="gelu", eos_token_id=2)
        t5 = T5Config(**t5_dims(read_shapes(Path(args.t5xxl))), feed_forward_proj="gated-gelu")
        self.clip, self.t5 = CLIPTextModel(clip).to(dtype).eval(), T5EncoderModel(t5).to(dtype).eval()
        for name, model, path in (("CLIP-L", self.clip, args.clip_l), ("T5xxl", self.t5, args.t5xxl)):
            log.info("Loading state dict from %s", path)
            log.info("Loaded %s: %s", name, model.load_state_dict(load_file(path), strict=False))

    def to(self, device: torch.device) -> None:
        """Move both encoders."""
        self.clip.to(device)
        self.t5.to(device)

    def __call__(self, caption: str) -> dict[str, Tensor]:
        """Encode one caption: `l_pooled` (width) and `t5_out` (tokens, width)."""
        settings = {"padding": "max_length", "truncation": True, "return_tensors": "pt"}
        clip = self.clip_tokens(caption, max_length=77, **settings).input_ids.to(self.clip.device)
        t5 = self.t5_tokens(caption, max_length=self.tokens, **settings).input_ids.to(self.t5.device)
        with torch.no_grad():
            return {"l_pooled": self.clip(clip).pooler_output[0], "t5_out": self.t5(t5).last_hidden_state[0]}


def _tokenizer(args: SimpleNamespace, name: str) -> str:
    """Return the folder of a tokenizer, or its name on the hub where there is none; the engine's own convention."""
    local = Path(args.tokenizer_cache_dir or "", name.replace("/", "_"))
    return str(local) if args.tokenizer_cache_dir and local.is_dir() else name


class Lora(nn.Module):
    """One adapted projection of sd-scripts: a shared down matrix and a fused up matrix, begun as there."""

    def __init__(self, inputs: int, outputs: int, rank: int, alpha: float) -> None:
        super().__init__()
        self.lora_down, self.lora_up = nn.Linear(inputs, rank, bias=False), nn.Linear(rank, outputs, bias=False)
        nn.init.kaiming_uniform_(self.lora_down.weight, a=math.sqrt(5))
        nn.init.zeros_(self.lora_up.weight)
        self.register_buffer("alpha", torch.tensor(alpha))


class Rows(nn.Module):
    """The rows of a fused up matrix that belong to one of diffusers' projections, so that training stays fused."""

    def __init__(self, up: nn.Linear, start: int, stop: int) -> None:
        super().__init__()
        self.up, self.rows = up, slice(start, stop)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return this part of the fused product."""
        return functional.linear(hidden, self.up.weight[self.rows])


def add_lora(model: FluxTransformer2DModel, rank: int, alpha: float, targets: str) -> nn.ModuleDict:
    """Put peft adapters into the transformer and return them under the names that sd-scripts saves them by."""
    fused = adapted_modules(model.config.num_layers, model.config.num_single_layers, targets)
    parts = {name: diffusers_modules(name) for name in fused}
    names = [part for group in parts.values() for part in group]
    model.add_adapter(LoraConfig(r=rank, lora_alpha=alpha, target_modules=names))
    network = nn.ModuleDict()
    for name, group in parts.items():
        layers = [model.get_submodule(part) for part in group]
        ends = np.cumsum([0, *(layer.out_features for layer in layers)]).tolist()
        lora = Lora(layers[0].in_features, ends[-1], rank, alpha)
        for layer, start, stop in zip(layers, ends, ends[1:], strict=False):
            layer.lora_A["default"], layer.lora_B["default"] = lora.lora_down, Rows(lora.lora_up, start, stop)
        network["lora_unet_" + name.replace(".", "_")] = lora
    return network


def time_shift(sigma: Tensor, tokens: int) -> Tensor:
    """Shift noise levels upwards with the picture's size in tokens, as FLUX was trained."""
    shift = math.exp(0.5 + (1.15 - 0.5) * (tokens - 256) / (4096 - 256))
    return shift / (shift + (1 / sigma - 1))


def draw_sigmas(args: SimpleNamespace, latents: Tensor) -> Tensor:
    """Draw a noise level, 0 to 1, for each picture of a batch."""
    count, _, height, width = latents.shape
    if args.timestep_sampling == "uniform":
        return torch.rand(count, device=latents.device)
    sigmas = (torch.randn(count, device=latents.device) * args.sigmoid_scale).sigmoid()
    if args.timestep_sampling == "shift":
        return sigmas * args.discrete_flow_shift / (1 + (args.discrete_flow_shift - 1) * sigmas)
    return time_shift(sigmas, (height // 2) * (width // 2)) if args.timestep_sampling == "flux_shift" else sigmas


def predict(
    model: FluxTransformer2DModel, latents: Tensor, sigmas: Tensor, guidance: float, text: dict[str, Tensor]
) -> Tensor:
    """Run the transformer on noisy latents (batch, 16, height, width) and return its prediction in the same shape."""
    count, channels, height, width = latents.shape
    device = latents.device
    prediction = model(
        hidden_states=FluxPipeline._pack_latents(latents, count, channels, height, width),  # noqa: SLF001  # no public one
        timestep=sigmas,
        guidance=torch.full((count,), guidance, device=device) if model.config.guidance_embeds else None,
        pooled_projections=text["l_pooled"],
        encoder_hidden_states=text["t5_out"],
        img_ids=FluxPipeline._prepare_latent_image_ids(count, height // 2, width // 2, device, torch.float32),  # noqa: SLF001
        txt_ids=torch.zeros(text["t5_out"].shape[1], 3, device=device),
        return_dict=False,
    )[0]
    return FluxPipeline._unpack_latents(prediction, height * 8, width * 8, 8)  # noqa: SLF001


def flow_loss(
    model: FluxTransformer2DModel,
    tensors: dict[str, Tensor],
    args: SimpleNamespace,
    accelerator: Accelerator,
    dtype: torch.dtype,
) -> Tensor:
    """Return the engine's flow-matching loss of a batch; noise is drawn first and the noise level second, as there."""
    latents = tensors["latents"]
    noise = torch.randn_like(latents)
    sigmas = draw_sigmas(args, latents)
    level = sigmas.view(-1, 1, 1, 1)
    noisy = ((1 - level) * latents + level * noise).to(dtype)
    with accelerator.autocast():
        timesteps = (sigmas * 1000).to(dtype) / 1000  # rounded as in the engine
        predicted = predict(model, noisy, timesteps, args.guidance_scale, tensors)
    return functional.mse_loss(predicted.float(), noise - latents)


def encode(model: AutoencoderKL, picture: Tensor) -> Tensor:
    """Return the latents (16, height / 8, width / 8) of a picture (1, 3, height, width) in -1 to 1."""
    with torch.no_grad():
        drawn = model.encode(picture.to(model.device, model.dtype)).latent_dist.sample()
    return (_LATENT_SCALE * (drawn - _LATENT_SHIFT))[0]


def draw(
    model: FluxTransformer2DModel,
    autoencoder: AutoencoderKL,
    prompt: SimpleNamespace,
    text: dict[str, Tensor],
    accelerator: Accelerator,
) -> np.ndarray:
    """Draw a sample as the engine does; returns (height, width, 3) in 0 to 255.

    Args:
        model: the transformer.
        autoencoder: moved to the device while it decodes.
        prompt: width, height, seed, steps and guidance.
        text: the encoded prompt.
        accelerator: for device and precision.
    """
    device, dtype = accelerator.device, autoencoder.dtype
    rows, columns = prompt.height // 16, prompt.width // 16
    generator = torch.Generator(device).manual_seed(prompt.seed)
    packed = torch.randn(1, rows * columns, 64, device=device, dtype=dtype, generator=generator)
    latents = FluxPipeline._unpack_latents(packed, prompt.height, prompt.width, 8)  # noqa: SLF001
    levels = time_shift(torch.linspace(1, 0, prompt.steps + 1), rows * columns).tolist()
    text = {name: tensor[None].to(device) for name, tensor in text.items()}
    with torch.no_grad(), accelerator.autocast():
        for level, following in zip(tqdm(levels[:-1]), levels[1:], strict=True):
            sigma = torch.full((1,), level, device=device, dtype=dtype)
            latents = latents + (following - level) * predict(model, latents, sigma, prompt.guidance, text)
        pixels = autoencoder.to(device).decode(latents / _LATENT_SCALE + _LATENT_SHIFT).sample
    autoencoder.to("cpu")
    pixels = (127.5 * (pixels.clamp(-1, 1) + 1)).permute(0, 2, 3, 1)
    return pixels.float().cpu().numpy().astype(np.uint8)[0]

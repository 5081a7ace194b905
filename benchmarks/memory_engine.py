"""sd-scripts' own modules with full-size random weights, which cost the time and memory of real ones."""

import os
import time
from types import SimpleNamespace
from typing import Any

import flux_train_network
import torch
from accelerate import Accelerator
from full_size import materialise
from library import flux_models, flux_train_utils, flux_utils, strategy_flux, train_util
from memory_configurations import Configuration
from networks import lora_flux

_OPTIMIZERS = {"adafactor": "Adafactor", "adamw": "AdamW", "adamw8bit": "AdamW8bit"}
# Beside the square, as a set of pictures has them; of nearly its area, so that they don't decide the peak.
_ASPECTS = {512: (608, 416), 768: (896, 640), 1024: (1216, 832)}


def transformer(device: torch.device, dtype: torch.dtype) -> flux_models.Flux:
    with torch.device("meta"):
        flux = flux_models.Flux(flux_models.configs["dev"].params)
    return materialise(flux, device, dtype)


def autoencoder(device: torch.device) -> flux_models.AutoEncoder:
    with torch.device("meta"):
        encoder = flux_models.AutoEncoder(flux_models.configs["dev"].ae_params)
    return materialise(encoder, device, torch.bfloat16).eval()


def text_encoders(device: torch.device, t5_dtype: torch.dtype) -> list[Any]:
    """Return CLIP-L and T5-XXL; a T5 in 8 bits is what an 8-bit file gives."""
    loaders = ((flux_utils.load_clip_l, torch.bfloat16), (flux_utils.load_t5xxl, t5_dtype))
    return [materialise(load(None, None, "cpu", state_dict={}), device, dtype).eval() for load, dtype in loaders]


class Bench:
    """One configuration on the device, as flux_train_network.py would have it."""

    def __init__(self, configuration: Configuration, device: torch.device) -> None:
        self.configuration, self.device = configuration, device
        self.base = torch.float8_e4m3fn if configuration.fp8 else torch.bfloat16
        self.accelerator = Accelerator(mixed_precision="bf16", cpu=device.type == "cpu")
        self.trainer = flux_train_network.FluxNetworkTrainer()
        self.args = _arguments(configuration)
        self.encoding = strategy_flux.FluxTextEncodingStrategy(apply_t5_attn_mask=False)

    # --- phases -------------------------------------------------------------------------------------------------

    def encode_picture(self) -> None:
        """Cache one picture's latents, as the engine does."""
        picture = self._picture(1, self.configuration.width, self.configuration.height)
        with torch.no_grad():
            self.vae.encode(picture).to("cpu")

    def encode_captions(self) -> None:
        """Cache one batch of captions, as the engine does."""
        with torch.no_grad(), self.accelerator.autocast():
            pooled, text, *_ = self.encoding.encode_tokens(None, self.encoders, self._tokens(self.configuration.batch))
        pooled.float().cpu(), text.float().cpu()

    def step(self, size: tuple[int, int]) -> float:
        """Train one step; returns seconds."""
        batch = self._batch(size)
        self._wait()
        began = time.perf_counter()
        loss = self.trainer.process_batch(
            batch, self.encoders, self.flux, self.network, self.vae, self.scheduler, torch.bfloat16, torch.bfloat16,
            self.accelerator, self.args, self.encoding, None, train_text_encoder=self.configuration.train_clip_l,
        )  # fmt: skip
        self.accelerator.backward(loss)
        self.network.update_grad_norms()
        self.network.update_norms()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        for norms in (self.network.weight_norms(), self.network.grad_norms(), self.network.combined_weight_norms()):
            if norms is not None:
                norms.mean().item()
        loss.detach().item()
        self._wait()
        return time.perf_counter() - began

    def sizes(self) -> list[tuple[int, int]]:
        """Return the sizes of the steps: other buckets first and between, the largest twice at the end."""
        square = (self.configuration.width, self.configuration.height)
        other = _ASPECTS.get(self.configuration.width, square)
        return [other, square, other[::-1], square, square]

    def sample(self, steps: int, folder: str) -> float:
        """Draw one sample; returns seconds."""
        text = [part.to(torch.bfloat16) if part.is_floating_point() else part for part in self._conditions(1)]
        prompt = {
            "prompt": "p", "enum": 0, "seed": 1, "sample_steps": steps,
            "width": self.configuration.width, "height": self.configuration.height,
        }  # fmt: skip
        self._wait()
        began = time.perf_counter()
        with torch.no_grad(), self.accelerator.autocast():
            flux_train_utils.sample_image_inference(
                self.accelerator, self.args, self.flux, None, self.vae, folder, prompt, None, steps, {"p": text},
                None, None,
            )  # fmt: skip
        self._wait()
        return time.perf_counter() - began

    # --- building -----------------------------------------------------------------------------------------------

    def load_autoencoder(self) -> None:
        """Build what encodes pictures."""
        self.vae = autoencoder(self.device)

    def load_text_encoders(self) -> None:
        """Build what encodes captions."""
        self.encoders = text_encoders(self.device, self.base)
        if self.configuration.fp8:
            self.trainer.prepare_text_encoder_fp8(1, self.encoders[1], torch.float8_e4m3fn, torch.bfloat16)

    def load_training(self) -> None:
        """Build everything that trains, in the engine's order."""
        configuration, device = self.configuration, self.device
        self.encoders: list[Any] = []
        if not configuration.text_cached:
            self.load_text_encoders()
            if configuration.fp8:  # the engine casts both
                self.encoders[0].to(torch.float8_e4m3fn)
                self.trainer.prepare_text_encoder_fp8(0, self.encoders[0], torch.float8_e4m3fn, torch.bfloat16)
        self.vae = autoencoder(torch.device("cpu"))
        self.flux = transformer(device, self.base)
        if configuration.swap:
            self.flux.enable_block_swap(configuration.swap, device)
        with device:  # the engine makes it on the processor and moves it
            self.network = lora_flux.create_network(
                1.0, configuration.rank, float(configuration.rank), self.vae, self.encoders[:1], self.flux,
                train_blocks=configuration.targets,
            )  # fmt: skip
        self.network.apply_to(self.encoders, self.flux, apply_text_encoder=configuration.train_clip_l)
        if configuration.checkpointing:
            self.flux.enable_gradient_checkpointing()
            if configuration.train_clip_l:
                self.encoders[0].gradient_checkpointing_enable()
        groups, _ = self.network.prepare_optimizer_params_with_multiple_te_lrs(None, None, 1e-4)
        _, _, self.optimizer = train_util.get_optimizer(self.args, groups)
        self.flux.requires_grad_(requires_grad=False)
        self.flux.train(configuration.checkpointing)
        for encoder in self.encoders:
            encoder.requires_grad_(requires_grad=False)
            encoder.train(configuration.checkpointing)
        if configuration.train_clip_l and configuration.checkpointing:
            self.trainer.prepare_text_encoder_grad_ckpt_workaround(0, self.encoders[0])
        self.flux.prepare_block_swap_before_forward()
        self.network.to(device)
        self.network.prepare_grad_etc(None, self.flux)
        self.network.on_epoch_start(None, self.flux)
        if not configuration.latents_cached:
            self.vae.to(device)
        self.scheduler = self.trainer.get_noise_scheduler(self.args, device)
        self.trainer.is_swapping_blocks = configuration.swap > 0

    # --- inputs -------------------------------------------------------------------------------------------------

    def _batch(self, size: tuple[int, int]) -> dict[str, Any]:
        count, (width, height) = self.configuration.batch, size
        batch: dict[str, Any] = {"loss_weights": torch.ones(count, device=self.device), "captions": ["p"] * count}
        if self.configuration.latents_cached:
            batch["latents"] = torch.randn(count, 16, height // 8, width // 8, device=self.device)
        else:
            batch["images"] = torch.rand(count, 3, height, width, device=self.device) * 2 - 1
        if self.configuration.text_cached:
            batch["text_encoder_outputs_list"] = self._conditions(count)
        else:
            batch["input_ids_list"] = self._tokens(count)
        return batch

    def _conditions(self, count: int) -> list[torch.Tensor]:
        """Return text-encoder outputs as the cache holds them, in 32 bits."""
        parameters = flux_models.configs["dev"].params
        tokens = self.configuration.tokens
        shapes = ((count, parameters.vec_in_dim), (count, tokens, parameters.context_in_dim))
        pooled, text = (torch.randn(shape, device=self.device) for shape in shapes)
        ids, mask = torch.zeros(count, tokens, 3), torch.ones(count, tokens, dtype=torch.long)
        return [pooled, text, ids.to(self.device), mask.to(self.device)]

    def _tokens(self, count: int) -> list[torch.Tensor]:
        lengths = (77, self.configuration.tokens, self.configuration.tokens)
        return [torch.ones(count, length, dtype=torch.long, device=self.device) for length in lengths]

    def _picture(self, count: int, width: int, height: int) -> torch.Tensor:
        return torch.rand(count, 3, height, width, device=self.device, dtype=torch.bfloat16)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def _arguments(configuration: Configuration) -> SimpleNamespace:
    arguments = vars(flux_train_network.setup_parser().parse_args([]))
    adafactor = ["relative_step=False", "scale_parameter=False", "warmup_init=False"]
    return SimpleNamespace(
        **arguments
        | {
            "gradient_checkpointing": configuration.checkpointing,
            "timestep_sampling": "flux_shift",
            "model_prediction_type": "raw",
            "guidance_scale": 1.0,
            "learning_rate": 1e-4,
            "optimizer_type": _OPTIMIZERS[configuration.optimizer],
            "optimizer_args": adafactor if configuration.optimizer == "adafactor" else None,
            "max_grad_norm": 0.0,
            "output_dir": os.devnull,
        }
    )

"""The stand-in engine: trains a FLUX LoRA with diffusers and peft from the very files that sd-scripts reads.

usage: embedded.py --config_file X      under accelerate, as flux_train_network.py

It serves a first look where sd-scripts can't be had. It takes the options that loraforge renders, refuses any other by
name, and speaks the engine's own lines on the engine's own streams. It has no feature that sd-scripts has not.
"""

import argparse
import ast
import importlib
import json
import logging
import math
import random
import shutil
import sys
import time
import tomllib
from pathlib import Path
from types import SimpleNamespace

if __name__ == "__main__":  # Python puts a script's folder first, where header.py and its like would hide other modules
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from PIL import Image
from rich.console import Console
from rich.logging import RichHandler
from torch import nn
from tqdm import tqdm
from transformers import get_scheduler

from loraforge.engine.embedded_data import Entry, batches_of, fill_caches, read_entries, read_prompts
from loraforge.engine.embedded_flux import TextEncoders, add_lora, draw, flow_loss, load_autoencoder, load_transformer
from loraforge.engine.embedded_options import DEFAULTS, OPTIMIZERS, dataset_faults, option_faults, read_flat
from loraforge.engine.embedded_output import make_metadata, save_lora
from loraforge.engine.shapes import read_shapes, transformer_dims
from loraforge.errors import LoraforgeError

log = logging.getLogger("embedded")


def make_optimizer(args: SimpleNamespace, network: nn.Module) -> tuple[torch.optim.Optimizer, str]:
    """Return the optimizer and its description as the engine's metadata spells it."""
    module, _, name = OPTIMIZERS[args.optimizer_type.lower()].rpartition(".")
    settings = {key: ast.literal_eval(value) for key, value in (item.split("=", 1) for item in args.optimizer_args)}
    optimizer = getattr(importlib.import_module(module), name)
    described = f"({','.join(f'{key}={value}' for key, value in settings.items())})" if settings else ""
    return optimizer(network.parameters(), lr=args.learning_rate, **settings), f"{module}.{name}{described}"


def refuse(faults: list[str]) -> None:
    """End with exit code 2 where there are faults, naming each."""
    for fault in faults:
        print(f"error: the embedded engine {fault}", file=sys.stderr)
    if faults:
        raise SystemExit(2)


def _describe(entries: list[Entry], epoch: list[list[Entry]], repeats: int, folder: str) -> None:
    log.info("prepare images.")
    log.info("found directory %s contains %d image files", folder, len(entries))
    if bare := sum(not entry.caption for entry in entries):
        log.warning("No caption file found for %d images. Training will continue without captions", bare)
    log.info("%d train images with repeats.", len(entries) * repeats)
    log.info("0 reg images with repeats.")
    log.info("make buckets")
    log.info("number of images (including repeats)")
    sizes = sorted({entry.bucket for entry in entries})
    for index, size in enumerate(sizes):
        count = sum(len(batch) for batch in epoch if batch[0].bucket == size)
        log.info("bucket %d: resolution %s, count: %d", index, size, count)
    if not entries:
        log.error("No data found. Please verify arguments: there is no picture in %s", folder)
        raise SystemExit(1)


def _head(args: SimpleNamespace, epoch: list[list[Entry]], epochs: int, batch_size: int, pictures: int) -> None:
    print("running training / 学習開始")
    print(f"  num train images * repeats / 学習画像の数×繰り返し回数: {pictures}")
    print("  num validation images * repeats / 学習画像の数×繰り返し回数: 0")
    print("  num reg images / 正則化画像の数: 0")
    print(f"  num batches per epoch / 1epochのバッチ数: {len(epoch)}")
    print(f"  num epochs / epoch数: {epochs}")
    print(f"  batch size per device / バッチサイズ: {batch_size}")
    print(f"  gradient accumulation steps / 勾配を合計するステップ数 = {args.gradient_accumulation_steps}")
    print(f"  total optimization steps / 学習ステップ数: {args.max_train_steps}", flush=True)


class Trainer:
    """One run, from options to a saved LoRA."""

    def __init__(self, args: SimpleNamespace) -> None:
        self.args, self.output = args, Path(args.output_dir)
        self.dtype = torch.bfloat16 if args.mixed_precision == "bf16" else torch.float32
        set_seed(args.seed)
        self.dev = transformer_dims(read_shapes(Path(args.pretrained_model_name_or_path)))["guidance_embed"]
        tokens = args.t5xxl_max_token_length or (512 if self.dev else 256)
        log.info("t5xxl_max_token_length: %d", tokens)
        log.info("Loading dataset config from %s", args.dataset_config)
        (table,) = tomllib.loads(Path(args.dataset_config).read_text(encoding="utf-8"))["datasets"]
        (subset,) = table["subsets"]
        self.batch_size, self.repeats = table.get("batch_size", 1), subset.get("num_repeats", 1)
        self.entries = read_entries(table, subset)
        self.epoch = batches_of(self.entries, self.repeats, self.batch_size)
        _describe(self.entries, self.epoch, self.repeats, subset["image_dir"])
        log.info("preparing accelerator")
        self.accelerator = Accelerator(
            gradient_accumulation_steps=args.gradient_accumulation_steps, mixed_precision=args.mixed_precision
        )
        if self.accelerator.num_processes > 1:
            refuse(["trains on one process"])
        print(f"accelerator device: {self.accelerator.device}")
        self.model = load_transformer(Path(args.pretrained_model_name_or_path), self.dtype)
        self.autoencoder = load_autoencoder(Path(args.ae), self.dtype)
        self.prompts = read_prompts(args.sample_prompts)
        self.encode(tokens)
        self.prepare()

    def encode(self, tokens: int) -> None:
        """Fill both caches and encode the prompts; the text encoders are gone again before training."""
        text = TextEncoders(self.args, tokens, self.dtype)
        with self.accelerator.autocast():
            fill_caches(self.entries, self.autoencoder, text, self.args, self.accelerator.device)
            if self.prompts:
                log.info("cache Text Encoder outputs for sample prompt: %s", self.args.sample_prompts)
            for prompt in self.prompts:
                log.info("cache Text Encoder outputs for prompt: %s", prompt.text)
                prompt.encoded = text(prompt.text)
        del text
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def prepare(self) -> None:
        """Make the LoRA, its optimizer and its schedule, and go on from a saved state where one is named."""
        args = self.args
        # Encoding drew random numbers unless the caches were warm, and the LoRA must not depend on that.
        set_seed(args.seed)
        print("import network module:", args.network_module)
        log.info("create LoRA network. base dim (rank): %s, alpha: %s", args.network_dim, args.network_alpha)
        targets = args.network_args[0].partition("=")[2] if args.network_args else "all"
        network = add_lora(self.model, args.network_dim, args.network_alpha, targets)
        log.info("create LoRA for FLUX %s blocks: %d modules.", targets, len(network))
        log.info("enable LoRA for U-Net: %d modules", len(network))
        self.model.train(args.gradient_checkpointing).to(self.accelerator.device)
        if args.gradient_checkpointing:
            self.model.enable_gradient_checkpointing()
            print("FLUX: Gradient checkpointing enabled. CPU offload: False")
        print("prepare optimizer, data loader etc.", flush=True)
        optimizer, described = make_optimizer(args, network)
        cycles = {"num_cycles": args.lr_scheduler_num_cycles} if args.lr_scheduler == "cosine_with_restarts" else {}
        schedule = get_scheduler(
            args.lr_scheduler, optimizer, args.lr_warmup_steps, args.max_train_steps, scheduler_specific_kwargs=cycles
        )
        self.network, self.optimizer, self.schedule = self.accelerator.prepare(network, optimizer, schedule)
        self.epochs = math.ceil(args.max_train_steps * args.gradient_accumulation_steps / len(self.epoch))
        _head(args, self.epoch, self.epochs, self.batch_size, len(self.entries) * self.repeats)
        facts = {
            "ss_optimizer": described,
            "ss_num_train_images": len(self.entries) * self.repeats,
            "ss_num_batches_per_epoch": len(self.epoch),
            "ss_num_epochs": self.epochs,
        }
        self.metadata = make_metadata(args, facts, dev=self.dev)
        self.first = 0
        if args.resume:
            self.accelerator.load_state(args.resume)
            state = json.loads(Path(args.resume, "train_state.json").read_text(encoding="utf-8"))
            log.info("load train state from %s: %s", args.resume, state)
            # As in the engine: without the flag weights and optimizer go on, but counting begins anew.
            self.first = state["current_step"] if args.skip_until_initial_step else 0
            if self.first >= args.max_train_steps:
                refuse([f"can't go on from step {self.first}: max_train_steps is {args.max_train_steps}"])

    def train(self) -> None:
        """Run the loop and save the LoRA."""
        args, accelerator = self.args, self.accelerator
        self.output.mkdir(parents=True, exist_ok=True)
        step, losses = self.first, dict[int, float]()
        done = self.first * args.gradient_accumulation_steps
        if not done:
            self.sample(0)
        bar = tqdm(range(args.max_train_steps - step), smoothing=0, desc="steps")
        for epoch in range(done // len(self.epoch), self.epochs):
            print(f"\nepoch {epoch + 1}/{self.epochs}\n", flush=True)
            self.metadata["ss_epoch"] = str(epoch + 1)
            # The order depends on seed and epoch alone, so a resumed run meets the pictures that it would have met.
            order = random.Random(f"{args.seed} {epoch}")  # noqa: S311
            for at, batch in enumerate(batches_of(self.entries, self.repeats, self.batch_size, order)):
                if epoch * len(self.epoch) + at < done or step >= args.max_train_steps:
                    continue
                losses[at] = self.learn(batch)
                if accelerator.sync_gradients:
                    bar.update(1)
                    step += 1
                    self.sample(step)
                    if args.save_every_n_steps and step % args.save_every_n_steps == 0:
                        self.checkpoint(step)
                bar.set_postfix(avr_loss=sum(losses.values()) / len(losses))
        bar.close()
        if args.save_state:
            log.info("saving last state.")
            self.save_state(f"{args.output_name}-state", step)
        self.save(f"{args.output_name}.safetensors", step)
        log.info("model saved.")

    def learn(self, batch: list[Entry]) -> float:
        """Take one batch through the model; the optimizer steps once enough of them are gathered."""
        device = self.accelerator.device
        tensors = {name: torch.stack([entry.tensors[name] for entry in batch]).to(device) for name in batch[0].tensors}
        with self.accelerator.accumulate(self.network):
            loss = flow_loss(self.model, tensors, self.args, self.accelerator, self.dtype)
            self.accelerator.backward(loss)
            if self.accelerator.sync_gradients and self.args.max_grad_norm:
                self.accelerator.clip_grad_norm_(self.network.parameters(), self.args.max_grad_norm)
            self.optimizer.step()
            self.schedule.step()
            self.optimizer.zero_grad(set_to_none=True)
        return loss.item()

    def sample(self, step: int) -> None:
        """Draw the prompts where a step asks for it, leaving the random state as it was."""
        every = self.args.sample_every_n_steps
        if not self.prompts or (step % every if step and every else step or not self.args.sample_at_first):
            return
        log.info("generating sample images at step / サンプル画像生成 ステップ: %d", step)
        folder = self.output / "sample"
        folder.mkdir(parents=True, exist_ok=True)
        with torch.random.fork_rng(range(torch.cuda.device_count())):
            for index, prompt in enumerate(self.prompts):
                log.info("prompt: %s", prompt.text)
                pixels = draw(self.model, self.autoencoder, prompt, prompt.encoded, self.accelerator)
                stamp = f"{step:06d}_{index:02d}_{time.strftime('%Y%m%d%H%M%S')}_{prompt.seed}"
                Image.fromarray(pixels).save(folder / f"{self.args.output_name}_{stamp}.png")

    def save(self, name: str, step: int) -> None:
        metadata = self.metadata | {"ss_steps": str(step), "ss_training_finished_at": str(time.time())}
        print(f"\nsaving checkpoint: {self.output / name}", flush=True)
        save_lora(self.output / name, self.accelerator.unwrap_model(self.network), metadata, self.args.save_precision)

    def save_state(self, name: str, step: int) -> None:
        self.accelerator.save_state(str(self.output / name))
        state = {"current_epoch": int(self.metadata["ss_epoch"]), "current_step": step}
        (self.output / name / "train_state.json").write_text(json.dumps(state), encoding="utf-8")

    def checkpoint(self, step: int) -> None:
        """Save the LoRA and its state, and remove those that have had their day, by the engine's own rule."""
        args, name = self.args, f"{self.args.output_name}-step{{:08d}}"
        self.save(name.format(step) + ".safetensors", step)

        def outlived(keep: int | None) -> int:
            return (step - keep - 1) // args.save_every_n_steps * args.save_every_n_steps if keep is not None else 0

        if args.save_state:
            log.info("saving state at step %d", step)
            self.save_state(name.format(step) + "-state", step)
            old = self.output / (
                name.format(max(0, outlived(args.save_last_n_steps_state or args.save_last_n_steps))) + "-state"
            )
            if old.is_dir():
                log.info("removing old state: %s", old)
                shutil.rmtree(old)
        old = self.output / (name.format(max(0, outlived(args.save_last_n_steps))) + ".safetensors")
        if old.is_file():
            print(f"removing old checkpoint: {old}", flush=True)
            old.unlink()


def main() -> None:
    """Read the config file and train."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--config_file", type=Path, required=True)
    path: Path = parser.parse_args().config_file
    try:
        given = read_flat(path)
        refuse(option_faults(given))
        refuse(dataset_faults(tomllib.loads(Path(given["dataset_config"]).read_text(encoding="utf-8"))))
    except (OSError, ValueError) as error:
        refuse([f"can't read its settings: {error}"])
    handler = RichHandler(console=Console(stderr=True))
    logging.basicConfig(level=logging.INFO, format="%(message)s", datefmt="%Y-%m-%d %H:%M:%S", handlers=[handler])
    log.info("Loading settings from %s...", path)
    try:
        Trainer(SimpleNamespace(**{**DEFAULTS, **given})).train()
    except LoraforgeError as error:
        log.error(error.message)  # noqa: TRY400  # the user's fault to mend, no traceback
        raise SystemExit(error.exit_code) from None


if __name__ == "__main__":
    main()

"""The stand-in engine: trains a FLUX LoRA with diffusers and peft from the very files that sd-scripts reads.

usage: embedded.py --config_file X      under accelerate, as flux_train_network.py
It serves a first look where sd-scripts can't be had: it takes the options that loraforge's presets render, refuses any
other by name, and speaks the engine's own lines on the engine's own streams. It has no feature that sd-scripts has not.
"""

import argparse
import ast
import json
import logging
import math
import random
import re
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

if __name__ == "__main__":  # Python puts a script's folder first, where header.py and its like would hide other modules
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from diffusers import FluxPipeline
from diffusers.optimization import get_scheduler
from diffusers.pipelines.flux.pipeline_flux import calculate_shift
from torch import Tensor
from tqdm import tqdm
from transformers.optimization import Adafactor

from loraforge.config.dataset import Buckets
from loraforge.dataset.buckets import Placement, bucket_for
from loraforge.dataset.captions import caption_path, read_caption
from loraforge.dataset.images import list_pictures, read_size
from loraforge.engine.embedded_scope import read_run, told
from loraforge.engine.flux_pipeline import draw, encode_picture, encode_text, load_pipeline
from loraforge.engine.kohya_lora import add_lora, make_metadata, save_lora
from loraforge.engine.weights import Weights

OPTIMIZERS = {"Adafactor": Adafactor, "AdamW": torch.optim.AdamW}
log = logging.getLogger("embedded")


@dataclass
class Item:
    """A picture of the set: its training size, and what the caches hold of it and its caption."""

    path: Path
    place: Placement
    tensors: dict[str, Tensor] = field(default_factory=dict)


def read_items(data: SimpleNamespace) -> list[Item]:
    """List the pictures of a dataset with their buckets."""
    sizes = {"step": data.bucket_reso_steps, "min": data.min_bucket_reso, "max": data.max_bucket_reso}
    buckets = Buckets(enabled=data.enable_bucket, upscale=not data.bucket_no_upscale, **sizes)
    paths = [picture.path for picture in list_pictures(Path(data.image_dir))]
    return [Item(path, bucket_for(read_size(path), data.resolution, buckets)) for path in paths]


def batches_of(items: list[Item], data: SimpleNamespace, seed: str) -> list[list[Item]]:
    """Shuffle an epoch into batches of one bucket each; equal seeds give equal epochs."""
    order = random.Random(seed)  # noqa: S311  # no secret
    buckets: dict[tuple[int, int], list[Item]] = {}
    for item in items:
        buckets.setdefault(item.place.bucket, []).extend([item] * data.num_repeats)
    batches = []
    for members in buckets.values():
        order.shuffle(members)
        batches += [members[at : at + data.batch_size] for at in range(0, len(members), data.batch_size)]
    order.shuffle(batches)
    return batches


def cache(items: list[Item], suffix: str, encode: Callable[[Item], dict[str, Tensor]]) -> None:
    """Encode what is not yet kept beside its picture, and give each item what is kept."""
    for item in tqdm(items):
        path = item.path.with_name(f"{item.path.stem}_{item.place.bucket[0]}x{item.place.bucket[1]}_{suffix}.npz")
        if not path.exists():
            scratch = path.with_suffix(".part")
            with scratch.open("wb") as file:
                np.savez(file, **{name: tensor.float().cpu().numpy() for name, tensor in encode(item).items()})
            scratch.replace(path)
        with np.load(path) as arrays:
            item.tensors |= {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def read_prompts(path: str | None) -> list[tuple[str, dict[str, str]]]:
    """Read prompts.txt: a prompt a line, with width, height, seed, steps and guidance as flags of one letter."""
    lines = Path(path).read_text(encoding="utf-8").splitlines() if path else []
    return [(re.split(" --[whdsg] ", line)[0], dict(re.findall(r" --([whdsg]) (\S+)", line))) for line in lines]


def flow_loss(pipeline: FluxPipeline, tensors: dict[str, Tensor], args: SimpleNamespace) -> Tensor:
    """Return the flow-matching loss of a batch; noise is drawn first and the noise level second, as in the engine."""
    pack, positions = pipeline._pack_latents, pipeline._prepare_latent_image_ids  # noqa: SLF001  # no public ones
    latents, text = tensors["latents"], tensors["prompt_embeds"]
    (count, _, height, width), device, model = latents.shape, latents.device, pipeline.transformer
    noise = torch.randn_like(latents)
    drawn = (torch.randn(count, device=device) * args.sigmoid_scale).sigmoid()
    shift = calculate_shift(height * width // 4, max_shift=1.15)  # upwards with the picture's size, as FLUX was trained
    sigmas = pipeline.scheduler.time_shift(shift, 1.0, drawn)
    level = sigmas.view(-1, 1, 1, 1)
    noisy = ((1 - level) * latents + level * noise).to(torch.bfloat16)
    with torch.autocast(device.type, torch.bfloat16):
        predicted = model(
            hidden_states=pack(noisy, *noisy.shape),
            timestep=(sigmas * 1000).to(torch.bfloat16) / 1000,  # rounded as in the engine
            guidance=torch.full((count,), args.guidance_scale, device=device) if model.config.guidance_embeds else None,
            pooled_projections=tensors["pooled_prompt_embeds"],
            encoder_hidden_states=text,
            img_ids=positions(count, height // 2, width // 2, device, torch.float32),
            txt_ids=torch.zeros(text.shape[1], 3, device=device),
        ).sample
    return torch.nn.functional.mse_loss(predicted.float(), pack(noise - latents, *latents.shape))


class Trainer:
    """One run, from its options to a saved LoRA."""

    def __init__(self, args: SimpleNamespace, data: SimpleNamespace) -> None:
        """Read the pictures, load FLUX, fill the caches and make the LoRA."""
        self.args, self.data, self.output = args, data, Path(args.output_dir)
        self.items = read_items(data)
        if not self.items:
            raise SystemExit(f"No data found. Please verify arguments: there is no picture in {data.image_dir}")
        set_seed(args.seed)
        every = args.gradient_accumulation_steps
        self.accelerator = Accelerator(gradient_accumulation_steps=every, mixed_precision=args.mixed_precision)
        if self.accelerator.num_processes > 1:
            raise SystemExit("error: the embedded engine trains on one process")
        files = (args.pretrained_model_name_or_path, args.clip_l, args.t5xxl, args.ae, args.tokenizer_cache_dir)
        self.pipeline = load_pipeline(Weights(*(path and Path(path) for path in files)))
        with self.accelerator.autocast():
            self.encode()
        # Encoding drew random numbers unless the caches were warm, and the LoRA must not depend on that.
        set_seed(args.seed)
        self.prepare()

    def encode(self) -> None:
        """Encode pictures, captions and prompts; the text encoders are gone before training."""
        pipeline, device, tokens = self.pipeline, self.accelerator.device, self.args.t5xxl_max_token_length
        log.info("caching latents...")
        pipeline.vae.to(device)
        cache(self.items, "latents", lambda item: encode_picture(pipeline, item.path, item.place))
        pipeline.text_encoder.to(device)
        pipeline.text_encoder_2.to(device)
        log.info("caching Text Encoder outputs...")
        cache(
            self.items, "text", lambda item: encode_text(pipeline, read_caption(caption_path(item.path)).text, tokens)
        )
        prompts = read_prompts(self.args.sample_prompts)
        self.prompts = [(text, flags, encode_text(pipeline, text, tokens)) for text, flags in prompts]
        pipeline.text_encoder = pipeline.text_encoder_2 = None

    def prepare(self) -> None:
        """Make the LoRA, its optimizer and its schedule, and go on from a saved state where one is named."""
        args, model = self.args, self.pipeline.transformer
        targets = args.network_args[0].partition("=")[2] if args.network_args else "all"
        network = add_lora(model, args.network_dim, args.network_alpha, targets)
        log.info("create LoRA for FLUX %s blocks: %d modules.", targets, len(network))
        model.train().to(self.accelerator.device)
        if args.gradient_checkpointing:
            model.enable_gradient_checkpointing()
        pairs = [pair.split("=", 1) for pair in args.optimizer_args or []]
        settings = {name: ast.literal_eval(text) for name, text in pairs}
        kind = OPTIMIZERS[args.optimizer_type]
        optimizer = kind(network.parameters(), lr=args.learning_rate, **settings)
        span = {"num_warmup_steps": args.lr_warmup_steps, "num_training_steps": args.max_train_steps}
        schedule = get_scheduler(args.lr_scheduler, optimizer, num_cycles=args.lr_scheduler_num_cycles, **span)
        self.network, self.optimizer, self.schedule = self.accelerator.prepare(network, optimizer, schedule)
        pictures, self.batches = len(self.items) * self.data.num_repeats, len(batches_of(self.items, self.data, ""))
        self.epochs = math.ceil(args.max_train_steps * args.gradient_accumulation_steps / self.batches)
        print("running training / 学習開始")
        print(f"  num train images * repeats / 学習画像の数×繰り返し回数: {pictures}")
        print(f"  num batches per epoch / 1epochのバッチ数: {self.batches}")
        print(f"  num epochs / epoch数: {self.epochs}")
        print(f"  total optimization steps / 学習ステップ数: {args.max_train_steps}", flush=True)
        said = f"({','.join(f'{name}={value}' for name, value in settings.items())})" if settings else ""
        facts = {
            "ss_optimizer": f"{kind.__module__}.{kind.__name__}{said}",
            "ss_num_train_images": pictures,
            "ss_num_batches_per_epoch": self.batches,
            "ss_num_epochs": self.epochs,
        }
        self.metadata = make_metadata(Path(args.pretrained_model_name_or_path), told(vars(args)) | facts)
        self.step = 0
        if args.resume:
            self.accelerator.load_state(args.resume)
            state = json.loads(Path(args.resume, "train_state.json").read_text(encoding="utf-8"))
            # As in the engine: without the flag weights and optimizer go on, but counting begins anew.
            self.step = state["current_step"] if args.skip_until_initial_step else 0

    def train(self) -> None:
        """Run the loop and save the LoRA."""
        args, losses = self.args, dict[int, float]()
        self.output.mkdir(parents=True, exist_ok=True)
        if not self.step:
            self.sample()
        done = self.step * args.gradient_accumulation_steps
        bar = tqdm(range(args.max_train_steps - self.step), smoothing=0, desc="steps")
        for epoch in range(done // self.batches, self.epochs):
            print(f"\nepoch {epoch + 1}/{self.epochs}\n", flush=True)
            # The order depends on seed and epoch alone, so a resumed run meets the pictures that it would have met.
            for at, batch in enumerate(batches_of(self.items, self.data, f"{args.seed} {epoch}")):
                if epoch * self.batches + at < done or self.step >= args.max_train_steps:
                    continue
                losses[at] = self.learn(batch)
                if self.accelerator.sync_gradients:
                    self.step += 1
                    bar.update()
                    self.sample()
                    if args.save_every_n_steps and self.step % args.save_every_n_steps == 0:
                        self.checkpoint()
                bar.set_postfix(avr_loss=sum(losses.values()) / len(losses))
        bar.close()
        self.save(args.output_name)
        log.info("model saved.")

    def learn(self, batch: list[Item]) -> float:
        """Take one batch through the model; the optimizer steps once enough of them are gathered."""
        accelerator, device = self.accelerator, self.accelerator.device
        tensors = {name: torch.stack([item.tensors[name] for item in batch]).to(device) for name in batch[0].tensors}
        with accelerator.accumulate(self.network):
            loss = flow_loss(self.pipeline, tensors, self.args)
            accelerator.backward(loss)
            if accelerator.sync_gradients and self.args.max_grad_norm:
                accelerator.clip_grad_norm_(self.network.parameters(), self.args.max_grad_norm)
            self.optimizer.step()
            self.schedule.step()
            self.optimizer.zero_grad()
        return loss.item()

    def sample(self) -> None:
        """Draw the prompts where this step asks for it."""
        args, step = self.args, self.step
        if not self.prompts or (step % args.sample_every_n_steps if step else not args.sample_at_first):
            return
        log.info("generating sample images at step / サンプル画像生成 ステップ: %d", step)
        (folder := self.output / "sample").mkdir(exist_ok=True)
        for index, (text, flags, encoded) in enumerate(self.prompts):
            log.info("prompt: %s", text)
            with self.accelerator.autocast():
                image = draw(self.pipeline, encoded, flags)
            number = f"{step:06d}" if step else "e000000"  # as the engine names what it draws before the first step
            now = time.strftime("%Y%m%d%H%M%S")
            image.save(folder / f"{args.output_name}_{number}_{index:02d}_{now}_{flags['d']}.png")

    def save(self, stem: str) -> None:
        """Save the LoRA, and beside it the state from which a run can go on."""
        path = self.output / f"{stem}.safetensors"
        print(f"\nsaving checkpoint: {path}", flush=True)
        epoch = math.ceil(self.step * self.args.gradient_accumulation_steps / self.batches)
        now = {"ss_steps": str(self.step), "ss_epoch": str(epoch), "ss_training_finished_at": str(time.time())}
        save_lora(path, self.accelerator.unwrap_model(self.network), self.metadata | now, self.args.save_precision)
        if self.args.save_state:
            log.info("saving state at step %d", self.step)
            self.accelerator.save_state(str(self.output / f"{stem}-state"))
            state = {"current_epoch": epoch, "current_step": self.step}
            (self.output / f"{stem}-state" / "train_state.json").write_text(json.dumps(state), encoding="utf-8")

    def checkpoint(self) -> None:
        """Save, and remove those that have had their day, by the engine's own rule."""
        args, every = self.args, self.args.save_every_n_steps
        self.save(f"{args.output_name}-step{self.step:08d}")
        states = args.save_last_n_steps_state or args.save_last_n_steps
        for keep, suffix in ((args.save_last_n_steps, ".safetensors"), (states, "-state")):
            last = 0 if keep is None else (self.step - keep - 1) // every * every
            old = self.output / f"{args.output_name}-step{last:08d}{suffix}"
            if old.is_dir():
                log.info("removing old state: %s", old)
                shutil.rmtree(old)
            elif old.is_file():
                print(f"removing old checkpoint: {old}", flush=True)
                old.unlink()


def main() -> None:
    """Read the config file and train."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--config_file", type=Path, required=True)
    path = parser.parse_args().config_file
    options, dataset, faults = read_run(path)
    if faults:
        print(*(f"error: the embedded engine {fault}" for fault in faults), sep="\n", file=sys.stderr)
        raise SystemExit(2)
    record = "%(asctime)s %(levelname)-8s %(message)s"
    logging.basicConfig(level=logging.INFO, format=record, datefmt="%Y-%m-%d %H:%M:%S")
    log.info("Loading settings from %s...", path)
    Trainer(SimpleNamespace(**options), SimpleNamespace(**dataset)).train()


if __name__ == "__main__":
    main()

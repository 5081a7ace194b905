"""Time sd-scripts plain and with loraforge's fast parts, on one GPU, in one process.

usage: fast.py ENGINE_DIR [--row TIER:PARTS[:STEPS] ...] [--steps N] [--out FILE.json]

Full-size FLUX.1-dev with random weights, made on the card: values do not matter to time and memory. The engine's own
`FluxNetworkTrainer.train` runs for each row; only the loading of files is replaced, so that one model serves all rows.
A tier names the engine's options; the parts are those of loraforge.engine.fast, joined by commas, or `plain`.
"""

import argparse
import copy
import gc
import importlib
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType
from typing import Any

TIERS: dict[str, dict[str, Any]] = {
    "80gb": {},
    "40gb": {"gradient_checkpointing": True},
    "24gb": {"gradient_checkpointing": True, "fp8_base": True},
    "12gb": {"gradient_checkpointing": True, "fp8_base": True, "blocks_to_swap": 28},
}
ALL = "norms,adafactor,swap,compile"
DEFAULT_ROWS = [f"{tier}:{parts}" for tier in TIERS for parts in ("plain", ALL)]
SIZES = ((1024, 1024), (1216, 832), (832, 1216))
WARM = 3  # steps at a row's begin that do not count


class Bench:
    """One model, one dataset, many trainings.

    Args:
        engine: the sd-scripts folder.
        tokenizers: folder of both tokenizers.
        folder: scratch, for pictures, caches and LoRAs.
        sizes: (width, height) of the pictures.
        tiny: a model small enough for a CPU, to try the benchmark itself.
    """

    def __init__(
        self, engine: Path, tokenizers: Path, folder: Path, sizes: tuple[tuple[int, int], ...], *, tiny: bool
    ) -> None:
        sys.path[:0] = [str(engine)]
        self.train: ModuleType = importlib.import_module("flux_train_network")
        self.models: ModuleType = importlib.import_module("library.flux_models")
        self.tokenizers, self.folder, self.tiny = tokenizers, folder, tiny
        self.model = self._flux()
        self._replace_loaders()
        self._pictures(sizes)
        self._kept = self._patchable()

    def _flux(self) -> Any:
        import torch

        params = self.models.configs["dev"].params
        if self.tiny:
            shrunk = {"hidden_size": 96, "num_heads": 2, "axes_dim": [8, 20, 20], "depth": 4, "depth_single_blocks": 4}
            params = type(params)(**{**vars(params), **shrunk, "vec_in_dim": 64, "context_in_dim": 64})
        device = "cpu" if self.tiny else "cuda"
        with torch.device("meta"):
            model = self.models.Flux(params).to(torch.bfloat16)
        model = model.to_empty(device=device)
        torch.manual_seed(0)
        for name, weight in model.named_parameters():
            if weight.ndim > 1:
                weight.data.normal_(0, 0.02)
            else:
                weight.data.fill_(1.0 if name.endswith("scale") else 0.0)
        return model

    def _replace_loaders(self) -> None:
        import torch
        from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

        width, pooled = (64, 64) if self.tiny else (4096, 768)
        clip = CLIPTextConfig(
            vocab_size=600, hidden_size=pooled, intermediate_size=64, num_hidden_layers=1, num_attention_heads=1
        )
        t5 = T5Config(vocab_size=600, d_model=width, d_kv=64, d_ff=64, num_layers=1, num_heads=1)
        utils = importlib.import_module("library.flux_utils")
        utils.analyze_checkpoint_state = lambda _path: (False, False, (19, 38), [])
        utils.load_flow_model = lambda *_, **__: (False, self.model)
        utils.load_clip_l = lambda *_, **__: CLIPTextModel(clip).to(torch.bfloat16)
        utils.load_t5xxl = lambda *_, **__: T5EncoderModel(t5).to(torch.bfloat16)
        utils.load_ae = lambda *_, **__: self._autoencoder()

    def _autoencoder(self) -> Any:
        import torch

        params = self.models.configs["dev"].ae_params
        if self.tiny:
            params = type(params)(**{**vars(params), "ch": 32})
        return self.models.AutoEncoder(params).to(torch.bfloat16)

    def _pictures(self, sizes: tuple[tuple[int, int], ...]) -> None:
        import numpy as np
        from PIL import Image

        art = self.folder / "art"
        art.mkdir()
        random = np.random.default_rng(0)
        for index in range(20):
            width, height = sizes[index % len(sizes)]
            pixels = random.integers(0, 255, (height // 32, width // 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).resize((width, height)).save(art / f"{index:02}.png")
            (art / f"{index:02}.txt").write_text(f"ohwx style, picture {index}", encoding="utf-8")
        resolution = 128 if self.tiny else 1024
        text = f"""[[datasets]]
resolution = {resolution}
batch_size = 1
enable_bucket = true
min_bucket_reso = 64
max_bucket_reso = 2048
[[datasets.subsets]]
image_dir = "{art}"
num_repeats = 50
caption_extension = ".txt"
"""
        (self.folder / "dataset.toml").write_text(text, encoding="utf-8")

    def _patchable(self) -> list[tuple[Any, str, Any]]:
        from transformers.optimization import Adafactor

        offloading = importlib.import_module("library.custom_offloading_utils")
        network = importlib.import_module("networks.lora_flux").LoRANetwork
        util = importlib.import_module("library.train_util")
        owners = (self.models.DoubleStreamBlock, self.models.SingleStreamBlock, offloading.Offloader, network)
        owners += (Adafactor, util.LossRecorder)
        return [
            (owner, name, value) for owner in owners for name, value in list(vars(owner).items()) if callable(value)
        ]

    def restore(self) -> None:
        """Undo what a row has done to the engine and to the model."""
        import torch

        for owner, name, value in self._kept:
            setattr(owner, name, value)
        torch._dynamo.reset()
        for offloader in (self.model.offloader_double, self.model.offloader_single):
            for handle in offloader.remove_handles if offloader else ():
                handle.remove()
        self.model.offloader_double = self.model.offloader_single = self.model.blocks_to_swap = None
        strategies = importlib.import_module("library.strategy_base")
        for kind in ("Tokenize", "TextEncoding", "LatentsCaching", "TextEncoderOutputsCaching"):
            getattr(strategies, f"{kind}Strategy")._strategy = None
        self.model.disable_gradient_checkpointing()
        self.model.requires_grad_(requires_grad=False)
        for module in self.model.modules():
            module.__dict__.pop("forward", None)  # the LoRA's
            module.__dict__.pop("_loraforge_host", None)
        gc.collect()
        if not self.tiny:
            self.model.to("cuda")
            torch.cuda.empty_cache()

    def row(self, tier: str, parts: str, steps: int, profile: Path | None) -> dict[str, Any]:
        """Train a few steps and return what was seen."""
        import torch

        from loraforge.engine import fast

        self.restore()
        options: dict[str, Any] = TIERS[tier]
        name = f"{tier}-{parts}".replace(",", "-")
        if options.get("fp8_base") and self.model.dtype != torch.float8_e4m3fn:
            self.model.to(torch.float8_e4m3fn)
        arguments = self._arguments(name, steps, options)
        context = fast.Context({**vars(arguments)}, say=lambda text: print(text, flush=True))
        applied = fast.apply([] if parts == "plain" else parts.split(","), context, context.say)
        seen = _Steps(profile)
        recorder = importlib.import_module("library.train_util").LossRecorder
        seen.watch(recorder)
        if not self.tiny:
            if options.get("blocks_to_swap"):
                self.model.to("cpu")  # from where the engine would place it; else the start would be the peak
                torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        began = time.perf_counter()
        self.train.FluxNetworkTrainer().train(copy.deepcopy(arguments))
        peak = (0, 0) if self.tiny else (torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved())
        return {
            "tier": tier,
            "parts": ",".join(applied) or "plain",
            "broken": sorted(context.broken),
            "s_per_it": round(statistics.median(seen.seconds[WARM:] or seen.seconds), 4),
            "first_steps": [round(value, 2) for value in seen.seconds[:WARM]],
            "peak_alloc_gib": round(peak[0] / 2**30, 2),
            "peak_reserved_gib": round(peak[1] / 2**30, 2),
            "whole_s": round(time.perf_counter() - began, 1),
            "seconds": [round(value, 4) for value in seen.seconds],
            "losses": seen.losses,
            "lora": str(self.folder / "out" / f"{name}.safetensors"),
        }

    def _arguments(self, name: str, steps: int, options: dict[str, Any]) -> argparse.Namespace:
        # fmt: off
        arguments = [
            "--pretrained_model_name_or_path", "none", "--clip_l", "none", "--t5xxl", "none", "--ae", "none",
            "--tokenizer_cache_dir", str(self.tokenizers), "--dataset_config", str(self.folder / "dataset.toml"),
            "--cache_latents", "--cache_latents_to_disk", "--cache_text_encoder_outputs",
            "--cache_text_encoder_outputs_to_disk", "--network_module", "networks.lora_flux", "--network_dim", "16",
            "--network_alpha", "16", "--network_train_unet_only", "--optimizer_type", "Adafactor", "--optimizer_args",
            "relative_step=False", "scale_parameter=False", "warmup_init=False", "--learning_rate", "1e-4",
            "--lr_scheduler", "constant_with_warmup", "--lr_warmup_steps", "50", "--max_grad_norm", "1.0",
            "--max_train_steps", str(steps), "--seed", "42",
            "--mixed_precision", "bf16", "--timestep_sampling", "flux_shift", "--model_prediction_type", "raw",
            "--guidance_scale", "1.0", "--max_data_loader_n_workers", "2", "--save_precision", "float", "--lowram",
            "--output_dir", str(self.folder / "out"), "--output_name", name, "--sdpa",
        ]
        # fmt: on
        if self.tiny:
            arguments += ["--t5xxl_max_token_length", "48"]
        for option, value in options.items():
            arguments += [f"--{option}"] if value is True else [f"--{option}", str(value)]
        parsed: argparse.Namespace = self.train.setup_parser().parse_args(arguments)
        return parsed


class _Steps:
    """Takes the time and the loss as the engine records it, right after it has waited for the GPU."""

    def __init__(self, profile: Path | None) -> None:
        self.seconds: list[float] = []
        self.losses: list[float] = []
        self._profile, self._profiler, self._last = profile, None, time.perf_counter()

    def watch(self, recorder: Any) -> None:
        add = recorder.add

        def watching(recorder: Any, *, epoch: int, step: int, loss: float) -> None:
            now = time.perf_counter()
            self.seconds.append(now - self._last)
            self.losses.append(loss)
            self._look()
            self._last = time.perf_counter()
            add(recorder, epoch=epoch, step=step, loss=loss)

        recorder.add = watching

    def _look(self) -> None:
        """Profile two steps."""
        if self._profile is None:
            return
        import torch

        if len(self.seconds) == WARM + 2:
            self._profiler = torch.profiler.profile()
            self._profiler.start()
        elif len(self.seconds) == WARM + 4:
            self._profiler.stop()
            table = self._profiler.key_averages()
            order = "self_cuda_time_total" if torch.cuda.is_available() else "self_cpu_time_total"
            text = table.table(sort_by=order, row_limit=60, max_name_column_width=70)
            text += table.table(sort_by="self_cpu_time_total", row_limit=25, max_name_column_width=50)
            self._profile.write_text(text, encoding="utf-8")


def compare(rows: list[dict[str, Any]]) -> None:
    """Add to each row how far its losses and its LoRA are from the plain row of its tier."""
    from safetensors.torch import load_file

    for row in rows:
        plain = next((other for other in rows if other["tier"] == row["tier"] and other["parts"] == "plain"), None)
        if plain is None or plain is row or len(plain["losses"]) != len(row["losses"]):
            continue
        pairs = zip(row["losses"], plain["losses"], strict=False)
        row["loss_max_relative"] = max(abs(ours - theirs) / abs(theirs) for ours, theirs in pairs)
        ours, theirs = load_file(row["lora"]), load_file(plain["lora"])
        # The upper matrices begin at zero, so all that is in them was learnt.
        learnt = [name for name in theirs if "lora_up" in name]
        gap = sum(float((ours[name] - theirs[name]).square().sum()) for name in learnt)
        size = sum(float(theirs[name].square().sum()) for name in learnt)
        row["learnt_relative"] = (gap / size) ** 0.5
        row["times_plain"] = round(row["s_per_it"] / plain["s_per_it"], 3)


def main() -> None:
    """Run the rows and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", type=Path)
    parser.add_argument("--row", nargs="+", default=DEFAULT_ROWS)
    parser.add_argument("--steps", type=int, default=14)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--tokenizers", type=Path)
    parser.add_argument("--square", action="store_true", help="pictures of one size")
    parser.add_argument("--profile", nargs="*", default=[], help="tiers of which two steps are profiled, beside --out")
    parser.add_argument("--tiny", action="store_true")
    given = parser.parse_args()
    sys.argv[1:] = []
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        tokenizers = given.tokenizers
        if tokenizers is None:
            from loraforge.engine.tiny import make_tiny_flux

            tokenizers = make_tiny_flux(Path(scratch, "tiny")).tokenizers
        sizes = SIZES[:1] if given.square else SIZES
        bench = Bench(given.engine.resolve(), tokenizers, Path(scratch), sizes, tiny=given.tiny)
        bench.row("80gb", "plain", 1, None)  # fills the caches, which draws random numbers
        for number, text in enumerate(given.row):
            tier, parts, steps = [*text.split(":"), given.steps][:3]
            profile = given.out.with_name(f"profile-{number}.txt") if given.out and tier in given.profile else None
            try:
                rows.append(bench.row(tier, parts, int(steps), profile))
            except Exception as fault:  # noqa: BLE001 - the other rows still count
                print(f"{text}: {type(fault).__name__}: {str(fault)[:600]}", flush=True)
                continue
            compare(rows)
            if given.out:
                given.out.write_text(json.dumps(rows, indent=1), encoding="utf-8")
            shown = {key: value for key, value in rows[-1].items() if key not in {"seconds", "losses", "lora"}}
            print("ROW", json.dumps(shown), flush=True)
    for row in rows:
        print(
            f"{row['tier']:5} {row['parts']:55} {row['s_per_it']:7.3f} s/it {row.get('times_plain', 1):6} x plain "
            f"{row['peak_alloc_gib']:6} / {row['peak_reserved_gib']:6} GiB, first {row['first_steps'][0]} s"
        )


if __name__ == "__main__":
    main()

"""Train full-size FLUX.1 a few steps in one of the ways of fast_ways.py, for fast_rows.py.

usage: fast_row.py ENGINE_DIR SCRATCH OUT.json NAME [--steps N] [--profile FOLDER] [--segments FOLDER] [--tiny]

The weights are random and made on the card: values do not matter to time and memory. sd-scripts' own
`FluxNetworkTrainer.train` runs; only the loading of files is replaced. The LoRA stays in SCRATCH, where pictures and
caches are made if they are missing.
"""

import argparse
import copy
import gc
import importlib
import json
import random
import statistics
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

from fast_segments import segments
from fast_steps import WARM, Steps
from fast_ways import ROWS, Row, kernels, measured_on
from full_size import materialise, write_pictures
from psutil import virtual_memory

_CACHES = ("cache_latents", "cache_latents_to_disk", "cache_text_encoder_outputs", "cache_text_encoder_outputs_to_disk")


class Bench:
    """One model, one dataset, many trainings.

    Args:
        engine: the sd-scripts folder.
        folder: scratch, for pictures, caches and LoRAs.
        tiny: a model small enough for a CPU, to try the benchmark itself.
    """

    def __init__(self, engine: Path, folder: Path, *, tiny: bool) -> None:
        from loraforge.engine import shapes, shim
        from loraforge.engine.tiny import make_tiny_flux

        sys.path[:0] = [str(engine)]
        self.train: ModuleType = importlib.import_module("flux_train_network")
        self.models: ModuleType = importlib.import_module("library.flux_models")
        self.folder, self.tiny, self.device = folder, tiny, "cpu" if tiny else "cuda"
        self.tokenizers = make_tiny_flux(folder / "tiny").tokenizers
        self.side = 128 if tiny else 1024
        self.model: Any = None
        self.full_text = False
        self._replace_loaders()
        # Rich numbers the styles it meets from the generator that orders the pictures: who logs more would see them in
        # another order.
        importlib.import_module("rich.style").randint = random.Random(0).randint  # noqa: S311
        # The first row fills the caches, which must not change what it trains.
        shim.keep_random_state_while_caching(shim.Launch({"pretrained_model_name_or_path": "none"}, shapes))
        square, wide = (self.side, self.side), (self.side * 19 // 16, self.side * 13 // 16)
        write_pictures(folder / "one", (square,))
        write_pictures(folder / "three", (square, wide, wide[::-1]))

    def _flux(self, dtype: Any) -> Any:
        import torch

        params = self.models.configs["dev"].params
        if self.tiny:
            shrunk = {"hidden_size": 96, "num_heads": 2, "axes_dim": [8, 20, 20], "depth": 4, "depth_single_blocks": 4}
            params = type(params)(**{**vars(params), **shrunk, "vec_in_dim": 64, "context_in_dim": 64})
        with torch.device("meta"):
            model = self.models.Flux(params)
        torch.manual_seed(0)
        return materialise(model, self.device, dtype)

    def _replace_loaders(self) -> None:
        utils: Any = importlib.import_module("library.flux_utils")
        utils.analyze_checkpoint_state = lambda _path: (False, False, (19, 38), [])
        utils.load_flow_model = lambda *_, **__: (False, self.model)
        load_clip, load_t5 = utils.load_clip_l, utils.load_t5xxl
        utils.load_clip_l = lambda *_, **__: self._text_encoder("clip", load_clip)
        utils.load_t5xxl = lambda *_, **__: self._text_encoder("t5", load_t5)
        utils.load_ae = lambda *_, **__: self._autoencoder()

    def _text_encoder(self, kind: str, load: Any) -> Any:
        """Return a text encoder: whole where it stays on the card, else of one layer, since its output is cached."""
        import torch
        from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

        if self.full_text and not self.tiny:
            return materialise(load(None, None, "cpu", state_dict={}), self.device, torch.bfloat16)
        width, pooled = (64, 64) if self.tiny else (4096, 768)
        if kind == "t5":
            t5 = T5Config(vocab_size=600, d_model=width, d_kv=64, d_ff=64, num_layers=1, num_heads=1)
            return T5EncoderModel(t5).to(torch.bfloat16)
        small = {"hidden_size": pooled, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 1}
        return CLIPTextModel(CLIPTextConfig(vocab_size=600, **small)).to(torch.bfloat16)

    def _autoencoder(self) -> Any:
        import torch

        params = self.models.configs["dev"].ae_params
        if self.tiny:
            params = type(params)(**{**vars(params), "ch": 32})
        return self.models.AutoEncoder(params).to(torch.bfloat16)

    def _load(self, row: Row) -> None:
        """Have the model in the type that a row needs, where the engine's loading leaves it."""
        import torch

        dtype = torch.float8_e4m3fn if "fp8_base" in row.options else torch.bfloat16
        self.model = self._flux(dtype)
        self.model.requires_grad_(requires_grad=False)
        if not self.tiny and "blocks_to_swap=28" in row.options:
            self.model.to("cpu")  # with swapping the engine begins from the host; else the start would be the peak
        gc.collect()
        if not self.tiny:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def run(self, name: str, steps: int, profiles: Path | None = None, memory: Path | None = None) -> dict[str, Any]:
        """Train a row and return what was seen; a profile and a record of segments are written to folders given."""
        import torch

        from loraforge.engine import fast

        row = ROWS[name]
        self.full_text = row.guide
        self._load(row)
        steps = row.steps or steps
        arguments = self._arguments(row, slug(name), steps)
        context = fast.Context({**vars(arguments)}, say=lambda text: print(text, flush=True))
        record = memory / f"{slug(name)}.txt" if memory else None
        with kernels(row.kernels), segments(record):
            applied = fast.apply(row.parts.split(",") if row.parts else [], context, context.say)
            if row.kernels == "unrounded":
                torch._inductor.config.emulate_precision_casts = False
            seen = Steps(profiles / f"{slug(name)}.txt" if profiles else None)
            seen.watch(importlib.import_module("library.train_util").LossRecorder)
            began, free = time.perf_counter(), virtual_memory().available
            self.train.FluxNetworkTrainer().train(copy.deepcopy(arguments))
        peak = (0, 0) if self.tiny else (torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved())
        accumulated = arguments.gradient_accumulation_steps
        return {
            "row": name,
            "on": measured_on(),
            "parts": ",".join(applied),
            "broken": sorted(context.broken),
            "s_per_it": round(accumulated * statistics.median(seen.seconds[WARM * accumulated :]), 4),
            "first_step": round(seen.seconds[0], 2),
            "allocated_gib": round(peak[0] / 2**30, 2),
            "reserved_gib": round(peak[1] / 2**30, 2),
            "host_gib": round((free - virtual_memory().available) / 2**30, 1),
            "whole_s": round(time.perf_counter() - began, 1),
            "seconds": [round(value, 4) for value in seen.seconds],
            "losses": seen.losses,
        }

    def _arguments(self, row: Row, name: str, steps: int) -> argparse.Namespace:
        options = dict(option.partition("=")[::2] for option in row.options)
        batch = int(options.pop("batch", 1))
        if self.tiny and "blocks_to_swap" in options:
            options["blocks_to_swap"] = "2"
        dataset = self.folder / f"{name}.toml"
        dataset.write_text(
            f"[[datasets]]\nresolution = {self.side}\nbatch_size = {batch}\nenable_bucket = true\n"
            "min_bucket_reso = 64\nmax_bucket_reso = 2048\n[[datasets.subsets]]\n"
            f'image_dir = "{self.folder / ("three" if row.sizes else "one")}"\n'
            'num_repeats = 50\ncaption_extension = ".txt"\n',
            encoding="utf-8",
        )
        # fmt: off
        arguments = [
            "--pretrained_model_name_or_path", "none", "--clip_l", "none", "--t5xxl", "none", "--ae", "none",
            "--tokenizer_cache_dir", str(self.tokenizers), "--dataset_config", str(dataset),
            "--network_module", "networks.lora_flux", "--network_dim", "16", "--network_alpha", "16",
            "--optimizer_type", "Adafactor", "--optimizer_args", "relative_step=False", "scale_parameter=False",
            "warmup_init=False", "--learning_rate", "1e-4", "--lr_scheduler", "constant_with_warmup",
            "--lr_warmup_steps", "50", "--max_grad_norm", "1.0", "--max_train_steps", str(steps), "--seed", "42",
            "--mixed_precision", "bf16", "--timestep_sampling", "flux_shift", "--model_prediction_type", "raw",
            "--guidance_scale", "1.0", "--max_data_loader_n_workers", "2", "--save_precision", "float", "--lowram",
            "--output_dir", str(self.folder / "out"), "--output_name", name, "--sdpa",
        ]
        # fmt: on
        if not row.guide:
            arguments += ["--network_train_unet_only", *(f"--{cache}" for cache in _CACHES)]
        if self.tiny:
            arguments += ["--t5xxl_max_token_length", "48"]
        for option, value in options.items():
            arguments += [f"--{option}", value] if value else [f"--{option}"]
        parsed: argparse.Namespace = self.train.setup_parser().parse_args(arguments)
        return parsed


def slug(name: str) -> str:
    """Return a row's name as its files have it."""
    return "".join(character if character.isalnum() else "-" for character in name)


def matrix_rate() -> float:
    """Return the TFLOP/s of a large bf16 matrix product on this card."""
    import torch

    first, second = (torch.randn(8192, 8192, dtype=torch.bfloat16, device="cuda") for _ in range(2))
    for _ in range(5):
        first @ second
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(20):
        first @ second
    torch.cuda.synchronize()
    return 20 * 2 * 8192**3 / (time.perf_counter() - began) / 1e12


def main() -> None:
    """Train the row and write what was seen as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for place in ("engine", "scratch", "out"):
        parser.add_argument(place, type=Path)
    parser.add_argument("name", choices=ROWS)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--profile", type=Path, metavar="FOLDER")
    parser.add_argument("--segments", type=Path, metavar="FOLDER")
    parser.add_argument("--tiny", action="store_true")
    given = parser.parse_args()
    if given.profile:
        given.profile.mkdir(parents=True, exist_ok=True)
    sys.argv[1:] = []
    bench = Bench(given.engine.resolve(), given.scratch.resolve(), tiny=given.tiny)
    seen = bench.run(given.name, given.steps, given.profile, given.segments)
    seen["tflops"] = 0.0 if given.tiny else round(matrix_rate(), 1)
    given.out.write_text(json.dumps(seen), encoding="utf-8")


if __name__ == "__main__":
    main()

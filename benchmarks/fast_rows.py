"""Train full-size FLUX.1 a few steps in each of several ways, in one process on one card.

usage: fast_rows.py ENGINE_DIR OUT.json [--rows NAME ...] [--steps N] [--profile FOLDER] [--segments FOLDER] [--tiny]

The weights are random and made on the card: values do not matter to time and memory. sd-scripts' own
`FluxNetworkTrainer.train` runs for each row; only the loading of files is replaced, so that one model serves all rows.
"""

import argparse
import copy
import gc
import importlib
import json
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType
from typing import Any

from fast_segments import segments
from fast_steps import WARM, Steps
from fast_ways import ROWS, Row, kernels
from full_size import materialise, write_pictures

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
        # Rich numbers the styles it meets first, from the generator that orders the pictures: the first row alone would
        # see them in another order.
        importlib.import_module("rich.style").randint = random.Random(0).randint  # noqa: S311
        # The first row of a kind fills the caches, which must not change what it trains.
        shim.keep_random_state_while_caching(shim.Launch({"pretrained_model_name_or_path": "none"}, shapes))
        square, wide = (self.side, self.side), (self.side * 19 // 16, self.side * 13 // 16)
        write_pictures(folder / "one", (square,))
        write_pictures(folder / "three", (square, wide, wide[::-1]))
        self._kept = self._patchable()

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

    def _patchable(self) -> list[tuple[Any, str, Any]]:
        from transformers.optimization import Adafactor

        offloading = importlib.import_module("library.custom_offloading_utils")
        network = importlib.import_module("networks.lora_flux").LoRANetwork
        util = importlib.import_module("library.train_util")
        owners: tuple[Any, ...] = (
            self.models.DoubleStreamBlock,
            self.models.SingleStreamBlock,
            offloading.Offloader,
            network,
        )
        owners += (Adafactor, util.LossRecorder)
        kept = [
            (owner, name, value) for owner in owners for name, value in list(vars(owner).items()) if callable(value)
        ]
        return [*kept, (self.models, "attention", self.models.attention)]

    def _fresh(self, row: Row) -> None:
        """Undo what the last row did to the engine, and have the model in the type that the next one needs."""
        import torch

        for owner, name, value in self._kept:
            setattr(owner, name, value)
        torch._dynamo.reset()
        strategies = importlib.import_module("library.strategy_base")
        for kind in ("Tokenize", "TextEncoding", "LatentsCaching", "TextEncoderOutputsCaching"):
            getattr(strategies, f"{kind}Strategy")._strategy = None
        if not self.tiny:
            torch.cuda.memory._set_allocator_settings("expandable_segments:False")
        dtype = torch.float8_e4m3fn if "fp8_base" in row.options else torch.bfloat16
        if self.model is None or self.model.dtype != dtype or self.model.blocks_to_swap:
            self.model = None
            gc.collect()
            self.model = self._flux(dtype)
        self.model.disable_gradient_checkpointing()
        self.model.requires_grad_(requires_grad=False)
        for module in self.model.modules():
            module.__dict__.pop("forward", None)  # the LoRA's
            module.__dict__.pop("_loraforge_host", None)
        if not self.tiny:
            # With swapping the engine begins from the host; else the start would be the peak.
            self.model.to("cpu" if "blocks_to_swap=28" in row.options else "cuda")
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
        self._fresh(row)
        steps = row.steps or steps
        arguments = self._arguments(row, _slug(name), steps)
        context = fast.Context({**vars(arguments)}, say=lambda text: print(text, flush=True))
        record = memory / f"{_slug(name)}.txt" if memory else None
        with kernels(row.kernels), segments(record):
            applied = fast.apply(row.parts.split(",") if row.parts else [], context, context.say)
            if row.kernels == "unrounded":
                torch._inductor.config.emulate_precision_casts = False
            seen = Steps(profiles / f"{_slug(name)}.txt" if profiles else None)
            seen.watch(importlib.import_module("library.train_util").LossRecorder)
            began = time.perf_counter()
            self.train.FluxNetworkTrainer().train(copy.deepcopy(arguments))
        peak = (0, 0) if self.tiny else (torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved())
        accumulated = arguments.gradient_accumulation_steps
        return {
            "row": name,
            "parts": ",".join(applied),
            "broken": sorted(context.broken),
            "s_per_it": round(accumulated * statistics.median(seen.seconds[WARM * accumulated :]), 4),
            "first_step": round(seen.seconds[0], 2),
            "allocated_gib": round(peak[0] / 2**30, 2),
            "reserved_gib": round(peak[1] / 2**30, 2),
            "whole_s": round(time.perf_counter() - began, 1),
            "seconds": [round(value, 4) for value in seen.seconds],
            "losses": seen.losses,
        }

    def _arguments(self, row: Row, name: str, steps: int) -> argparse.Namespace:
        options = dict(option.partition("=")[::2] for option in row.options)
        batch = int(options.pop("batch", 1))
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

    def compare(self, rows: list[dict[str, Any]]) -> None:
        """Add to the last row how far its losses and its LoRA are from those of the row it is compared with."""
        from safetensors.torch import load_file

        row = rows[-1]
        other = next((found for found in rows if found["row"] == ROWS[row["row"]].against), None)
        if other is None:
            return
        row["times_plain"] = round(row["s_per_it"] / other["s_per_it"], 3)
        if ROWS[row["row"]].sizes:
            return
        off = [abs(ours - theirs) / abs(theirs) for ours, theirs in zip(row["losses"], other["losses"], strict=False)]
        row["loss_off_max"], row["loss_off_mean"] = max(off), sum(off) / len(off)
        if len(other["losses"]) != len(row["losses"]):
            return
        ours, theirs = (load_file(self.folder / f"out/{_slug(found['row'])}.safetensors") for found in (row, other))
        # The upper matrices begin at zero, so all that is in them was learnt.
        learnt = [name for name in theirs if "lora_up" in name]
        gap = sum(float((ours[name] - theirs[name]).square().sum()) for name in learnt)
        row["learnt_off"] = (gap / sum(float(theirs[name].square().sum()) for name in learnt)) ** 0.5


def _slug(name: str) -> str:
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
    """Run the rows and write them as JSON, each as it ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", nargs="+", default=list(ROWS))
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--profile", type=Path, metavar="FOLDER")
    parser.add_argument("--segments", type=Path, metavar="FOLDER")
    parser.add_argument("--tiny", action="store_true")
    given = parser.parse_args()
    if given.profile:
        given.profile.mkdir(parents=True, exist_ok=True)
    sys.argv[1:] = []
    rows: list[dict[str, Any]] = []
    rate = 0.0 if given.tiny else matrix_rate()
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(given.engine.resolve(), Path(scratch), tiny=given.tiny)
        for name in given.rows:
            try:
                rows.append(bench.run(name, given.steps, given.profile, given.segments))
            except Exception as fault:  # noqa: BLE001 - the other rows still count
                print(f"{name}: {type(fault).__name__}: {str(fault)[:600]}", flush=True)
                continue
            bench.compare(rows)
            given.out.write_text(json.dumps({"tflops": rate, "rows": rows}, indent=1), encoding="utf-8")
            shown = {key: value for key, value in rows[-1].items() if key not in {"seconds", "losses"}}
            print("ROW", json.dumps(shown), flush=True)


if __name__ == "__main__":
    main()

"""From a settled job to the files sd-scripts reads. Pure: the same job and ground give the same bytes.

The engine accepts any key, type and choice from its TOML in silence, so everything is right by construction here,
and a test proves every key against the engine's own parser.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from loraforge.config.job import Job
from loraforge.config.network import Network
from loraforge.config.optimizer import Optimizer
from loraforge.config.training import Training
from loraforge.engine.weights import Weights

Table = dict[str, Any]

_OPTIMIZERS = {
    "adafactor": "Adafactor",
    "adamw": "AdamW",
    "adamw8bit": "AdamW8bit",
    "paged-adamw8bit": "PagedAdamW8bit",
    "lion": "Lion",
    "lion8bit": "Lion8bit",
    "prodigy": "Prodigy",
    "adamw-schedule-free": "AdamWScheduleFree",
}


@dataclass(frozen=True, slots=True)
class Ground:
    """What a run stands on, beside the user's decisions.

    Attributes:
        dataset_dir: the staged pictures and captions.
        output_dir: where checkpoints, states and samples go.
        dataset_file: path of the rendered dataset.toml.
        prompts_file: path of the rendered prompts.txt.
        weights: the four weight files.
        pictures: number of staged pictures.
        resume: state folder to go on from; None starts afresh.
    """

    dataset_dir: Path
    output_dir: Path
    dataset_file: Path
    prompts_file: Path
    weights: Weights
    pictures: int
    resume: Path | None = None


@dataclass(frozen=True, slots=True)
class Rendered:
    """The three texts of a run; `prompts` is None where no samples are drawn."""

    config: str
    dataset: str
    prompts: str | None


def render(job: Job, ground: Ground) -> Rendered:
    """Render config.toml, dataset.toml and prompts.txt.

    Args:
        job: settled: steps and the memory settings are decided.
        ground: paths and counts.
    """
    return Rendered(
        config=tomli_w.dumps(config_tables(job, ground)),
        dataset=_dataset_text(dataset_tables(job, ground)),
        prompts=prompt_lines(job) if job.sampling.prompts else None,
    )


def config_tables(job: Job, ground: Ground) -> dict[str, Table]:
    """Return the tables of config.toml; the engine flattens them, so their names are for the reader."""
    weights = ground.weights
    model: Table = {
        "pretrained_model_name_or_path": str(weights.transformer),
        "clip_l": str(weights.clip_l),
        "t5xxl": str(weights.t5xxl),
        "ae": str(weights.autoencoder),
        "tokenizer_cache_dir": str(weights.tokenizers) if weights.tokenizers else None,
        "t5xxl_max_token_length": job.training.t5_tokens,
        "apply_t5_attn_mask": job.training.t5_attention_mask or None,
    }
    data: Table = {
        "dataset_config": str(ground.dataset_file),
        # Booleans are written only when true: the engine cannot turn a flag off, and silence is its default.
        "cache_latents": job.memory.cache_latents != "off" or None,
        "cache_latents_to_disk": job.memory.cache_latents == "disk" or None,
        "cache_text_encoder_outputs": job.memory.cache_text_encoders != "off" or None,
        "cache_text_encoder_outputs_to_disk": job.memory.cache_text_encoders == "disk" or None,
        "max_data_loader_n_workers": job.training.workers,
        "persistent_data_loader_workers": job.training.workers > 0 or None,
    }
    memory: Table = {
        "mixed_precision": job.training.precision,
        "gradient_checkpointing": job.memory.gradient_checkpointing or None,
        "fp8_base": job.memory.fp8_base or None,
        "blocks_to_swap": job.memory.blocks_to_swap,
    }
    tables = {
        "model": model,
        "data": data,
        "network": _network(job.network),
        "optimizer": _optimizer(job.optimizer, job.network, job.launch.processes),
        "training": _training(job.training),
        "memory": memory,
        "sampling": _sampling(job, ground),
        "output": _output(job, ground),
        "extra": _extra(job, ground),
    }
    dense = {name: {key: value for key, value in table.items() if value is not None} for name, table in tables.items()}
    return {name: table for name, table in dense.items() if table}


def _extra(job: Job, ground: Ground) -> Table:
    """Return the user's own options; a run that goes on has its weights from its state, and may have lost the file."""
    extra: Table = {**job.engine.extra}
    if ground.resume is not None and not extra.get("dim_from_weights"):
        extra.pop("network_weights", None)
    return extra


def dataset_tables(job: Job, ground: Ground) -> Table:
    """Return dataset.toml: one dataset of one subset, the staged folder."""
    dataset = job.dataset
    table: Table = {"resolution": dataset.resolution, "batch_size": dataset.batch_size}
    if dataset.buckets.enabled:
        table |= {
            "enable_bucket": True,
            "bucket_no_upscale": not dataset.buckets.upscale,
            "bucket_reso_steps": dataset.buckets.step,
            "min_bucket_reso": dataset.buckets.min,
            "max_bucket_reso": dataset.buckets.max,
        }
    else:
        table |= {"enable_bucket": False}
    subset = {
        "image_dir": str(ground.dataset_dir),
        "num_repeats": repeats(job, ground.pictures),
        "caption_extension": ".txt",
    }
    return {"datasets": [{**table, "subsets": [subset]}]}


def _dataset_text(tables: Table) -> str:
    """Write dataset and subset under headers: the engine's TOML library loses inline tables in lists."""
    (dataset,) = tables["datasets"]
    (subset,) = dataset["subsets"]
    own = {key: value for key, value in dataset.items() if key != "subsets"}
    return f"[[datasets]]\n{tomli_w.dumps(own)}\n[[datasets.subsets]]\n{tomli_w.dumps(subset)}"


def repeats(job: Job, pictures: int) -> int:
    """Return how often each picture counts: by default so often that the whole run is one epoch.

    The engine counts steps right after a resume only within one epoch, and each picture is still seen equally often.
    """
    if job.dataset.repeats is not None:
        return job.dataset.repeats
    pictures_a_step = job.dataset.batch_size * job.training.gradient_accumulation * job.launch.processes
    return max(1, math.ceil((job.training.steps or 1) * pictures_a_step / max(1, pictures)))


def prompt_lines(job: Job) -> str:
    """Return prompts.txt: a prompt a line with every size, seed and guidance explicit."""
    sampling = job.sampling
    size = f"--w {sampling.width} --h {sampling.height}"
    flags = f"{size} --d {sampling.seed} --s {sampling.steps} --g {sampling.guidance:.4g}"
    return "".join(f"{with_word(prompt, job.dataset.trigger)} {flags}\n" for prompt in sampling.prompts)


def with_word(prompt: str, trigger: str | None) -> str:
    """Put the trigger where a prompt says `{trigger}`; without a trigger the place closes up."""
    if trigger is not None:
        return prompt.replace("{trigger}", trigger)
    for place in ("{trigger}, ", "{trigger} ", "{trigger}"):
        prompt = prompt.replace(place, "")
    return prompt.strip(" ,") or "a picture"


def _network(network: Network) -> Table:
    arguments = []
    if network.targets != "all":
        arguments.append(f"train_blocks={network.targets}")
    if network.train_t5xxl:
        arguments.append("train_t5xxl=True")
    further = {
        "rank_dropout": network.rank_dropout,
        "module_dropout": network.module_dropout,
        "loraplus_lr_ratio": network.lora_plus,
    }
    arguments += [f"{name}={value}" for name, value in further.items() if value is not None]
    return {
        "network_module": "networks.lora_flux",
        "network_dim": network.rank,
        "network_alpha": network.alpha,
        "network_dropout": network.dropout,
        "network_train_unet_only": not (network.train_clip_l or network.train_t5xxl) or None,
        "network_args": arguments or None,
    }


def _optimizer(optimizer: Optimizer, network: Network, processes: int) -> Table:
    arguments = dict(optimizer.args)
    if optimizer.name == "adafactor":
        # Left to its defaults the engine's adafactor replaces the learning rate and the schedule by its own.
        arguments = {"relative_step": False, "scale_parameter": False, "warmup_init": False, **arguments}
    trains_text = network.train_clip_l or network.train_t5xxl
    text_rate = optimizer.text_encoder_learning_rate
    return {
        "optimizer_type": _OPTIMIZERS[optimizer.name],
        "optimizer_args": [f"{name}={_literal(value)}" for name, value in arguments.items()] or None,
        "learning_rate": optimizer.learning_rate,
        "text_encoder_lr": [text_rate] if trains_text and text_rate is not None else None,
        "lr_scheduler": optimizer.schedule,
        "lr_scheduler_num_cycles": optimizer.restarts,
        # An integer: the engine takes a float for a share of the run, 50.0 for fifty times its length. Each process
        # moves the schedule on, and the engine stretches the run for that, but not the warmup.
        "lr_warmup_steps": optimizer.warmup_steps and optimizer.warmup_steps * processes,
        "max_grad_norm": optimizer.max_grad_norm if optimizer.max_grad_norm is not None else 0.0,
    }


def _literal(value: object) -> str:
    """Write a value as the engine's `ast.literal_eval` reads it back; a list is a tuple there."""
    if isinstance(value, list):
        return ",".join(repr(item) for item in value) + ("," if len(value) == 1 else "")
    return repr(value)


def _training(training: Training) -> Table:
    shifted = training.timestep_sampling in {"sigma", "shift"}
    scaled = training.timestep_sampling in {"sigmoid", "shift", "flux_shift"}
    return {
        "max_train_steps": training.steps,
        "gradient_accumulation_steps": training.gradient_accumulation,
        "seed": training.seed,
        "timestep_sampling": training.timestep_sampling,
        "discrete_flow_shift": training.discrete_flow_shift if shifted else None,
        "sigmoid_scale": training.sigmoid_scale if scaled else None,
        "guidance_scale": training.guidance_scale,
        "model_prediction_type": training.model_prediction,
        "loss_type": training.loss,
        # The engine's default schedule for these two losses is not implemented for flow matching.
        "huber_schedule": "constant" if training.loss in {"huber", "smooth_l1"} else None,
    }


def _sampling(job: Job, ground: Ground) -> Table:
    if not job.sampling.prompts:
        return {}
    every = job.sampling.every_steps or job.training.save_every_steps or job.training.steps
    return {
        "sample_prompts": str(ground.prompts_file),
        "sample_every_n_steps": every,
        "sample_at_first": (job.sampling.at_start and ground.resume is None) or None,  # step 0 is long past then
    }


def _output(job: Job, ground: Ground) -> Table:
    every = job.training.save_every_steps
    keep = job.output.keep_last
    words = job.output.metadata
    saves = every is not None and job.training.save_states
    return {
        "output_dir": str(ground.output_dir),
        "output_name": job.output.name,
        "save_precision": job.output.save_precision,
        "save_every_n_steps": every,
        "save_last_n_steps": every * (keep - 1) if every is not None and keep is not None else None,
        "save_state": saves or None,
        # The newest state and the one before it: enough to go on when the newest was cut off half-written.
        "save_last_n_steps_state": every if saves else None,
        "resume": str(ground.resume) if ground.resume else None,
        "skip_until_initial_step": ground.resume is not None or None,
        "metadata_title": words.title or job.output.name,
        "metadata_author": words.author,
        "metadata_license": words.license,
        "metadata_description": words.description,
        "metadata_tags": ",".join(words.tags) or None,
        "metadata_trigger_phrase": job.dataset.trigger,
    }

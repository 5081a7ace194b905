"""What a recipe says, setting by setting."""

from pathlib import Path
from typing import Any

import pytest

from loraforge.advice.importer import Imported, import_text
from loraforge.config.job import Job
from loraforge.engine.options import snapshot

_GUIDE = Path(__file__).with_name("guide_command.txt")
_WHOLE = "accelerate launch flux_train_network.py --network_module networks.lora_flux --resolution 512 "


def made(text: str, base: Path | None = None) -> Imported:
    """Import a text with the pinned engine's options."""
    return import_text(text, name="it", base=base, options=snapshot())


def at(imported: Imported, path: str) -> Any:
    """Return an imported value by its dotted path; "absent" where there is none."""
    value: Any = imported.values
    for name in path.split("."):
        if name not in value:
            return "absent"
        value = value[name]
    return value


def test_the_guides_command_comes_out_runnable() -> None:
    """Its values are kept, and they are settings that load."""
    imported = made(_GUIDE.read_text(encoding="utf-8"))
    job = Job.model_validate(imported.values)
    assert (job.network.rank, job.network.alpha, job.optimizer.learning_rate) == (16, 16.0, 1e-4)
    assert (job.optimizer.name, job.optimizer.schedule, job.optimizer.warmup_steps) == (
        "adafactor",
        "cosine_with_restarts",
        50,
    )
    assert (job.training.steps, job.training.save_every_steps, job.training.workers) == (500, 100, 4)
    assert (job.training.precision, job.training.guidance_scale) == ("bf16", 1.0)
    assert (job.dataset.resolution, str(job.dataset.images)) == (1024, "my_lora_dataset")
    assert (job.dataset.buckets.enabled, job.dataset.buckets.upscale, job.dataset.buckets.max) == (True, False, 1024)
    assert (job.training.timestep_sampling, job.training.model_prediction) == ("sigma", "sigma_scaled")
    assert (job.optimizer.args, job.output.name, job.memory.gradient_checkpointing) == ({}, "my_style_v1", True)


def test_every_fault_of_the_guides_command_is_named() -> None:
    """The faults of the guide, each once, at its place."""
    found = {
        (finding.code, finding.where.partition(" ")[0]) for finding in made(_GUIDE.read_text(encoding="utf-8")).findings
    }
    assert found == {
        ("comment-after-continuation", "lines"),
        ("comment-inside-command", "lines"),
        ("unknown-option", "--flux_train_t_exponent"),
        ("optimizer-args-in-one-string", "optimizer.args"),
        ("missing-weights", "model.clip_l"),
        ("missing-weights", "model.t5xxl"),
        ("missing-weights", "model.autoencoder"),
        ("flat-data-folder", "dataset.images"),
        ("default-caption-extension", "dataset.images"),
        ("default-max-bucket", "dataset.buckets.max"),
        ("default-text-encoder", "network.train_clip_l"),
        ("default-restarts", "optimizer.restarts"),
        ("default-grad-norm", "optimizer.max_grad_norm"),
        ("default-timestep-sampling", "training.timestep_sampling"),
        ("default-model-prediction", "training.model_prediction"),
        ("default-seed", "training.seed"),
        ("default-states", "training.save_states"),
        ("default-latent-cache", "memory.cache_latents"),
        ("default-text-cache", "memory.cache_text_encoders"),
        ("default-save-precision", "output.save_precision"),
    }


@pytest.mark.parametrize(
    ("flags", "path", "value", "code"),
    [
        ("", "training.guidance_scale", 3.5, "default-guidance"),
        ("", "network.rank", 4, "default-rank"),
        ("", "network.alpha", 1.0, "default-alpha"),
        ("", "training.steps", 1600, "default-steps"),
        ("", "training.precision", "no", "default-precision"),
        ("", "optimizer.name", "adamw", "default-optimizer"),
        ("", "optimizer.learning_rate", 2e-6, "default-learning-rate"),
        ("", "training.save_every_steps", None, "default-checkpoints"),
        ("", "dataset.buckets.enabled", False, "default-buckets"),
        ("", "memory.gradient_checkpointing", False, "default-checkpointing"),
        ("", "training.workers", 8, "default-workers"),
        ("", "dataset.images", "absent", "missing-pictures"),
        ("", "output.name", "absent", "default-name"),
        ("--network_dim 8 --network_alpha 0", "network.alpha", 8.0, None),
        ("--network-dim 8", "network.rank", 8, "misspelt-option"),
        ("--network_di 8", "network.rank", 8, "abbreviated-option"),
        ("--netwrok_dim 8", "network.rank", 4, "unknown-option"),
        ("--network_dim 8 --network_dim 9", "network.rank", 9, "repeated-option"),
        ("--network_dim 8 9", "network.rank", 8, "stray-word"),
        ("--network_dim", "network.rank", 4, "missing-value"),
        ("--network_dim eight", "network.rank", 4, "unreadable-value"),
        ("--network_dim 5000", "network.rank", "absent", "value-refused"),
        ("--timestep_sampling shft", "training.timestep_sampling", "sigma", "not-a-choice"),
        ("--fp8_base --mixed_precision no", "training.precision", "bf16", "settings-contradict"),
        ("--fp8_base --gradient_checkpointing --mixed_precision bf16", "memory.profile", "24gb", None),
        ("--split_mode", "memory.blocks_to_swap", 18, "deprecated-option"),
        ("--blocks_to_swap 40", "memory.blocks_to_swap", 35, "engine-refuses"),
        ("--blocks_to_swap 8 --cpu_offload_checkpointing", "engine.extra", "absent", "settings-contradict"),
        ("--use_8bit_adam", "optimizer.name", "adamw8bit", "deprecated-option"),
        ("--optimizer_type DAdaptAdam", "optimizer.name", "prodigy", "optimizer-unsupported"),
        ("--optimizer_type adamw --optimizer_args betas=0.9,0.99", "optimizer.args.betas", [0.9, 0.99], None),
        ("--optimizer_type adamw --optimizer_args decouple=true", "optimizer.args.decouple", True, None),
        ("--optimizer_type adafactor", "optimizer.args.scale_parameter", True, "adafactor-relative-step"),
        ("--optimizer_type CAME", "optimizer.args", "absent", "optimizer-unsupported"),
        ("--lr_scheduler cosine_with_min_lr", "optimizer.schedule", "cosine_with_restarts", "schedule-unsupported"),
        ("--lr_warmup_steps 9", "optimizer.schedule", "constant_with_warmup", "warmup-with-constant"),
        ("--lr_scheduler cosine --lr_warmup_steps 5% --max_train_steps 200", "optimizer.warmup_steps", 10, None),
        ("--lr_scheduler cosine --lr_warmup_steps 10 --num_processes 2", "optimizer.warmup_steps", 5, None),
        ("--lr_scheduler cosine --lr_warmup_steps 50.0", "optimizer.warmup_steps", 50, "warmup-as-fraction"),
        (
            "--lr_scheduler cosine --lr_warmup_steps 0.1 --max_train_epochs 2 --train_data_dir x",
            "optimizer.warmup_steps",
            160,
            "epochs-as-steps",
        ),
        ("--unet_lr 3e-4 --learning_rate 1e-4", "optimizer.text_encoder_learning_rate", 1e-4, None),
        ("--text_encoder_lr 0", "network.train_clip_l", False, "text-encoder-rate-zero"),
        ("--text_encoder_lr 1e-5 2e-5", "optimizer.text_encoder_learning_rate", 1e-5, "split-learning-rates"),
        ("--unet_lr 1e-4", "optimizer.text_encoder_learning_rate", 2e-6, "default-learning-rate"),
        ("--text_encoder_lr 0 1e-5", "network.train_clip_l", False, "text-encoder-rate-zero"),
        (
            "--text_encoder_lr 0 1e-5 --network_args train_t5xxl=True",
            "network.train_clip_l",
            True,
            "split-learning-rates",
        ),
        ("--text_encoder_lr 1e-5 0 --network_args train_t5xxl=True", "network.train_t5xxl", "absent", None),
        ("--network_args train_blocks=single network_reg_dims=a=4", "network.targets", "single", "not-carried"),
        ("--network_args loraplus_lr_ratio=4 rank_dropout=0.1", "network.lora_plus", 4.0, None),
        ("--network_args loraplus_lr_ratio=4 rank_dropout=0.1", "network.rank_dropout", 0.1, None),
        ("--network_args module_dropout=0", "network.module_dropout", None, None),
        ("--network_args module_dropout=7", "network.module_dropout", "absent", "value-refused"),
        ("--network_args loraplus_unet_lr_ratio=8", "network.lora_plus", "absent", "not-carried"),
        (
            "--network_train_unet_only --network_args loraplus_unet_lr_ratio=8 loraplus_lr_ratio=4",
            "network.lora_plus",
            8.0,
            None,
        ),
        ("--network_train_unet_only", "network.train_clip_l", False, None),
        ("--loss_type huber", "training.loss", "huber", "huber-schedule"),
        ("--loss_type huber --huber_schedule exponential", "engine.extra.huber_schedule", "exponential", None),
        ("--min_snr_gamma 5", "engine.extra", "absent", "inert-option"),
        ("--weighted_captions", "engine.extra", "absent", "dead-option"),
        ("--wandb_api_key abc", "engine.extra", "absent", "secret-left-out"),
        ("--network_weights old.safetensors", "engine.extra.network_weights", "old.safetensors", None),
        ("--ip_noise_gamma 0.1", "engine.extra.ip_noise_gamma", 0.1, None),
        ("--sample_every_n_steps 50", "sampling", "absent", "missing-prompts"),
        ("--sample_prompts nowhere.txt", "sampling", "absent", "file-not-read"),
        ("--dataset_config nowhere.toml", "dataset.images", "absent", "file-not-read"),
        ("--max_train_epochs 10 --train_data_dir pics", "training.steps_per_picture", 10, "epochs-as-steps"),
        ("--train_data_dir x/20_zxy", "dataset.repeats", 20, "numbered-folder"),
        ("--train_data_dir x/20_zxy", "dataset.trigger", "zxy", "class-tokens"),
        ("--train_data_dir x --caption_extension .caption", "dataset.images", "x", "caption-extension"),
        ("--caption_prefix 'zxy, '", "dataset.trigger", "zxy", "caption-prefix"),
        ("--enable_bucket --bucket_reso_steps 32", "dataset.buckets.step", 64, "value-adjusted"),
        ("--enable_bucket --bucket_reso_steps 8", "dataset.buckets.step", 64, "engine-refuses"),
        ("--enable_bucket --resolution 1024 --max_bucket_reso 768", "dataset.buckets.max", 1024, "engine-refuses"),
        ("--enable_bucket --resolution 512 --min_bucket_reso 640", "dataset.buckets.min", 512, "engine-refuses"),
        ("--enable_bucket --max_bucket_reso 1000", "dataset.buckets.max", 1024, "value-adjusted"),
        ("--enable_bucket --min_bucket_reso 320 --bucket_reso_steps 128", "dataset.buckets.min", 256, "value-adjusted"),
        ("--output_name a/b", "output.name", "a_b", "value-adjusted"),
        ("--save_every_n_steps 50 --save_last_n_steps 100", "output.keep_last", 3, None),
        ("--pretrained_model_name_or_path flux1-schnell.safetensors", "model.family", "flux-schnell", None),
        ("--pretrained_model_name_or_path black-forest-labs/FLUX.1-dev", "model", "absent", "transformer-not-a-file"),
        ("--pretrained_model_name_or_path stabilityai/sdxl-base-1.0", "model", "absent", "transformer-not-a-file"),
        ("--pretrained_model_name_or_path models/flux1-dev.sft", "model.transformer", "models/flux1-dev.sft", None),
        ("--resolution 768x512", "dataset.resolution", [768, 512], "unreadable-value"),
        ('--resolution "768 512"', "dataset.resolution", [768, 512], "unreadable-value"),
        ("--resolution 768,512", "dataset.resolution", [768, 512], None),
        ("--debug_dataset", "engine.extra", "absent", "dead-option"),
        ("--skip_cache_check", "engine.extra.skip_cache_check", True, None),
        ("--resume state", "engine.extra", "absent", "not-carried"),
    ],
)  # fmt: skip
def test_an_option_becomes_its_setting(flags: str, path: str, value: object, code: str | None) -> None:
    """Options are inverted, defaults are the engine's, and what is wrong is named."""
    imported = made(_WHOLE + flags)
    assert at(imported, path) == value
    if code is not None:
        assert code in {finding.code for finding in imported.findings}


@pytest.mark.parametrize(
    ("flags", "path", "value", "code"),
    [
        ("--optimizer_type CAME", "optimizer.name", "adafactor", "adafactor-relative-step"),
        (
            "--lr_scheduler warmup_stable_decay --lr_warmup_steps 50",
            "optimizer.schedule",
            "constant_with_warmup",
            "warmup-with-constant",
        ),
    ],
)
def test_what_only_comes_near_draws_no_fault_of_its_own(flags: str, path: str, value: object, code: str) -> None:
    """The fault of what loraforge put in its place was not the source's."""
    imported = made(_WHOLE + flags)
    assert at(imported, path) == value
    assert code not in {finding.code for finding in imported.findings}


def test_a_share_of_the_run_is_one_of_its_epochs(tmp_path: Path) -> None:
    """The length is settled before a warmup is taken of it."""
    folder = tmp_path / "10_zxqv"
    folder.mkdir()
    for index in range(20):
        (folder / f"{index}.png").touch()
    flags = f"--train_data_dir {tmp_path} --max_train_epochs 10 --lr_scheduler cosine --lr_warmup_steps 0.1"
    imported = made(_WHOLE + flags, tmp_path)
    assert (at(imported, "training.steps"), at(imported, "optimizer.warmup_steps")) == (2000, 200)


def test_the_launcher_and_the_environment_are_read() -> None:
    """GPUs, processes and harmless variables are kept; secrets are not."""
    head = "CUDA_VISIBLE_DEVICES=1 NCCL_P2P_DISABLE=1 HF_TOKEN=abc accelerate launch --num_processes 2 "
    imported = made(head + _WHOLE.removeprefix("accelerate launch "))
    assert imported.values["launch"] == {"processes": 2, "gpu_ids": "1", "env": {"NCCL_P2P_DISABLE": "1"}}
    assert "secret-left-out" in {finding.code for finding in imported.findings}
    assert "abc" not in imported.toml()


@pytest.mark.parametrize("login", ["me:s3cret", "s3cret", "me:s3cret@more", "me:$WORD"])
def test_a_login_in_an_address_is_cut_out(login: str, tmp_path: Path) -> None:
    """Wherever it stands: in a variable, in an option, in a file that the command names."""
    (tmp_path / "more.toml").write_text(f'training_comment = "https://{login}@host/x"\n')
    head = f"WORD=s3cret\nPIP_INDEX_URL=https://{login}@host/simple HUB=http://{login}@host:80 "
    imported = made(f"{head}{_WHOLE} --wandb_run_name https://{login}@host/y --config_file more.toml", tmp_path)
    text = imported.toml()
    assert "s3cret" not in text
    assert "s3cret" not in "".join(map(str, imported.findings))
    assert "secret-left-out" in {finding.code for finding in imported.findings}
    assert "https://host/y" in text


def test_arrays_of_arguments_are_read() -> None:
    """The idiom of careful scripts: ARGS=( ... ) and "${ARGS[@]}"."""
    imported = made(
        'ARGS=(\n  --network_dim 8 # rank\n  --seed 1\n)\naccelerate launch flux_train_network.py "${ARGS[@]}"\n'
    )
    assert at(imported, "network.rank") == 8
    assert at(imported, "training.seed") == 1


@pytest.mark.parametrize("script", ["sdxl_train_network.py", "train_network.py", "flux_train.py"])
def test_another_script_is_named(script: str) -> None:
    """What is for another model is imported as far as it goes, and said to be."""
    imported = made(f"accelerate launch {script} --network_dim 8 --seed 3")
    assert imported.findings[0].code == "other-script"
    assert at(imported, "network.rank") == 8


def test_of_two_scripts_the_one_for_flux_is_taken() -> None:
    """A page may show SDXL's command too, with more options."""
    imported = made("python sdxl_train_network.py --network_dim 8 --seed 3 --fp8_base\n" + _WHOLE + "--seed 4\n")
    assert at(imported, "training.seed") == 4
    assert "other-script" not in {finding.code for finding in imported.findings}

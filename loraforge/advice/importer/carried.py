"""What a rendered config.toml can't give back, and the options that mean nothing to a FLUX LoRA."""

from collections.abc import Mapping

# Setting -> why a rendered run no longer tells it.
NOT_CARRIED: Mapping[str, str] = {
    "preset": "its values come back one by one",
    "model.family": "the file name tells it: `schnell` in it makes flux-schnell",
    "model.*": "where a path was left to the search, the path that was found comes back",
    "dataset.images": "the staged folder comes back, as an absolute path",
    "dataset.trigger": "comes back from the metadata, so that a run without one has none",
    "dataset.resolution": "[n, n] comes back as n",
    "dataset.repeats": "comes back as a number, or as none where the whole run is one epoch of the pictures there",
    "dataset.buckets.*": "not written where buckets are off",
    "optimizer.text_encoder_learning_rate": "not written where no text encoder is trained",
    "optimizer.args": "the three arguments that adafactor always gets are left out; values None are dropped",
    "training.steps_per_picture": "the run's steps are settled; min_steps and max_steps likewise",
    "training.save_states": "not written without checkpoints",
    "training.discrete_flow_shift": "not written for samplings that ignore it; sigmoid_scale likewise",
    "memory.profile": "its decisions come back; `24gb`, which swaps nothing, stands where nothing was swapped",
    "sampling.*": "not written without prompts; guidance has four digits",
    "sampling.prompts": "the trigger comes back as {trigger} wherever it stands as a word",
    "sampling.every_steps": "left out where it equals what none would mean",
    "output.dir": "the run's own folder comes back",
    "output.keep_last": "not written without checkpoints",
    "output.metadata": "a title equal to the name is left out; tags are split at commas",
    "launch.*": "belongs to the command line, which `import` reads where it is given",
    "engine.kind": "a rendered run is kohya's; path and python are the machine's",
    "engine.extra": "options that are inert on FLUX, or equal to the engine's default, are left out",
}

# Option -> why it does nothing for a FLUX LoRA at the pinned commit.
INERT: Mapping[str, str] = {
    "sdpa": "attention is always torch SDPA here",
    "xformers": "attention is always torch SDPA here",
    "mem_eff_attn": "attention is always torch SDPA here",
    "min_timestep": "FLUX's sampling never reads it",
    "max_timestep": "FLUX's sampling never reads it",
    "noise_offset": "flow matching does not use it",
    "noise_offset_random_strength": "flow matching does not use it",
    "adaptive_noise_scale": "flow matching does not use it",
    "multires_noise_iterations": "flow matching does not use it",
    "multires_noise_discount": "flow matching does not use it",
    "min_snr_gamma": "flow matching has no SNR weights",
    "debiased_estimation_loss": "flow matching has no SNR weights",
    "scale_v_pred_loss_like_noise_pred": "FLUX predicts no v",
    "v_pred_like_loss": "FLUX predicts no v",
    "v_parameterization": "FLUX predicts no v",
    "v2": "it selects Stable Diffusion 2",
    "clip_skip": "FLUX takes CLIP's pooled output",
    "max_token_length": "FLUX's prompt length is t5xxl_max_token_length",
    "vae": "FLUX's autoencoder is --ae",
    "zero_terminal_snr": "flow matching has no such schedule",
    "sample_sampler": "FLUX's samples have one sampler",
    "fused_backward_pass": "the LoRA trainer does not use it",
    "controlnet_model_name_or_path": "the LoRA trainer does not use it",
    "no_half_vae": "FLUX's autoencoder is not Stable Diffusion's",
    "lowram": "it only moves Stable Diffusion's model",
}

# Options that are mere repetitions of what loraforge always does: dropped without a word.
SILENT = frozenset(
    {
        "persistent_data_loader_workers",
        "save_model_as",
        "console_log_file",
        "console_log_level",
        "console_log_simple",
        "huggingface_repo_type",
        "huggingface_repo_visibility",
        "highvram",
    }
)

SECRETS = frozenset({"huggingface_token", "wandb_api_key"})

# Option -> what happens. Left out, since a run with it never trains.
DEAD: Mapping[str, str] = {
    "weighted_captions": "FLUX's tokenizer has no weights: NotImplementedError",
    "debug_dataset": "it shows pictures, then the program ends with exit code 0",
    "output_config": "it writes the settings to a file and ends the program",
}

# Names that guides invented or other trainers use -> what comes nearest.
INVENTED: Mapping[str, str] = {
    "flux_train_t_exponent": "timestep_sampling (training.timestep_sampling) with discrete_flow_shift or sigmoid_scale",
    "timestep_sample": "timestep_sampling (training.timestep_sampling)",
    "t_exponent": "timestep_sampling (training.timestep_sampling)",
    "flow_shift": "discrete_flow_shift (training.discrete_flow_shift)",
    "rank": "network_dim (network.rank)",
    "network_rank": "network_dim (network.rank)",
    "alpha": "network_alpha (network.alpha)",
    "lr": "learning_rate (optimizer.learning_rate)",
    "steps": "max_train_steps (training.steps)",
    "batch_size": "train_batch_size (dataset.batch_size)",
    "interpolation_type": "resize_interpolation (engine.extra.resize_interpolation)",
}

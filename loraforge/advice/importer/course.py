"""[training]: length, checkpoints, objective."""

import math

from loraforge.advice.importer.draft import Draft
from loraforge.advice.importer.pictures import settle_repeats

# Option -> setting, for values that mean the same on both sides.
_SAME = {
    "mixed_precision": "training.precision",
    "timestep_sampling": "training.timestep_sampling",
    "guidance_scale": "training.guidance_scale",
    "model_prediction_type": "training.model_prediction",
    "max_data_loader_n_workers": "training.workers",
}
_OPTIONAL = {
    "t5xxl_max_token_length": "training.t5_tokens",
    "seed": "training.seed",
    "loss_type": "training.loss",
}
_MOST_STEPS = 1_000_000


def course(draft: Draft) -> None:
    """Map the course of the run."""
    accumulation = draft.whole("gradient_accumulation_steps")
    if accumulation is not None:
        draft.put("training.gradient_accumulation", accumulation)
    _processes(draft)
    epoch = _length(draft)
    _checkpoints(draft, epoch)
    settle_repeats(draft)
    for option, path in _SAME.items():
        given = draft.source.options.get(option)
        value = draft.take(option)
        if value is None and given is not None and given.typed and option == "model_prediction_type":
            draft.put(path, "raw")  # what the engine makes of a word from a file that it does not know
        elif value is None:
            draft.put_default(path, draft.engine_default(option))
        else:
            draft.put(path, float(value) if option == "guidance_scale" and isinstance(value, int) else value)
    for option, path in _OPTIONAL.items():
        value = draft.take(option)
        if value is not None:
            draft.put(path, value)
        elif option == "seed":
            draft.say_default(path)
    if draft.flag("apply_t5_attn_mask"):
        draft.put("training.t5_attention_mask", value=True)
    _shape(draft)


def _processes(draft: Draft) -> None:
    text = draft.source.launcher.pop("num_processes", "")
    if text.isdecimal() and 1 < int(text[:6]) <= 64:
        draft.put("launch.processes", int(text[:6]))


def _length(draft: Draft) -> float | None:
    """Set the steps; return the steps of an epoch where they are known."""
    epochs, steps = draft.whole("max_train_epochs"), draft.whole("max_train_steps")
    count, repeats = draft.source.pictures, draft.get("dataset.repeats") or 1
    share = max(
        1, draft.get("dataset.batch_size") * draft.get("training.gradient_accumulation") * draft.get("launch.processes")
    )
    epoch = math.ceil(count * repeats / share) if count else None
    if epochs is None or epochs < 1:
        if steps is None:
            draft.put_default("training.steps", draft.engine_default("max_train_steps"))
        else:
            draft.put("training.steps", steps)
        return epoch
    if epoch:
        total = min(_MOST_STEPS, max(1, epochs * epoch))
        draft.put("training.steps", total)
        message = f"{epochs} epochs of {count} pictures x {repeats} are {total} steps."
    else:
        each = min(10_000, max(1, round(epochs * repeats / share)))
        draft.put("training.steps_per_picture", each)
        draft.put("training.min_steps", 1)
        draft.put("training.max_steps", _MOST_STEPS)
        message = f"{epochs} epochs x {repeats} repeats are {each} steps a picture, whatever the number of pictures."
    draft.note("epochs-as-steps", "training.steps", message, "--set training.steps=500 for a fixed length")
    return epoch


def _checkpoints(draft: Draft, epoch: float | None) -> None:
    steps, epochs = draft.whole("save_every_n_steps"), draft.whole("save_every_n_epochs")
    last, last_epochs = draft.whole("save_last_n_steps"), draft.whole("save_last_n_epochs")
    keep = None
    if steps:
        draft.put("training.save_every_steps", steps)
        keep = max(0, last) // max(1, steps) + 1 if last is not None else None
    elif epochs and epochs > 0:
        keep = last_epochs
        if epoch:
            draft.put("training.save_every_steps", min(_MOST_STEPS, max(1, int(epochs * epoch))))
        else:
            message = f"Saving every {epochs} epochs needs the number of pictures; every 100 steps is used."
            draft.note("epochs-as-steps", "training.save_every_steps", message, "--set training.save_every_steps=100")
    else:
        draft.put_default("training.save_every_steps", None)
    if keep:
        draft.put("output.keep_last", keep)
    given = draft.has("save_state")
    if draft.flag("save_state"):
        draft.put("training.save_states", value=True)
    elif given:
        draft.put("training.save_states", value=False)
    else:
        draft.put_default("training.save_states", value=False)


def _shape(draft: Draft) -> None:
    """Shift, scale and loss: kept where the engine reads them."""
    sampling = draft.get("training.timestep_sampling")
    shift, scale = draft.real("discrete_flow_shift"), draft.real("sigmoid_scale")
    if shift is not None and sampling in {"sigma", "shift"}:
        draft.put("training.discrete_flow_shift", shift)
    if scale is not None and sampling in {"sigmoid", "shift", "flux_shift"}:
        draft.put("training.sigmoid_scale", scale)
    if draft.get("training.loss") not in {"huber", "smooth_l1"}:
        return
    schedule = draft.word("huber_schedule")
    if schedule == "exponential":
        draft.put("engine.extra", {"huber_schedule": schedule})
    elif schedule != "constant":
        message = "The default huber_schedule, snr, fails at the first step; `constant` is used."
        draft.note("huber-schedule", "training.loss", message, "nothing: loraforge sets it")

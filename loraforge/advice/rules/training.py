"""How long, how often saved, and what is learnt at each step."""

from collections.abc import Iterator

from loraforge.advice.rules.case import Case
from loraforge.advice.rules.registry import Hit, rule

_OBJECTIVE = "sd-scripts docs/flux_train_network.md"


@rule("warning", "style-LoRA guide: 20 steps a picture, and training too long is forgetting")
def over_training(case: Case) -> Iterator[Hit]:
    """Each picture is shown so often that the pictures are learnt instead of what they share."""
    typical, most = case.purpose.views
    if case.views is not None and case.views > most and case.steps_for(typical) < (case.steps or 0):
        said = f"each picture is shown {case.views:.0f} times, where {case.purpose.name} takes about {typical}"
        yield Hit("training.steps", said, {"training.steps": case.steps_for(typical)})


@rule("warning", "style-LoRA guide: about 20 steps a picture")
def under_training(case: Case) -> Iterator[Hit]:
    """Pictures that are hardly shown teach nothing."""
    # Of a large set no run that is not itself too long can show every picture often.
    enough = min(case.steps_for(case.purpose.views[0]), case.purpose.steps)
    if case.views is not None and case.views < 4 and (case.steps or 0) < enough:
        said = f"each picture is shown {case.views:.1f} times"
        yield Hit("training.steps", said, {"training.steps": enough})


@rule(
    "warning",
    "recipes compared: 500 to 1500 steps for a style, up to 3000 for others; kohya_ss#2701 saw a likeness worsen",
)
def steps_many(case: Case) -> Iterator[Hit]:
    """So long a run forgets more of the base model than it gains."""
    if case.steps is not None and case.steps > case.purpose.steps:
        said = f"{case.steps} steps for {case.purpose.name}, which is done by {case.purpose.steps}"
        yield Hit("training.steps", said, {"training.steps": case.purpose.steps})


@rule("warning", "the shortest run that any trainer compared ships is 100 steps, as a demonstration")
def steps_few(case: Case) -> Iterator[Hit]:
    """So short a run ends before anything shows."""
    if case.steps is not None and case.steps < 100:
        yield Hit("training.steps", f"{case.steps} steps", {"training.steps": 300})


@rule("warning", "style-LoRA guide: save every 100 steps and choose; sd-scripts#1921: states need an interval too")
def no_checkpoints(case: Case) -> Iterator[Hit]:
    """The last step is often not the best one, and without checkpoints there is nothing to choose or resume from."""
    if case.job.training.save_every_steps is None:
        yield Hit("training.save_every_steps", "only the end is saved", {"training.save_every_steps": 100})


@rule("warning", "style-LoRA guide: compare several checkpoints before you choose")
def checkpoints_few(case: Case) -> Iterator[Hit]:
    """Two checkpoints or fewer are no choice."""
    every, steps = case.job.training.save_every_steps, case.steps
    if every is not None and steps is not None and steps / every < 3:
        said = f"a checkpoint every {every} of {steps} steps"
        yield Hit("training.save_every_steps", said, {"training.save_every_steps": max(1, steps // 5)})


@rule("info", "a rank-16 checkpoint is 153 MB in bf16, and each stops training while it is written")
def checkpoints_many(case: Case) -> Iterator[Hit]:
    """Neighbouring checkpoints look alike, and nobody compares forty of them."""
    every, steps = case.job.training.save_every_steps, case.steps
    if every is not None and steps is not None and steps / every > 40:
        said = f"{steps // every} checkpoints"
        yield Hit("training.save_every_steps", said, {"training.save_every_steps": max(1, steps // 10)})


@rule("info", "sd-scripts resumes from saved states only")
def no_states(case: Case) -> Iterator[Hit]:
    """Without states an interrupted run starts over."""
    if not case.job.training.save_states:
        yield Hit("training.save_states", "no state is kept", {"training.save_states": True})


@rule("warning", "sd-scripts#1464, #1571, #1707: NaN and LoRAs without effect")
def precision_fp16(case: Case) -> Iterator[Hit]:
    """FLUX overflows fp16: the loss turns to NaN and the LoRA is useless."""
    if case.job.training.precision == "fp16":
        yield Hit("training.precision", "fp16 arithmetic", {"training.precision": "bf16"})


@rule("warning", "sd-scripts loads the transformer as fp32 then: 47.6 GB")
def precision_none(case: Case) -> Iterator[Hit]:
    """Full precision doubles the memory of the largest part and gains a style LoRA nothing."""
    if case.job.training.precision == "no":
        yield Hit("training.precision", "no mixed precision", {"training.precision": "bf16"})


@rule("warning", f"{_OBJECTIVE}; all nine FLUX recipes compared use 1.0")
def guidance_while_training(case: Case) -> Iterator[Hit]:
    """FLUX.1-dev is distilled on guidance, and training at any other than 1.0 bends it; 3.5 belongs to sampling."""
    guidance = case.job.training.guidance_scale
    if case.job.model.family == "flux-dev" and abs(guidance - 1.0) > 0.5:
        yield Hit("training.guidance_scale", f"guidance_scale {guidance:g}", {"training.guidance_scale": 1.0})


@rule("warning", f"{_OBJECTIVE}; sd-scripts compares with noise - latents whatever the setting")
def prediction_not_raw(case: Case) -> Iterator[Hit]:
    """Only the raw output is what FLUX's target is compared with."""
    prediction = case.job.training.model_prediction
    if prediction != "raw":
        yield Hit("training.model_prediction", f"model_prediction {prediction}", {"training.model_prediction": "raw"})


@rule("warning", _OBJECTIVE)
def timesteps_not_shifted(case: Case) -> Iterator[Hit]:
    """FLUX itself was trained on noise levels shifted with the resolution; these two sample others."""
    sampling = case.job.training.timestep_sampling
    if sampling in {"sigma", "uniform"}:
        fix = {"training.timestep_sampling": "flux_shift", "training.discrete_flow_shift": None}
        yield Hit("training.timestep_sampling", f"timestep_sampling {sampling}", fix)


@rule("info", f"{_OBJECTIVE}: shift with 3.1582")
def shift_unset(case: Case) -> Iterator[Hit]:
    """The engine's own shift of 3.0 is not the one that its documentation recommends for FLUX."""
    training = case.job.training
    if training.timestep_sampling == "shift" and training.discrete_flow_shift is None:
        fix = {"training.discrete_flow_shift": 3.1582}
        yield Hit("training.discrete_flow_shift", "timestep_sampling shift without its shift", fix)


@rule("warning", f"{_OBJECTIVE}: 3.1582; a shift of 1 is none, one of 10 trains almost pure noise")
def shift_extreme(case: Case) -> Iterator[Hit]:
    """Shifted so far, training sees only a narrow range of noise."""
    shift = case.job.training.discrete_flow_shift
    if case.job.training.timestep_sampling == "shift" and shift is not None and not 0.8 <= shift <= 7:
        fix = {"training.discrete_flow_shift": 3.1582}
        yield Hit("training.discrete_flow_shift", f"discrete_flow_shift {shift:g}", fix)


@rule("info", "sd-scripts flux_train_utils.py:471-529")
def shift_unused(case: Case) -> Iterator[Hit]:
    """Only the samplings shift and sigma read discrete_flow_shift; flux_shift computes its own."""
    training = case.job.training
    if training.discrete_flow_shift is not None and training.timestep_sampling not in {"shift", "sigma"}:
        said = f"discrete_flow_shift beside {training.timestep_sampling}"
        yield Hit("training.discrete_flow_shift", said, {"training.discrete_flow_shift": None})


@rule("info", "sd-scripts flux_train_utils.py:471-529")
def sigmoid_scale_unused(case: Case) -> Iterator[Hit]:
    """Only the samplings sigmoid, shift and flux_shift read sigmoid_scale."""
    training = case.job.training
    if training.sigmoid_scale is not None and training.timestep_sampling in {"sigma", "uniform"}:
        said = f"sigmoid_scale beside {training.timestep_sampling}"
        yield Hit("training.sigmoid_scale", said, {"training.sigmoid_scale": None})


@rule("info", "judgement: l2 is the engine's default and flow matching's own objective")
def loss_unusual(case: Case) -> Iterator[Hit]:
    """Flow matching is defined by squared error; other losses are untried on styles."""
    if case.job.training.loss != "l2":
        yield Hit("training.loss", f"loss {case.job.training.loss}", {"training.loss": "l2"})


@rule("warning", "FLUX.1-schnell was made for 256 T5 tokens; sd-scripts flux_train_network.py:171-177")
def t5_too_long(case: Case) -> Iterator[Hit]:
    """FLUX.1-schnell never saw prompts longer than 256 tokens."""
    tokens = case.job.training.t5_tokens
    if case.job.model.family == "flux-schnell" and tokens is not None and tokens > 256:
        yield Hit("training.t5_tokens", f"{tokens} T5 tokens for schnell", {"training.t5_tokens": None})


@rule("warning", "a T5 token is about three quarters of an English word; what is beyond the limit is cut off")
def t5_cuts_captions(case: Case) -> Iterator[Hit]:
    """Captions longer than the T5 prompt are cut, and their ends are never learnt."""
    default = 512 if case.job.model.family == "flux-dev" else 256
    limit = case.job.training.t5_tokens or default
    captions = case.dataset.captions if case.dataset else ()
    longest = max((len(caption.split()) for caption in captions), default=0)
    if longest * 4 / 3 + 1 > limit and limit < default:
        yield Hit("training.t5_tokens", f"{limit} T5 tokens for {longest} words", {"training.t5_tokens": None})


@rule("info", "FLUX pads its prompts: 512 tokens for dev, 256 for schnell, in every program that draws with it")
def t5_short(case: Case) -> Iterator[Hit]:
    """A T5 prompt padded to another length than when drawing is slightly another prompt."""
    default = 512 if case.job.model.family == "flux-dev" else 256
    tokens = case.job.training.t5_tokens
    if tokens is not None and tokens < default:
        yield Hit("training.t5_tokens", f"{tokens} T5 tokens instead of {default}", {"training.t5_tokens": None})


@rule("warning", "FLUX.1-dev was trained without it; ComfyUI and diffusers draw without it")
def t5_masked(case: Case) -> Iterator[Hit]:
    """A LoRA trained with masked T5 padding is drawn without the mask almost everywhere."""
    if case.job.training.t5_attention_mask:
        yield Hit("training.t5_attention_mask", "T5's padding is masked", {"training.t5_attention_mask": False})


@rule("info", "kohya_ss#3129: every worker copies what is cached in memory")
def workers_many(case: Case) -> Iterator[Hit]:
    """With pictures and captions cached there is nothing for so many processes to do, and each costs memory."""
    workers, memory = case.job.training.workers, case.job.memory
    if workers > 4 and "off" not in {memory.cache_latents, memory.cache_text_encoders}:
        yield Hit("training.workers", f"{workers} data-loading processes", {"training.workers": 1})


@rule("warning", "arithmetic: more than half of the set in one step is an average of the set")
def batch_beyond_set(case: Case) -> Iterator[Hit]:
    """A step over most of the set averages away what single pictures teach."""
    together = case.pictures_a_step
    if case.pictures is not None and together > 1 and together > case.pictures / 2:
        said = f"{together} pictures a step from a set of {case.pictures}"
        fix = {"dataset.batch_size": 1, "training.gradient_accumulation": 1, "launch.processes": 1}
        yield Hit("dataset.batch_size", said, fix)

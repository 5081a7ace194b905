"""From the engine's options to the settings that stand for them: the inverse of `engine/render.py`."""

from typing import cast

from loraforge.advice.importer.carried import DEAD, INERT, SECRETS, SILENT
from loraforge.advice.importer.course import course
from loraforge.advice.importer.draft import Draft
from loraforge.advice.importer.hardware import hardware
from loraforge.advice.importer.learning import learning
from loraforge.advice.importer.pictures import pictures
from loraforge.advice.importer.results import results
from loraforge.config.engine import OptionValue
from loraforge.engine.extras import check_extra
from loraforge.engine.owned import OWNED

# Settled by other options, or by loraforge itself; a rendered run is full of them.
_IMPLIED = frozenset(
    {
        "save_last_n_steps_state",
        "save_last_n_epochs_state",
        "dataset_config",
        "config_file",
        "initial_step",
        "initial_epoch",
        "skip_until_initial_step",
        "dataset_class",
        "cache_info",
    }
)
_ELSEWHERE = {
    "resume": "start a new run; `loraforge train --resume` goes on from a run of its own",
    "network_train_text_encoder_only": "loraforge always trains the transformer",
    "no_metadata": "loraforge proves the LoRA by its metadata",
    "in_json": "put captions into .txt files beside the pictures",
    "reg_data_dir": "a style needs no regularisation pictures",
    "dataset_repeats": "set dataset.repeats",
}


def draft_settings(draft: Draft) -> None:
    """Turn everything the source says into values and findings.

    A source of pictures alone takes the rest from the preset `style`.
    """
    whole = draft.source.kind not in {"dataset", "folder"}
    if not whole:
        draft.values["preset"] = "style"
    pictures(draft)
    if whole:
        course(draft)
        learning(draft)  # a warmup may be a share of the run's length
        hardware(draft)
        results(draft)
    _rest(draft)


def _rest(draft: Draft) -> None:
    """Keep what is a real option without a setting of ours in [engine] extra; name what is not kept."""
    extra: dict[str, OptionValue] = {}
    if "shuffle_caption" not in draft.source.options | draft.source.data:
        for table in (draft.source.options, draft.source.data):
            table.pop("keep_tokens", None)  # it only says what a shuffle leaves in place
    for name in [*draft.source.options, *draft.source.data]:
        if name not in draft.options:
            _drop(draft, name)
            continue
        value = cast("OptionValue | None", draft.take(name))  # a list is all of the option's one type
        where = f"engine.extra.{name}"
        if value is None or value == draft.engine_default(name) or value == [] or name in SILENT | _IMPLIED:
            continue
        if name in INERT:
            draft.note("inert-option", f"--{name}", f"It does nothing for FLUX: {INERT[name]}.", "leave it out")
        elif name in DEAD:
            draft.note("dead-option", f"--{name}", f"A run with it never trains: {DEAD[name]}.", "leave it out")
        elif name in SECRETS:
            fix = "set it in the environment, and make a new one: this text has been around"
            draft.note("secret-left-out", f"--{name}", "It is a secret.", fix)
        elif name in OWNED:
            draft.note(
                "not-carried", f"--{name}", "No setting stands for it.", _ELSEWHERE.get(name, f"see {OWNED[name]}")
            )
        elif fault := next(check_extra({name: value}, draft.options, {}), None):
            draft.note("unreadable-value", where, f"It {fault[1]}.", "set it anew under [engine] extra")
        else:
            extra[name] = value
    if extra:
        draft.put("engine.extra", {**draft.values.get("engine", {}).get("extra", {}), **extra})


def _drop(draft: Draft, name: str) -> None:
    """Leave out what stands in a dataset file and is no option; a key that the engine does not know has been told."""
    draft.source.options.pop(name, None)
    draft.source.data.pop(name, None)
    told = {finding.where.rpartition(": ")[2] for finding in draft.findings if finding.code == "unknown-option"}
    if name not in told:
        why = "The dataset file says it; no option or setting stands for it."
        draft.note("not-carried", name, why, "leave it out")

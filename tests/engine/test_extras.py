"""`[engine] extra` is held against the engine's own options."""

import pytest

from loraforge.config.engine import OptionValue
from loraforge.engine.extras import check_extra
from loraforge.engine.options import Option, snapshot

OWNED = {"network_dim": "network.rank", "output_name": "output.name"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("min_snr_gamma", 5.0),
        ("min_snr_gamma", 5),  # a whole number is a number
        ("highvram", True),
        ("highvram", False),
        ("clip_skip", 2),
        ("loss_type", "huber"),
        ("max_token_length", 225),
        ("lr_warmup_steps", 20),
        ("lr_warmup_steps", 0.05),
        ("text_encoder_lr", [1e-5, 1]),
        ("network_args", ["train_blocks=single"]),
        ("network_args", []),
        ("log_prefix", "art"),
        ("network_weights", "a.SafeTensors"),
        ("dataset_config", "a.toml"),
    ],
)
def test_accepted(name: str, value: OptionValue) -> None:
    """What the engine would understand passes."""
    assert list(check_extra({name: value}, snapshot(), OWNED)) == []


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("min_snr_gama", 5.0, "is not an option of the engine; did you mean min_snr_gamma?"),
        ("network_din", 8, "is not an option of the engine; network_dim is, and network.rank decides it"),
        ("zzz", 1, "is not an option of the engine"),
        (
            "network_weights",
            "a.pt",
            'is "a.pt"; only .safetensors files are read: others are pickles, which can run code',
        ),
        (
            "network_weights",
            "a",
            'is "a"; only .safetensors files are read: others are pickles, which can run code',
        ),
        ("network_dim", 8, "is decided by network.rank; set that instead"),
        ("min_snr_gamma", "5", 'is "5"; the engine takes a number'),
        ("min_snr_gamma", True, "is true; the engine takes a number"),
        ("highvram", 1, "is 1; the engine takes true or false"),
        ("highvram", "true", 'is "true"; the engine takes true or false'),
        ("clip_skip", 2.0, "is 2.0; the engine takes a whole number"),
        ("clip_skip", False, "is false; the engine takes a whole number"),
        ("clip_skip", [2], "is [2]; the engine takes a whole number"),
        ("log_prefix", 1, "is 1; the engine takes a text"),
        ("loss_type", "hubert", 'is "hubert"; the engine takes "l1", "l2", "huber" or "smooth_l1"'),
        ("loss_type", 3, 'is 3; the engine takes "l1", "l2", "huber" or "smooth_l1"'),
        ("max_token_length", 75, "is 75; the engine takes 150 or 225"),
        ("lr_warmup_steps", 1.5, "is 1.5; the engine takes a whole number, or a fraction below 1"),
        ("lr_warmup_steps", "5%", 'is "5%"; the engine takes a whole number, or a fraction below 1'),
        ("text_encoder_lr", 1e-5, "is 1e-05; the engine takes a list of numbers"),
        ("text_encoder_lr", ["1e-5"], 'is ["1e-5"]; the engine takes a list of numbers'),
        ("network_args", "a=b", 'is "a=b"; the engine takes a list of texts'),
        ("dataset_config", 1, "is 1; the engine takes a path"),
    ],
)
def test_refused(name: str, value: OptionValue, message: str) -> None:
    """What the engine would take in silence and misread is named with what it takes."""
    assert list(check_extra({name: value}, snapshot(), OWNED)) == [(f"engine.extra.{name}", message)]


def test_all_faults_at_once() -> None:
    """Every fault is reported, in the order of the settings."""
    faults = check_extra({"output_name": "x", "highvram": True, "clip_skip": "2"}, snapshot(), OWNED)
    assert [path for path, _ in faults] == ["engine.extra.output_name", "engine.extra.clip_skip"]


@pytest.mark.parametrize(
    ("nargs", "kind", "value", "allowed"),
    [
        (2, "int", [1, 2], None),
        (2, "int", [1], "the engine takes a list of 2 whole numbers"),
        ("+", "str", [], "the engine takes a list of texts"),
        ("?", "str", "a", None),
        (None, "of_a_newer_engine", "a", None),
        ("*", "of_a_newer_engine", 1, "the engine takes a list of values"),
    ],
)
def test_other_declarations(nargs: str | int | None, kind: str, value: OptionValue, allowed: str | None) -> None:
    """Counts are held too, and a type that is not known yet is left to the engine."""
    option = Option("x", kind, nargs, None, None, "", "")
    messages = [message.partition("; ")[2] for _, message in check_extra({"x": value}, {"x": option}, {})]
    assert messages == ([allowed] if allowed else [])

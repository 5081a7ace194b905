"""A T5 that comes when a caption needs it, and is let go after the last."""

from collections.abc import Callable
from typing import Any

from loraforge.engine.fast.part import Context, Refused, known


def fetch_t5_when_needed(context: Context) -> None:
    """Move T5 to the GPU when the first caption is encoded, and drop its weights where the engine would copy them back.

    With all captions in the cache the engine still reads 9.5 GB from the disk, takes them to the GPU and back, 14 s on
    an H100, and never looks at them again; with a cold cache the way back alone is 7 s, and 9.5 GB of RAM until the
    training begins.
    """
    options = context.options
    if not any(options.get(f"cache_text_encoder_outputs{kind}") for kind in ("", "_to_disk")):
        raise Refused("captions are encoded at every step")
    if options.get("validation_split"):
        raise Refused("captions for validation are encoded later")
    import flux_train_network
    from library import flux_utils

    known(flux_train_network.FluxNetworkTrainer, "cache_text_encoder_outputs_if_needed", "74c51c29c548")
    load = known(flux_utils, "load_t5xxl", "da5610a3b7c3")

    def load_t5xxl(*arguments: Any, **named: Any) -> Any:
        encoder = load(*arguments, **named)
        _wait_for_call(encoder)
        return encoder

    flux_utils.load_t5xxl = load_t5xxl


def _wait_for_call(encoder: Any) -> None:
    """Have a model put off its way to the device, and leave its weights behind when it is sent to "cpu"."""
    import torch

    move: Callable[..., Any] = encoder.to
    waiting: list[torch.device] = []

    def to(*arguments: Any, **named: Any) -> Any:
        match arguments:
            case (torch.device() as device,) if not named:  # where it shall encode
                waiting[:] = [device]
                return encoder
            case ("cpu",):  # it has encoded all there was
                waiting.clear()
                del encoder.to
                return move("meta")
            case _:
                return move(*arguments, **named)

    def arrive(_: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        hook.remove()
        device = waiting[-1] if waiting else encoder.device
        move(device)
        placed = [value.to(device) if isinstance(value, torch.Tensor) else value for value in arguments]
        return tuple(placed), named

    hook = encoder.register_forward_pre_hook(arrive, with_kwargs=True)
    encoder.to = to

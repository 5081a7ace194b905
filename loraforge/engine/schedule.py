"""The learning rate at a step, as the engine's schedules make it."""

import math

from loraforge.config.optimizer import Optimizer


def learning_rate(optimizer: Optimizer, step: int, steps: int) -> float | None:
    """Return the rate with which `step` (1 to `steps`) is learnt, None where the optimizer finds it itself.

    Follows diffusers' `get_scheduler`, which the engine calls for these names.
    """
    if optimizer.name in {"prodigy", "adamw-schedule-free"}:
        return None
    done = step - 1
    warmup = optimizer.warmup_steps or 0
    if done < warmup:
        return optimizer.learning_rate * done / warmup
    rest = (done - warmup) / max(1, steps - warmup)
    match optimizer.schedule:
        case "linear":
            factor = max(0.0, 1.0 - rest)
        case "cosine":
            factor = 0.5 * (1.0 + math.cos(math.pi * rest))
        case "cosine_with_restarts":
            factor = 0.5 * (1.0 + math.cos(math.pi * (rest * (optimizer.restarts or 1) % 1.0)))
        case "polynomial":  # of power 1, down to diffusers' end rate of 1e-7
            end = 1e-7 / optimizer.learning_rate
            factor = end + (1.0 - end) * (1.0 - rest)
        case "constant" | "constant_with_warmup":
            factor = 1.0
    return optimizer.learning_rate * factor

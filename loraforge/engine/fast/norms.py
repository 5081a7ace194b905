"""Leave out the norm bookkeeping of GGPO where GGPO is off."""

from typing import Any

from loraforge.engine.fast.part import Context, Refused, known


def skip_norms(context: Context) -> None:
    """Compute no gradient norms where nobody reads them.

    After every step the engine multiplies out a matrix of the base layer's size for each of the 304 LoRA modules: about
    0.15 s a step on an H100. GGPO alone trains by them; a tracker logs their mean, so with a tracker they stay.
    """
    if context.options.get("log_with") or context.options.get("logging_dir"):
        raise Refused("a tracker logs the norms")
    from networks import lora_flux

    update = known(lora_flux.LoRANetwork, "update_grad_norms", "fa598662e076")

    def update_grad_norms(network: Any) -> None:
        loras = (*network.text_encoder_loras, *network.unet_loras)
        if any(lora.ggpo_beta is not None and lora.ggpo_sigma is not None for lora in loras):
            update(network)

    lora_flux.LoRANetwork.update_grad_norms = update_grad_norms

"""Making the chosen LoRA ready for the places where it will be used."""

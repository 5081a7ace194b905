"""Captions from vision-language models, trimmed to what a style LoRA wants."""

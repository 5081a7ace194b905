"""One run: its folder, plan, process, end and proof."""

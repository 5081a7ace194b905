"""Choosing among the checkpoints of a run: samples, scores, a recommendation."""

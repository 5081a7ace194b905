"""Judgement before and after a run: rules, memory, duration, diagnosis, import."""

"""The record of benchmarks/memory.py with the predictions beside it, for tests."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
try:
    from memory_table import compared, engine_runs, tables
finally:
    sys.path.pop()

__all__ = ["compared", "engine_runs", "tables"]

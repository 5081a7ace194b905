"""The embedded engine, end to end, on tiny weights."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from end_to_end import EndToEnd, loraforge, same_weights


@pytest.mark.engine
class TestEmbedded(EndToEnd):
    kind = "embedded"

    def test_a_killed_run_goes_on_to_the_same_bits(self, folder):
        """Killed without warning between two states and resumed, it ends in the LoRA of the run that was not."""
        command = [sys.executable, "-m", "loraforge", "train", str(folder.path), "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            for line in process.stdout:
                event = json.loads(line)
                if event["event"] == "step" and event["step"] == 6:
                    break
            process.kill()
        killed = max(folder.path.parent.iterdir())
        done = loraforge("train", str(killed), "--resume", cwd=folder.path)
        assert next(event["step"] for event in done if event["event"] == "step") == 5
        assert same_weights(folder.lora("demo"), Path(done[-1]["lora"]))

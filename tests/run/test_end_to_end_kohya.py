"""sd-scripts, end to end, on tiny weights."""

import json
import shutil

import numpy as np
import pytest
from end_to_end import EndToEnd
from in_diffusers import assert_same_in_diffusers
from PIL import Image

from loraforge.cli.compare import compare
from loraforge.cli.ship import ship
from loraforge.compare.grid import Version, cell_file, from_training
from loraforge.compare.prompts import PromptSet, TellingPrompt, rows, write_set
from loraforge.engine.weights import find_weights
from loraforge.run.history import read_run

NOTHING = dict.fromkeys(("step", "out", "rank", "title", "author", "license_", "data_license", "publish"))
SHIP = {**NOTHING, "keep_data": False, "public": False}
COMPARE = {"generate": True, "strengths": "1", "prompts": None, "out": None, "sheet": None, "embed": None}


@pytest.mark.engine
class TestKohya(EndToEnd):
    kind = "kohya"

    def test_the_demo_is_compared_and_shipped(self, folder, tmp_path, capsys):
        """From checkpoints to drawn cells, a recommendation and a file that draws what its checkpoint draws.

        The shipped file stands beside the checkpoints under a step of its own, so that the engine draws both.
        """
        run = tmp_path / "run"
        shutil.copytree(folder.path, run, symlinks=True)
        read = read_run(run)
        assert list(read.history.measured) == list(range(1, 13))
        assert (read.origins["optimizer.name"], read.origins["dataset.trigger"]) == ("preset style", "demo")
        assert Version(0) in from_training(read).versions
        assert ship(run, **{**SHIP, "step": 8, "out": tmp_path / "eight"}, diffusers=True) == 0
        shipped = json.loads(capsys.readouterr().out)
        shutil.copy(shipped["lora"], read.folder.checkpoint("demo", 9))
        prompts = [TellingPrompt(text="a boat"), TellingPrompt(text="a portrait", pair=False)]
        made = PromptSet(width=64, height=64, steps=2, prompts=prompts)
        write_set(run / "compare.toml", made)

        assert compare(run, **COMPARE, as_json=True) == 0
        told = json.loads(capsys.readouterr().out)
        assert len(told["cells"]) == 3 * 4
        assert [curve["step"] for curve in told["curves"]] == [4, 8, 9, 12]
        assert told["recommendation"]["reasons"]
        assert (run / "compare.html").is_file()
        for row in rows(made, read.job.dataset.trigger):
            drawn = [
                np.asarray(Image.open(cell_file(read, row, Version(step))).convert("RGB"), int) for step in (4, 8, 9)
            ]
            assert np.abs(drawn[1] - drawn[2]).mean() < 0.5
            assert not np.array_equal(drawn[0], drawn[1])

        assert ship(run, **SHIP, diffusers=False) == 0
        advised = told["recommendation"]["step"]
        assert json.loads(capsys.readouterr().out)["step"] == (12 if advised is None else advised)
        weights = find_weights(read.job.model, {}).weights()
        assert_same_in_diffusers(tmp_path / "eight" / "demo-diffusers.safetensors", read.loras()[8], weights)

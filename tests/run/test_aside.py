"""Nothing that looks like a LoRA and is none stays under its name."""

import numpy as np
from safetensors.numpy import save_file

from loraforge.run.aside import set_aside
from loraforge.run.folder import RunFolder


def test_what_is_no_lora_loses_its_name(tmp_path):
    """NaN and half a file are renamed and told; what is sound, or of another run, stays."""
    folder = RunFolder(tmp_path)
    folder.output.mkdir()
    for step, value in ((2, 1.0), (4, np.nan), (6, 1.0)):
        save_file({"a": np.full(9, value, np.float32)}, folder.checkpoint("x", step))
    cut = folder.checkpoint("x", 6)
    cut.write_bytes(cut.read_bytes()[:-5])
    save_file({"a": np.full(9, np.nan, np.float32)}, folder.checkpoint("other", 2))
    told = set_aside(folder, "x")
    assert [words.split(":")[0] for words in told] == [
        "x-step00000004.safetensors holds NaN or infinity",
        "x-step00000006.safetensors is not whole",
    ]
    assert sorted(path.name for path in folder.output.iterdir()) == [
        "other-step00000002.safetensors",
        "x-step00000002.safetensors",
        "x-step00000004.safetensors.nan",
        "x-step00000006.safetensors.broken",
    ]
    assert set_aside(folder, "x") == []

"""What only looks like a picture."""

import os
import sys

import pytest

from loraforge.dataset.images import PictureError, list_pictures, read_size


def test_no_interpreter_is_started_for_a_picture(tmp_path):
    """Pillow would hand PostScript to Ghostscript, whatever the file is called."""
    path = tmp_path / "evil.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n")
    with pytest.raises(PictureError):
        read_size(path)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")
def test_a_pipe_is_no_picture(tmp_path):
    """Reading it would never end; a link that leads nowhere is told later, as a picture that vanished."""
    os.mkfifo(tmp_path / "a.png")
    (tmp_path / "b.png").symlink_to("/dev/zero")
    (tmp_path / "c.png").symlink_to(tmp_path / "gone.png")
    assert [picture.path.name for picture in list_pictures(tmp_path)] == ["c.png"]

"""Reading the header of a .safetensors file, and refusing what is none."""

import json

import pytest
from safetensors import SafetensorError, safe_open

from loraforge.engine.header import HeaderError, Tensor, fingerprint, read_header


def _file(path, header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def _entry(begin=0, end=4, shape=(2,), dtype="BF16"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


def test_reads_names_dtypes_and_shapes(tmp_path):
    """A sound file gives its tensors without its metadata."""
    header = {"__metadata__": {"a": "b"}, "x": _entry()}
    assert read_header(_file(tmp_path / "a", header, bytes(4))) == {"x": Tensor("BF16", (2,))}


def test_agrees_with_the_safetensors_library(tmp_path, write_weights, layouts):
    """The real library opens the same file and names the same tensors."""
    path = write_weights(tmp_path / "clip.safetensors", layouts["clip_l.safetensors"])
    with safe_open(path, framework="numpy") as file:
        assert set(file.keys()) == set(read_header(path))


@pytest.mark.parametrize(
    ("content", "code", "says"),
    [
        (b"", "weights-empty", "empty"),
        (b"abc", "weights-not-safetensors", "not a .safetensors"),
        (b"<!DOCTYPE html><html></html>", "weights-not-safetensors", "web page"),
        (b'{"error":"Access to model is restricted"}', "weights-not-safetensors", "JSON"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "weights-not-safetensors", "git-lfs"),
        (b"GGUF\x03\x00\x00\x00\x00\x00\x00\x00", "weights-not-safetensors", "GGUF"),
        (b"PK\x03\x04" + bytes(40), "weights-not-safetensors", "pickle"),
        (b"\x80\x02}q\x00(X\x05\x00\x00", "weights-not-safetensors", "pickle"),
        ((10**12).to_bytes(8, "little") + b"{}", "weights-not-safetensors", "not a .safetensors"),
        ((5000).to_bytes(8, "little") + b'{"x":', "weights-truncated", "header"),
        ((9).to_bytes(8, "little") + b'{"x": nul', "weights-header", "valid"),
        ((7).to_bytes(8, "little") + b'{"x":1}', "weights-header", "valid"),
        ((3).to_bytes(8, "little") + b"{\xff}", "weights-header", "valid"),
    ],
)
def test_names_what_a_foreign_file_is(tmp_path, content, code, says):
    """Everything that is not safetensors is refused with its kind, and the real library refuses it too."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(HeaderError) as caught:
        read_header(path)
    assert caught.value.code == code
    assert says in str(caught.value)
    with pytest.raises(SafetensorError):
        safe_open(path, framework="numpy").__enter__()


@pytest.mark.parametrize(
    ("entry", "data", "code"),
    [
        (_entry(), b"\0\0", "weights-truncated"),
        (_entry(), bytes(9), "weights-header"),
        (_entry(shape=(3,)), bytes(4), "weights-header"),
        (_entry(begin=4, end=0), bytes(4), "weights-header"),
        ({"dtype": "BF16", "shape": [2]}, bytes(4), "weights-header"),
    ],
)
def test_checks_the_data_against_the_header(tmp_path, entry, data, code):
    """Missing, surplus and contradictory data are told apart."""
    with pytest.raises(HeaderError) as caught:
        read_header(_file(tmp_path / "a", {"x": entry}, data))
    assert caught.value.code == code


def test_refuses_a_folder(tmp_path):
    """A folder is said to be one, on every system."""
    with pytest.raises(HeaderError, match="folder"):
        read_header(tmp_path)


def test_fingerprint_tells_files_apart(tmp_path):
    """The same bytes give the same identity; a change in the middle, the end or the length another."""
    data = bytearray(3_000_000)
    seen = set()
    for name, place in (("same", None), ("again", None), ("middle", 1_490_000), ("end", 2_999_999)):
        changed = bytearray(data)
        if place is not None:
            changed[place] = 1
        (tmp_path / name).write_bytes(changed)
        seen.add(fingerprint(tmp_path / name))
    (tmp_path / "short").write_bytes(data[:-1])
    seen.add(fingerprint(tmp_path / "short"))
    assert fingerprint(tmp_path / "same") == fingerprint(tmp_path / "again")
    assert len(seen) == 4

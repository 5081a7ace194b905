import pytest
from make_sets import draw

from loraforge.dataset.embedding import embed
from loraforge.errors import MachineError


@pytest.fixture(scope="module")
def tiny_clip(tmp_path_factory):
    """Save a random CLIP of a few thousand weights with its image processor."""
    transformers = pytest.importorskip("transformers", reason="--embed needs loraforge[engine]")
    folder = tmp_path_factory.mktemp("clip")
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    sizes = {"image_size": 32, "patch_size": 16, "projection_dim": 8}
    text = {**vision, "vocab_size": 32, "max_position_embeddings": 8, "projection_dim": 8}
    config = transformers.CLIPConfig(text_config=text, vision_config={**vision, **sizes}, projection_dim=8)
    transformers.CLIPModel(config).save_pretrained(folder)
    size = {"height": 32, "width": 32}
    transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=size).save_pretrained(folder)
    return folder


def test_one_vector_a_picture(tiny_clip, tmp_path):
    """A model from disk gives vectors of its own length, in order, in several batches, with progress."""
    paths = []
    for index in range(9):
        paths.append(tmp_path / f"{index}.png")
        draw("flat", index, size=(64, 64))[0].save(paths[-1])
    told: list[int] = []
    vectors = embed(paths, str(tiny_clip), progress=told.append)
    assert [len(vector) for vector in vectors] == [8] * 9
    assert told == [8, 9]
    assert vectors[2] == pytest.approx(embed(paths[2:3], str(tiny_clip))[0], abs=1e-4)


def test_a_model_that_is_none(tmp_path):
    """A folder without a model is an error of the machine, with a hint."""
    with pytest.raises(MachineError) as caught:
        embed([], str(tmp_path))
    assert caught.value.hint

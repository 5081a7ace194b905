import pytest

from loraforge.compare.prompts import PromptSet, TellingPrompt, propose, read_set, rows, write_set
from loraforge.config.job import Job
from loraforge.errors import ConfigError

JOB = Job.model_validate({"dataset": {"trigger": "zxqv"}, "sampling": {"width": 512, "height": 768}})
CAPTIONS = ["zxqv, a boat", "zxqv, an old fisherman", "zxqv, a red bicycle against a wall", "zxqv", "zxqv, a--b"]


def test_the_proposal_has_what_the_set_shows_and_what_not():
    """Two known subjects and four new ones, whose words the captions do not use, with distinct seeds."""
    proposed = propose(JOB, CAPTIONS)
    assert [one.kind for one in proposed.prompts] == ["known", "known", "portrait", "scene", "object", "hard"]
    texts = [one.text for one in proposed.prompts]
    assert "portrait of an old fisherman" not in texts
    assert "a red bicycle against a wall" in texts[:2]
    assert "a red bicycle against a wall" not in texts[2:]
    assert len({one.seed for one in proposed.prompts}) == 6
    assert (proposed.width, proposed.height) == (512, 768)


def test_a_novel_of_a_caption_is_cut_to_a_prompt():
    """A prompt has no outer spaces, wherever the cut falls."""
    long = "a " + "house, " * 60
    for start in range(8):
        texts = [one.text for one in propose(JOB, [f"zxqv, {long[start:]}"]).prompts]
        assert texts[0] == texts[0].strip(" ,")


def test_without_a_trigger_captions_are_whole():
    """There is nothing to take from their beginning."""
    assert propose(Job(), ["None of this, a boat"]).prompts[0].text == "None of this, a boat"


def test_without_captions_there_are_still_prompts():
    """A set without captions is asked for new subjects alone."""
    assert len(propose(JOB, []).prompts) == 4


def test_each_is_drawn_with_the_trigger_and_without():
    """The lines are what the engine's script reads; without a trigger there is one of each."""
    made = PromptSet(width=512, height=768, prompts=[TellingPrompt(text="a boat", seed=3)])
    lines = rows(made, "zxqv")
    assert [line.line for line in lines] == [
        "zxqv, a boat --w 512 --h 768 --s 20 --d 3 --g 3.5",
        "a boat --w 512 --h 768 --s 20 --d 3 --g 3.5",
    ]
    assert len(rows(made, None)) == 1
    assert lines[0].key != lines[1].key
    assert len(lines[0].key) == 8


def test_a_set_is_read_as_it_was_written(tmp_path):
    """Writing and reading changes nothing, whatever signs the prompts hold."""
    path = tmp_path / "compare.toml"
    made = PromptSet(prompts=[TellingPrompt(text='"quoted" \\ ünïcode 😀 # [x]', kind="hard")])
    write_set(path, made)
    assert read_set(path) == made


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("width = 500\n[[prompts]]\ntext = 'a'", "multiple of 16"),
        ("cfg = 7\n[[prompts]]\ntext = 'a'", "guidance-distilled"),
        ("[[prompts]]\ntext = 'a --l 7'", "--"),
        ("[[prompts]]\ntext = 'a--b'", "--"),
        ("prompts = []", "at least 1"),
        ("[[prompts]]\ntext = 'a'\nseed = -1", "prompts.1.seed"),
        ("[[prompts]", "line"),
    ],
)
def test_faults_are_told(text, says, tmp_path):
    """Sizes, flags, seeds and syntax are checked before anything is drawn."""
    path = tmp_path / "compare.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_set(path)
    assert says in caught.value.message

"""What the exact resume is made of; that it is exact is shown on the real engine in tests/run/test_faults_kohya.py."""

import json
import math

from loraforge.engine.exact import _Accumulation, _Kept, _recorder, _Skipped


def test_steps_stay_steps():
    """The engine's first product, the size of a whole batch, is right; the second, a step, stays what it is."""
    accumulation = _Accumulation(4)
    assert math.ceil(40 / accumulation) == 10
    assert 2 * accumulation == 8
    step = 3
    step *= accumulation
    assert step == 3
    assert json.dumps({"ss_gradient_accumulation_steps": accumulation}) == '{"ss_gradient_accumulation_steps": 4}'


def test_random_states_come_back_with_the_batch_that_is_dropped():
    """Not before the batches are shuffled, and before the first one that counts is computed."""
    seen = []

    class Then:
        def restore(self):
            seen.append("restored")

    def batches():
        for number in range(3):
            seen.append(number)
            yield number

    assert list(_Skipped(batches(), Then())) == [0, 1, 2]
    assert seen == [0, "restored", 1, 2]


class Recorder:
    """The engine's, as far as it is used."""

    def __init__(self) -> None:
        self.loss_list = []

    def add(self, *, epoch, step, loss):
        """Keep a loss."""
        self.loss_list += [loss] * (epoch == 0 and step >= 0)


def test_the_average_goes_on(tmp_path):
    """Losses before the state are there again, and each new state gets them all, its own last one included."""
    kept = _Kept()
    kept.losses = [0.1, 0.2]
    kind = _recorder(Recorder, kept)
    training, validation = kind(), kind()
    assert (training.loss_list, validation.loss_list) == ([0.1, 0.2], [])
    kept.state = tmp_path
    validation.add(epoch=0, step=0, loss=9.0)
    training.add(epoch=0, step=2, loss=0.3)
    training.add(epoch=0, step=3, loss=0.4)
    assert json.loads((tmp_path / "loss_recorder.json").read_text()) == [0.1, 0.2, 0.3]

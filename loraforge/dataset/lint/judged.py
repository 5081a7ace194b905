"""Judgements that several rules share, and the thresholds behind them."""

from loraforge.dataset.features import Features
from loraforge.dataset.lint.base import Scene

# Measured on eight drawn styles: clean pictures reach 0.38 and more, a blur of 3 pixels 0.21 and less.
_BLURRED = 0.215
# Clean pictures lose 0.20 and more when halved, pictures enlarged twofold or more 0.17 and less.
_HALVED = 0.175
# Bilinear enlarging leaves a little more to lose, up to 0.20, but edges softer than 0.35.
_HALVED_SOFT, _SOFT = 0.22, 0.36
_OCCUPIED = 0.02


def is_blurred(features: Features) -> bool:
    """Tell whether edges at training size are wider than any pen."""
    return features.sharpness < _BLURRED


def is_soft(features: Features) -> bool:
    """Tell whether it loses nothing by being halved, or is blurred."""
    return _lacks_detail(features) or is_blurred(features)


def is_enlarged(features: Features, scene: Scene) -> bool:
    """Tell whether real detail ends below the training size; a soft 12-megapixel photo has plenty left."""
    real = features.size[0] * features.size[1] / 4
    return _lacks_detail(features) and not is_blurred(features) and real < 0.8 * scene.options.area


def _lacks_detail(features: Features) -> bool:
    return features.detail_loss < (_HALVED_SOFT if features.sharpness < _SOFT else _HALVED)


def is_empty(features: Features) -> bool:
    """Tell whether next to nothing differs from one colour."""
    return features.occupied < _OCCUPIED

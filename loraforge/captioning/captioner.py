"""What every captioner can do."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from PIL import Image

DEFAULT_MODEL = "Salesforce/blip2-opt-2.7b"
# Asked of the models that take a request; BLIP-2 captions unasked.
DEFAULT_PROMPT = (
    "Describe in one short sentence who or what is shown and where. Do not mention the style, medium or mood."
)


class Captioner(Protocol):
    """A model that says what pictures show."""

    @property
    def name(self) -> str:
        """The model's name, as it is kept in the history."""

    @property
    def longest_side(self) -> int:
        """Pictures are shrunk to this many pixels before they are handed over; more would not be looked at."""

    def describe(self, pictures: Sequence["Image.Image"]) -> list[str]:
        """Return one text a picture, in order.

        Raises:
            MachineError: even one picture doesn't fit into memory.
        """

"""The trigger word: how CLIP-L and T5 read it, what that means for training, and better words."""

from loraforge.trigger.rules import BETTER, trigger_findings
from loraforge.trigger.sources import find_tokenizers
from loraforge.trigger.suggest import suggest
from loraforge.trigger.vocabulary import Piece, Tokenizers, Vocabulary

__all__ = ["BETTER", "Piece", "Tokenizers", "Vocabulary", "find_tokenizers", "suggest", "trigger_findings"]

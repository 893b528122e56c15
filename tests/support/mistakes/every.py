"""All mistakes, in the order of plugins/MESSAGES.md."""

from author_mistakes import Catcher

from mistakes.backbone import BACKBONE_MISTAKES
from mistakes.catalog import CATALOG_MISTAKES
from mistakes.head import HEAD_MISTAKES
from mistakes.plugin import PLUGIN_MISTAKES
from mistakes.reader import READER_MISTAKES
from mistakes.split import SPLIT_MISTAKES
from mistakes.strategy import STRATEGY_MISTAKES

MISTAKES = (
    *CATALOG_MISTAKES,
    *PLUGIN_MISTAKES,
    *BACKBONE_MISTAKES,
    *HEAD_MISTAKES,
    *STRATEGY_MISTAKES,
    *READER_MISTAKES,
    *SPLIT_MISTAKES,
)


def guide_text(catcher: Catcher) -> str:
    """Write all messages of one catcher, each under its cause, as the guide shows them."""
    return "\n".join(f"# {one.cause}\n{one.message}" for one in MISTAKES if one.catcher is catcher)

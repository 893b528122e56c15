"""What all figures share: matplotlib's own settings, and names that are text.

A ``matplotlibrc`` in the working folder may otherwise make matplotlib start LaTeX, and dollar signs make a name a formula.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from taskgraft.errors import message_text


@contextmanager
def figure_settings() -> Iterator[None]:
    """Draw and save figures with matplotlib's own settings, whatever file of settings there is."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        yield


def figure_text(text: str) -> str:
    """Make a name fit for a figure: escaped and shortened as in messages, and never a formula."""
    return message_text(text).replace("$", r"\$")

"""Draws what plots.py describes, as SVG.

The only part of the harness that needs more than Python itself: matplotlib. Whoever wants tables
only never imports it.
"""

from importlib.util import find_spec

MISSING = (
    "figures need matplotlib: `apt-get install python3-matplotlib` "
    "(in a clone, `scripts/need bench`)")


class DrawingError(Exception):
    """A figure that cannot be drawn here."""


def is_available():
    """Whether this Python can draw."""
    return find_spec("matplotlib") is not None


def svg(plot):
    """A figure as the text of an SVG.

    The same figure is the same text on every day and machine with the same matplotlib, so that
    figures can be committed beside their results.
    """
    return canvas_of(plot).svg()


def canvas_of(plot):
    """A figure before it is written."""
    if not is_available():
        raise DrawingError(MISSING)
    from ..plots import Bars
    from . import bars, lines
    return bars.draw(plot) if isinstance(plot, Bars) else lines.draw(plot)

"""A figure on paper of which every point is known, and what all figures have in common.

Layout is done in points from the left upper corner, because what has to be seen to is text: names,
units and medians that must neither be cut off nor lie on each other. Text stays text in the SVG; a
page shows it in its own fonts, which are seldom wider than the one that is measured here.
"""

import io
from functools import cache
from textwrap import wrap

import matplotlib
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.textpath import TextPath
from matplotlib.ticker import MaxNLocator

from . import lean
from .palette import INK

WIDTH = 560
MARGIN = 4
TEXT_SIZE = 9
SMALL_SIZE = 8
TITLE_SIZE = 11.5
FONT = "DejaVu Sans"  # comes with matplotlib, so the layout is the same everywhere

_SETTINGS = {
    "font.family": "sans-serif",
    "font.sans-serif": [FONT],
    "font.size": TEXT_SIZE,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": SMALL_SIZE,
    "ytick.labelsize": SMALL_SIZE,
    "svg.fonttype": "none",
    "svg.hashsalt": "ringswitch",
}


@cache
def _extent(text, size, weight):
    box = TextPath(
        (0, 0), text, prop=FontProperties(family=FONT, size=size, weight=weight)).get_extents()
    return box.x1


def text_width(text, size=TEXT_SIZE, weight="normal"):
    """How wide a line of text is, in points."""
    if not text.strip():
        return 0.0
    # A dollar sign would begin a formula.
    return _extent(text.replace("$", r"\$"), size, weight)


def wrapped(text, width, size=TEXT_SIZE, weight="normal"):
    """Lines of at most `width` points, as far as words allow."""
    characters = max(8, len(text))
    while characters > 8:
        lines = wrap(text, characters, break_long_words=False) or [""]
        if all(text_width(line, size, weight) <= width for line in lines):
            return lines
        characters -= 1
    return wrap(text, characters, break_long_words=False) or [""]


def number(value):
    """A value in as many digits as it is worth."""
    magnitude = abs(value)
    if magnitude == 0:
        return "0"
    if magnitude >= 99.95:
        return f"{value:,.0f}"
    if magnitude >= 9.995:
        return f"{value:.1f}"
    if magnitude >= 0.095:
        return f"{value:.2f}"
    return f"{value:.3f}" if magnitude >= 0.00095 else f"{value:.1g}"


def round_values(low, high, count, is_whole=False):
    """At most so many round values between two others."""
    values = MaxNLocator(count, steps=[1, 2, 2.5, 5, 10], integer=is_whole).tick_values(low, high)
    return [value for value in values if low <= value <= high]


def tick_label(value):
    """A round value as an axis has it."""
    text = f"{value:,.6f}".rstrip("0").rstrip(".")
    return "0" if text in ("", "-0") else text


class Canvas:
    """Paper of fixed width and given height on which axes and text are placed in points."""

    def __init__(self, height, description):
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        self.height = height
        self.description = description
        self.figure = Figure(figsize=(WIDTH / 72, height / 72))
        self.figure.patch.set_visible(False)
        self.vector = FigureCanvasSVG(self.figure)

    def axes(self, left, top, width, height):
        axes = self.figure.add_axes(
            [left / WIDTH, 1 - (top + height) / self.height, width / WIDTH, height / self.height])
        axes.patch.set_visible(False)
        axes.set_axisbelow(True)
        axes.tick_params(length=0)
        return axes

    def text(self, x, y, text, **style):
        """Writes `text` with its base line at `y`."""
        style = {"va": "baseline", "size": TEXT_SIZE, **style}
        self.figure.text(
            x / WIDTH, 1 - y / self.height, text, parse_math=False, **style)

    def line(self, points, **style):
        """Draws a line through points of the paper."""
        self.figure.add_artist(Line2D(
            [x / WIDTH for x, _ in points], [1 - y / self.height for _, y in points],
            transform=self.figure.transFigure, **style))

    def lines(self, top, lines, size, **style):
        """Writes lines from the left edge.

        - Returns: where they end.
        """
        for line in lines:
            top += 1.3 * size
            self.text(MARGIN, top, line, size=size, **style)
        return top + 0.3 * size

    def svg(self):
        file = io.StringIO()
        self.figure.savefig(file, format="svg", metadata={"Date": None})
        return lean.text(file.getvalue(), self.description, FONT)


def lines_height(lines, size):
    return 1.3 * size * len(lines) + 0.3 * size if lines else 0.0

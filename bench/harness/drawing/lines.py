"""Lines of medians in bands from the least to the most; each line has its name and its last value
at its end."""

from dataclasses import dataclass
from statistics import median

from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

from . import palette
from .canvas import (
    MARGIN, SMALL_SIZE, TEXT_SIZE, TITLE_SIZE, WIDTH, Canvas, lines_height, number, round_values,
    text_width, tick_label, wrapped)

HEIGHT = 180           # of the axes, and more where there are many names
NAME_STEP = 12
NAMES_WIDTH_MAX = 200
LEADER = 16            # from the end of a line to its name
MARKED_POINTS_MAX = 16  # with more of them, points are not marked
TICKS_MAX = 8
CUT_ABOVE = 4          # times the largest median, from where on bands are cut
CUT_TO = 1.5
MARKS = 13             # height of the names of marked places


@dataclass
class Series:
    """One line, of the points that have values."""

    name: str
    places: list
    medians: list
    least: list
    most: list
    colour: str
    dashes: object
    marker: str

    @property
    def lines(self):
        last = number(self.medians[-1]) if self.medians else "no value"
        return wrapped(f"{self.name} {last}", NAMES_WIDTH_MAX, TEXT_SIZE, self.weight)

    @property
    def weight(self):
        return "bold" if palette.is_ours(self.name) else "normal"


def _series(plot):
    styles = palette.line_styles(list(plot.series))
    for name, points in plot.series.items():
        held = [(x, [value for value in values if value is not None]) for x, values in points]
        held = sorted((x, values) for x, values in held if values)
        yield Series(
            name, [x for x, _ in held], [median(values) for _, values in held],
            [min(values) for _, values in held], [max(values) for _, values in held],
            *styles[name])


def _value_limits(series):
    """From zero to what is worth seeing.

    - Returns: the limits, and how far the bands reach above them; None if they do not.
    """
    least = min((value for line in series for value in line.least), default=0.0)
    most = max((value for line in series for value in line.most), default=0.0)
    largest = max((value for line in series for value in line.medians), default=0.0)
    cut = None
    high = most
    if least >= 0 and 0 < largest * CUT_ABOVE < most:
        cut, high = most, CUT_TO * largest
    low = min(0.0, least)
    if high <= low:
        high = low + 1.0
    span = high - low
    return (low - (0.04 * span if low < 0 else 0), high + 0.06 * span), cut


def _place_limits(plot, series):
    places = [x for line in series for x in line.places] + list(plot.marks.values())
    if not places:
        return (1.0, 10.0) if plot.is_logarithmic else (0.0, 1.0)
    low, high = min(places), max(places)
    if plot.is_logarithmic and low > 0:
        return (low / 1.15, high * 1.15) if high > low else (low / 2, high * 2)
    if low == high:
        return low - 0.5, high + 0.5
    return low, high


def _points(axes, x):
    """Where a place of an axis is, in points from the left edge of the paper."""
    return axes.transData.transform((x, 0))[0] * 72 / axes.figure.dpi


def _apart(places, axes):
    """Those whose numbers do not lie on each other, the last one first: the places that were
    measured are the only ones that mean anything."""
    chosen = []
    edge = float("inf")
    for x in reversed(places):
        middle, width = _points(axes, x), text_width(tick_label(x), SMALL_SIZE)
        if middle + width / 2 < edge - 4:
            chosen.insert(0, x)
            edge = middle - width / 2
    return chosen


def _set_places(axes, plot, series, limits):
    distinct = sorted({x for line in series for x in line.places})
    if plot.is_logarithmic and distinct:
        if limits[0] > 0:
            axes.set_xscale("log")
        else:
            axes.set_xscale("symlog", linthresh=1)
        axes.set_xlim(*limits)
        ticks = _apart(distinct, axes)
    else:
        is_whole = all(x == int(x) for x in distinct)
        ticks = round_values(*limits, TICKS_MAX, is_whole)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xticks(ticks, [tick_label(x) for x in ticks])
    axes.set_xlim(*limits)


def _spread(wanted, heights, top, bottom):
    """Places near the wanted ones at which things of these heights do not lie on each other."""
    order = sorted(range(len(wanted)), key=lambda index: (wanted[index], index))
    places = {}
    edge = top
    for index in order:
        places[index] = max(edge, wanted[index] - heights[index] / 2)
        edge = places[index] + heights[index]
    edge = bottom
    for index in reversed(order):
        places[index] = max(top, min(places[index], edge - heights[index]))
        edge = places[index]
    return [places[index] + heights[index] / 2 for index in range(len(wanted))]


def _draw_lines(axes, series, is_cut):
    for line in series:
        is_marked = len(line.places) <= MARKED_POINTS_MAX
        if len(line.places) > 1:
            axes.fill_between(
                line.places, line.least, line.most, color=line.colour, alpha=0.18, linewidth=0)
        axes.plot(
            line.places, line.medians, color=line.colour, linestyle=line.dashes, linewidth=1.6,
            marker=line.marker if is_marked else None, markersize=4, markeredgewidth=0,
            clip_on=is_cut, zorder=3 if palette.is_ours(line.name) else 2)
        if len(line.places) == 1:
            axes.plot(
                line.places * 2, [line.least[0], line.most[0]], color=line.colour, linewidth=1.1)


def _draw_names(canvas, series, axes, frame):
    """Names at the ends of the lines, and thin lines to those that had to give way."""
    left, top, width, height = frame
    right = left + width

    def place(line):
        """Where a line ends; one without any value has its name at the bottom."""
        if not line.places:
            return None, top + height
        x, y = axes.transData.transform((line.places[-1], line.medians[-1]))
        from_top = canvas.height - y * 72 / canvas.figure.dpi
        return x * 72 / canvas.figure.dpi, min(max(from_top, top), top + height)

    ends = [place(line) for line in series]
    heights = [NAME_STEP * len(line.lines) for line in series]
    middles = _spread([y for _, y in ends], heights, top - 4, top + height + 6)
    for line, (end, y), middle in zip(series, ends, middles):
        if end is not None:
            canvas.line(
                [(end + 3, y), (right + 2, y), (right + LEADER - 3, middle)], color=line.colour,
                linewidth=0.6, alpha=0.7)
        first = middle - NAME_STEP * (len(line.lines) - 1) / 2 + 0.36 * TEXT_SIZE
        for index, text in enumerate(line.lines):
            canvas.text(
                right + LEADER, first + NAME_STEP * index, text, color=line.colour,
                weight=line.weight)


def _draw_marks(canvas, axes, plot, frame):
    left, top, width, _ = frame
    widths = [text_width(text, SMALL_SIZE) + 6 for text in plot.marks]
    middles = _spread(
        [_points(axes, x) for x in plot.marks.values()], widths, left - 3, left + width + 3)
    for (text, x), middle in zip(plot.marks.items(), middles):
        axes.axvline(x, color=palette.INK, linewidth=0.9, linestyle=(0, (2, 2)))
        canvas.text(middle, top - 4, text, ha="center", size=SMALL_SIZE)


def _draw_values(axes, limits):
    ticks = round_values(*limits, 5)
    axes.set_yticks(ticks, [tick_label(y) for y in ticks])
    axes.set_ylim(*limits)
    axes.grid(axis="y", color=palette.INK, alpha=0.22, linewidth=0.6)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.axhline(0, color=palette.INK, linewidth=0.9)


def draw(plot):
    """A figure of Lines."""
    series = list(_series(plot))
    limits, cut = _value_limits(series)
    note = plot.note
    if cut is not None:
        note = (note + " " if note else "") + f"The bands go on up to {number(cut)}."
    title = wrapped(plot.title, WIDTH - 2 * MARGIN, TITLE_SIZE, "bold")
    notes = wrapped(note, WIDTH - 2 * MARGIN, SMALL_SIZE) if note else []
    height = max(HEIGHT, sum(NAME_STEP * len(line.lines) for line in series))
    above = lines_height(title, TITLE_SIZE) + 1.6 * SMALL_SIZE + 6 + (MARKS if plot.marks else 0)
    total = MARGIN + above + height + 32 + lines_height(notes, SMALL_SIZE) + MARGIN
    canvas = Canvas(total, f"{plot.title}: {plot.y} by {plot.x}")
    below_title = canvas.lines(MARGIN, title, TITLE_SIZE, weight="bold")
    canvas.text(MARGIN, below_title + 1.1 * SMALL_SIZE, plot.y, size=SMALL_SIZE)
    left = MARGIN + 6 + max(text_width(tick_label(y), SMALL_SIZE) for y in round_values(*limits, 5))
    names = [text_width(text, TEXT_SIZE, line.weight) for line in series for text in line.lines]
    width = WIDTH - MARGIN - left - LEADER - max(names, default=0)
    frame = (left, MARGIN + above, width, height)
    axes = canvas.axes(*frame)
    _draw_values(axes, limits)
    _set_places(axes, plot, series, _place_limits(plot, series))
    _draw_lines(axes, series, cut is not None)
    _draw_marks(canvas, axes, plot, frame)
    _draw_names(canvas, series, axes, frame)
    bottom = MARGIN + above + height
    canvas.text(left + width / 2, bottom + 26, plot.x, ha="center", size=SMALL_SIZE)
    canvas.lines(bottom + 32, notes, SMALL_SIZE)
    return canvas

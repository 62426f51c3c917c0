"""Bars of medians with a whisker from the least to the most, one row a contender.

Bars are pale and whiskers full, so that both are seen where they lie on each other.

Groups whose values are of different size get a scale each: on a common one the small would be
invisible. A whisker that would make dwarfs of all bars is cut, and says how far it goes.
"""

from dataclasses import dataclass
from statistics import median

from . import palette
from .canvas import (
    MARGIN, SMALL_SIZE, TEXT_SIZE, TITLE_SIZE, WIDTH, Canvas, lines_height, number, round_values,
    text_width, tick_label, wrapped)

ROW = 17
LINE = 11             # of a name that needs more than one
HEADING = 19
SCALE = 16            # height of the numbers below an axis
GAP = 5
NAMES_WIDTH_MAX = 190
VALUE_GAP = 6         # between the end of a whisker and the median in numbers
ONE_SCALE_MAX = 30    # groups that differ by more have a scale each
CUT_ABOVE = 3         # times the longest bar, from where on whiskers are cut
CUT_TO = 1.6


@dataclass
class Row:
    """One bar. `lines` is its name."""

    lines: list
    values: list
    colour: str
    is_ours: bool
    is_control: bool

    @property
    def height(self):
        return max(ROW, LINE * len(self.lines) + 4)

    def ends(self, cut):
        """Where its whisker ends; `cut` is as far as one may go."""
        least, most = min(self.values), max(self.values)
        return least, min(most, cut)

    def end(self, cut):
        """Where its value is written."""
        return max(0.0, self.ends(cut)[1]) if self.values else 0.0

    def text(self, cut):
        """Its median, and what a cut whisker does not show."""
        if not self.values:
            return "no value"
        text = number(median(self.values))
        most = max(self.values)
        return f"{text}, up to {number(most)}" if most > cut else text


@dataclass
class Panel:
    """Rows on one scale."""

    heading: str
    rows: list

    @property
    def height(self):
        return sum(row.height for row in self.rows)

    @property
    def largest(self):
        """Of the medians."""
        return max((abs(median(row.values)) for row in self.rows if row.values), default=0.0)


def _present(values):
    return [value for value in values if value is not None]


def _name_lines(name):
    return wrapped(name, NAMES_WIDTH_MAX)


def _panels(plot):
    names = list(dict.fromkeys(label for group in plot.groups.values() for label in group))
    colours = palette.bar_colours(names, plot.controls)

    def row(name, label, values):
        return Row(
            _name_lines(name), _present(values), colours[label], palette.is_ours(label),
            palette.is_control(label))

    if len(names) == 1:
        # Nothing is compared within a group: the groups are what is compared.
        return [Panel("", [
            row(group or label, label, values)
            for group, held in plot.groups.items() for label, values in held.items()])]
    return [
        Panel(group, [row(label, label, values) for label, values in held.items()])
        for group, held in plot.groups.items()]


def _share_a_scale(panels):
    largest = [panel.largest for panel in panels if panel.largest > 0]
    return not largest or max(largest) <= ONE_SCALE_MAX * min(largest)


def _cut(panels):
    """As far as a whisker may go."""
    longest = max((panel.largest for panel in panels), default=0.0)
    values = [value for panel in panels for row in panel.rows for value in row.values]
    if not values or min(values) < 0 or longest == 0 or max(values) <= CUT_ABOVE * longest:
        return float("inf")
    return CUT_TO * longest


def _weight(row):
    return "bold" if row.is_ours else "normal"


def _limits(panels, cut, width, reference):
    """A scale on which everything fits in, the medians in numbers behind the bars, too."""
    rows = [row for panel in panels for row in panel.rows]
    ends = [row.ends(cut) for row in rows if row.values]
    low = min([0.0] + [least for least, _ in ends])
    high = max([0.0, reference or 0.0] + [most for _, most in ends])
    if high == low:
        high = low + 1.0
    if low < 0:
        low -= 0.02 * (high - low)
    span = 1.01 * (high - low)
    for row in rows:
        # Its value may have to be written behind the reference.
        end = max(row.end(cut), reference or 0.0)
        room = width - text_width(row.text(cut), TEXT_SIZE, _weight(row)) - VALUE_GAP - 2
        span = max(span, (end - low) * width / max(room, width / 4))
    return low, low + span


def _draw_scale(axes, low, high, is_numbered):
    ticks = round_values(low, high, 6)
    axes.set_xticks(ticks, [tick_label(tick) for tick in ticks] if is_numbered else [])
    axes.grid(axis="x", color=palette.INK, alpha=0.22, linewidth=0.6)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.axvline(0, color=palette.INK, linewidth=0.9)


def _draw_whisker(axes, row, middle, cut):
    if not row.values:
        return
    least, most = row.ends(cut)
    style = {"color": row.colour, "solid_capstyle": "butt", "clip_on": False}
    axes.plot([least, most], [middle, middle], linewidth=1.1, **style)
    is_cut = max(row.values) > cut
    for end in [least] if is_cut else [least, most]:
        axes.plot([end, end], [middle - 3, middle + 3], linewidth=1.1, **style)
    if is_cut:
        axes.plot([most], [middle], marker=">", markersize=4, linestyle="none", **style)
    axes.plot(
        [median(row.values)] * 2, [middle - 0.3 * ROW, middle + 0.3 * ROW], linewidth=2.2, **style)


def _value_place(row, cut, at, reference):
    """Where the median is written in numbers: behind the whisker, and not across the reference.

    - at: turns a value into a place.
    """
    place = at(row.end(cut)) + VALUE_GAP
    if reference is None:
        return place
    ahead = at(reference) - place
    is_across = -VALUE_GAP < ahead < text_width(row.text(cut), TEXT_SIZE, _weight(row)) + 4
    return at(reference) + VALUE_GAP if is_across else place


def _draw_rows(canvas, axes, panel, left, top, cut, reference):
    low, high = axes.get_xlim()

    def at(value):
        return left + (value - low) / (high - low) * (WIDTH - MARGIN - left)

    place = 0.0
    for row in panel.rows:
        middle = place + row.height / 2
        if row.values:
            axes.barh(
                [middle], [median(row.values)], height=0.6 * ROW, color=row.colour,
                alpha=0.25 if row.is_control else 0.5, linewidth=0)
        _draw_whisker(axes, row, middle, cut)
        canvas.text(
            _value_place(row, cut, at, reference), top + middle + 0.36 * TEXT_SIZE, row.text(cut),
            weight=_weight(row))
        first = top + middle - LINE * (len(row.lines) - 1) / 2 + 0.36 * TEXT_SIZE
        for index, line in enumerate(row.lines):
            canvas.text(
                left - 7, first + LINE * index, line, ha="right", weight=_weight(row),
                color=row.colour if row.is_ours else palette.INK)
        place += row.height


def _draw_panel(canvas, panel, left, top, limits, cut, reference, is_numbered):
    width = WIDTH - MARGIN - left
    axes = canvas.axes(left, top, width, panel.height)
    axes.set_xlim(*limits)
    axes.set_ylim(panel.height, 0)
    axes.set_yticks([])
    _draw_scale(axes, *limits, is_numbered)
    if reference is not None:
        axes.axvline(reference, color=palette.INK, linewidth=1.0, linestyle=(0, (3, 2)))
    _draw_rows(canvas, axes, panel, left, top, cut, reference)


def draw(plot):
    """A figure of Bars."""
    panels = _panels(plot)
    is_shared = _share_a_scale(panels)
    rows = [row for panel in panels for row in panel.rows]
    names = [text_width(line, TEXT_SIZE, _weight(row)) for row in rows for line in row.lines]
    left = MARGIN + 9 + max(names, default=0)
    title = wrapped(plot.title, WIDTH - 2 * MARGIN, TITLE_SIZE, "bold")
    note = wrapped(plot.note, WIDTH - 2 * MARGIN, SMALL_SIZE) if plot.note else []
    head = lines_height(title, TITLE_SIZE)
    scales = 1 if is_shared else len(panels)
    height = (
        MARGIN + head + sum((HEADING if panel.heading else 4) + panel.height for panel in panels)
        + scales * SCALE + (len(panels) - 1) * GAP + 1.6 * SMALL_SIZE
        + lines_height(note, SMALL_SIZE) + MARGIN)
    canvas = Canvas(height, f"{plot.title}, {plot.unit}")
    top = canvas.lines(MARGIN, title, TITLE_SIZE, weight="bold")
    for index, panel in enumerate(panels):
        if panel.heading:
            canvas.text(MARGIN, top + 13, panel.heading, weight="bold")
        top += HEADING if panel.heading else 4
        on_scale = panels if is_shared else [panel]
        cut = _cut(on_scale)
        limits = _limits(on_scale, cut, WIDTH - MARGIN - left, plot.reference)
        is_numbered = not is_shared or index == len(panels) - 1
        _draw_panel(canvas, panel, left, top, limits, cut, plot.reference, is_numbered)
        top += panel.height + (SCALE if is_numbered else 0) + GAP
    canvas.text(
        left + (WIDTH - MARGIN - left) / 2, top - GAP + 1.1 * SMALL_SIZE, plot.unit, ha="center",
        size=SMALL_SIZE)
    canvas.lines(top - GAP + 1.6 * SMALL_SIZE, note, SMALL_SIZE)
    return canvas

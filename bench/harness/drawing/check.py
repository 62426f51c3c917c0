"""Draws extremes and looks whether a reader could read them.

No text may be cut off or lie on another, every name and every median must be there, the same figure
must be the same text again, and small. Of a page: links lead somewhere, and nothing has the name of
something else.
"""

import re
from html.parser import HTMLParser
from statistics import median
from xml.etree import ElementTree

from matplotlib.backends.backend_agg import FigureCanvasAgg

from ..pages import html
from ..pages.blocks import Figure, Heading, Listing, Paragraph, Table
from ..plots import Bars, Lines
from . import canvas_of, svg
from .canvas import WIDTH, number

TOLERANCE = 0.6  # points
BYTES_MAX = 64_000
_CONTENDERS = (
    "cable-uring", "ringswitch", "cable-uring-control", "cable-mmsg", "cable-tap",
    "ringswitch-none", "ringswitch busy_poll", "bridge", "bridge-none", "vde", "ovs",
    "a-stranger-with-an-extremely-long-name-that-goes-on & <on>")


def _around(value):
    return [value * factor for factor in (0.9, 1.0, 1.02, 1.2, 0.95)]


def _bars():
    yield Bars("One contender", "Gbit/s", {"": {"ringswitch": _around(4)}})
    yield Bars("One value", "Gbit/s", {"": {"ringswitch": [4.0]}})
    yield Bars(
        "Twelve contenders under a title that is so long that it has to be broken into lines, as "
        "happens", "CPU us a frame",
        {"60 bytes": {name: _around(1 + i / 5) for i, name in enumerate(_CONTENDERS)}},
        note="A note that explains something about it, and is long enough to need a second line "
        "of small text at the foot of the figure, or a third.")
    yield Bars(
        "Groups of different size", "Gbit/s",
        {f"{size} bytes": {"cable-uring": _around(rate), "ringswitch": _around(rate * 1.1)}
         for size, rate in ((60, 0.23), (1514, 4.8), (65000, 21000000))})
    yield Bars(
        "Around one", "of cable-uring in the same round",
        {f"case {i}": {"ringswitch": [at, at], "cable-mmsg": [at, at + 0.4]}
         for i, at in enumerate((0.80, 0.9, 0.97, 1.0, 1.1))}, reference=1.0)
    yield Bars(
        "Zeroes and nothing", "lost %",
        {"all": {"ringswitch": [0, 0], "cable-uring": [0.0]},
         "none": {"ringswitch": [], "cable-uring": [None, None]}})
    yield Bars(
        "Below zero", "p99 above the control, ms",
        {"stopped": {"here": [-5, -0.2, 1.8], "elsewhere": [-900, -1, 0.3]},
         "reading": {"here": [-3, 1, 11], "elsewhere": [0, 0, 0]}}, controls=("elsewhere",))
    yield Bars("All below zero", "ms", {"": {"ringswitch": [-3, -2], "bridge": [-1, -0.5]}})
    yield Bars(
        "An outlier", "ms", {"": {"ringswitch": [1, 1.1, 2500], "bridge": [1.2, 1.3, 1.4]}})
    yield Bars(
        "Cases, not contenders", "ms",
        {f"a step whose name takes more than one line, number {i}": {"ringswitch": _around(10**i)}
         for i in range(-4, 4)})


def _lines():
    ports = (2, 8, 64, 256)
    yield Lines(
        "Growth", "attached ports", "CPU us a frame",
        {"ringswitch": [(x, _around(1.7)) for x in ports],
         "cable-uring": [(x, _around(1.7)) for x in ports]}, is_logarithmic=True)
    yield Lines(
        "Twelve lines in one place", "MAC addresses in use", "CPU us a frame",
        {name: [(x, _around(1 + i / 100)) for x in (10, 1000, 10000, 100000)]
         for i, name in enumerate(_CONTENDERS)}, is_logarithmic=True)
    yield Lines(
        "Many points", "seconds", "resident MiB",
        {"ringswitch": [(x, [20 + x % 7 / 50]) for x in range(600)]},
        marks={"first restart": 1, "second restart": 2, "last restart": 599})
    yield Lines("Many places on a logarithmic axis", "ports", "ms",
                {"ringswitch": [(x, _around(x)) for x in range(1, 100)]}, is_logarithmic=True)
    yield Lines(
        "Nothing, zero, and one point", "x", "y",
        {"ringswitch": [(1, [0]), (2, [0])], "cable-uring": [], "bridge": [(1, []), (2, [None])],
         "vde": [(2, [1, 3])]})
    yield Lines("Zero on a logarithmic axis", "ports", "ms",
                {"ringswitch": [(0, [1]), (1, [2]), (100, [-3])]}, is_logarithmic=True)
    yield Lines("An outlier", "x", "y", {"ringswitch": [(1, [1, 2, 900]), (2, [1]), (3, [2])]})


def _boxes(canvas):
    """Where all text is, in points."""
    renderer = FigureCanvasAgg(canvas.figure).get_renderer()
    scale = 72 / canvas.figure.dpi
    texts = list(canvas.figure.texts)
    for axes in canvas.figure.axes:
        texts += [*axes.get_xticklabels(), *axes.get_yticklabels()]
    for text in texts:
        if text.get_text():
            box = text.get_window_extent(renderer)
            yield text.get_text(), *(side * scale for side in (box.x0, box.y0, box.x1, box.y1))


def _faults_of_layout(canvas):
    boxes = list(_boxes(canvas))
    for index, (text, left, bottom, right, top) in enumerate(boxes):
        if (min(left, bottom) < -TOLERANCE or right > WIDTH + TOLERANCE
                or top > canvas.height + TOLERANCE):
            yield f"{text!r} is cut off"
        for other, left2, bottom2, right2, top2 in boxes[index + 1:]:
            across = min(right, right2) - max(left, left2)
            if across > TOLERANCE and min(top, top2) - max(bottom, bottom2) > 2 * TOLERANCE:
                yield f"{text!r} lies on {other!r}"


def _expected(plot):
    """Names and medians that have to be in a figure."""
    yield from plot.title.split()
    held = plot.groups.values() if isinstance(plot, Bars) else [
        {name: [value for _, values in points[-1:] for value in values]
         for name, points in plot.series.items()}]
    for group in held:
        for name, values in group.items():
            values = [value for value in values if value is not None]
            yield number(median(values)) if values else "no value"
            if not isinstance(plot, Bars) or len(group) > 1:
                yield from name.replace("-", " ").split()


def _faults_of_figure(plot):
    yield from _faults_of_layout(canvas_of(plot))
    text = svg(plot)
    root = ElementTree.fromstring(text)
    shown = " ".join("".join(element.itertext()) for element in root.iter())
    missing = sorted({word for word in _expected(plot) if word not in shown})
    if missing:
        yield f"{', '.join(missing)}: not there"
    if svg(plot) != text:
        yield "drawn again it is another text"
    if len(text) > BYTES_MAX:
        yield f"{len(text)} bytes are too many"


class _Page(HTMLParser):
    """Collects what a page has."""

    def __init__(self):
        super().__init__()
        self.open, self.identities, self.links, self.faults = [], [], [], []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag not in ("meta", "br"):
            self.open.append(tag)
        if "id" in attributes:
            self.identities.append(attributes["id"])
        for key in ("href", "xlink:href"):
            if key in attributes:
                self.links.append(attributes[key])
        self.links += re.findall(r"url\((#[^)]*)\)", attributes.get("clip-path", ""))

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> ends something else")


def _faults_of_page(figures):
    blocks = [Heading(1, "A page"), Listing(["[down](#down)"]), Heading(2, "Down <&>", "down")]
    blocks += [Paragraph("`code` & <text>"), Table(["case", "ms"], [["a | b", "1.0 (0.9-1.1)"]])]
    page = _Page()
    page.feed(html.text(blocks + figures))
    yield from page.faults
    if page.open:
        yield f"{page.open} never end"
    for identity in sorted({name for name in page.identities if page.identities.count(name) > 1}):
        yield f"{identity} is there more than once"
    for link in page.links:
        if not link.startswith("#") or link[1:] not in page.identities:
            yield f"{link} leads nowhere"


def faults():
    """What is wrong with extreme figures, a line each."""
    figures = []
    for plot in [*_bars(), *_lines()]:
        yield from (f"{plot.title}: {fault}" for fault in _faults_of_figure(plot))
        figures.append(Figure(plot.title, "name", svg(plot)))
    yield from (f"page: {fault}" for fault in _faults_of_page(figures))

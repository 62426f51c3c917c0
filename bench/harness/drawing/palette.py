"""Colours of contenders: the same one in every figure, ringswitch's an accent that no other has.

A figure has no background. It stands in pages that are light or dark, so all of its colours are
between the two: each has a contrast of at least 3 to white and to GitHub's dark page (#0d1117), the
text one of more than 4. Within these bounds they are told apart by people who do not see red or
green: at least 13 apart in CIE L*a*b* as such a person sees them, most of them 22. No colour is the
only sign of anything; every bar and every line has its name beside it.
"""

INK = "#737b85"   # of text, axes and whiskers
OURS = "#cf5b2e"

# By the first word of a contender's name.
_FAMILIES = {
    "ringswitch": OURS,
    "cable": "#7d8590",
    "bridge": "#3986f3",
    "vde": "#139c78",
    "ovs": "#8a3ff0",
    "gvproxy": "#95504a",
}
_OTHERS = ["#3986f3", "#139c78", "#8a3ff0", "#95504a", "#7d8590"]
MUTED = "#7d8590"

_DASHES = ["solid", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 1.5, 1.5, 1.5))]
_MARKERS = ["o", "s", "^", "D", "v", "P"]


def family(label):
    """The first word of a contender's name, if it is one that is known; else None."""
    return next((name for name in _FAMILIES if label.startswith(name)), None)


def is_ours(label):
    return family(label) == "ringswitch"


def is_control(label):
    """Whether it is a second measurement of the same thing, which a figure shows paler."""
    return label.endswith("-control")


def bar_colours(labels, controls=()):
    """A colour for each of the bars of a figure.

    Where none of them is a contender, all of them are cases of ringswitch: only what it is held
    against is grey then.
    """
    known = {_FAMILIES[family(label)] for label in labels if family(label)}
    free = [colour for colour in _OTHERS if colour not in known] or _OTHERS
    strangers = [label for label in labels if not family(label) and label not in controls]
    colours = {}
    for label in labels:
        if label in controls:
            colours[label] = MUTED
        elif family(label):
            colours[label] = _FAMILIES[family(label)]
        elif known:
            colours[label] = free[strangers.index(label) % len(free)]
        else:
            colours[label] = OURS
    return colours


def line_styles(labels):
    """By label, colour, dashes and marker of a line: within a family each has dashes of its own."""
    styles = {}
    members = {}
    strangers = 0
    for label in labels:
        if family(label):
            colour = _FAMILIES[family(label)]
        else:
            colour = ([OURS] + _OTHERS)[strangers % (1 + len(_OTHERS))]
            strangers += 1
        number = members[colour] = members.get(colour, -1) + 1
        styles[label] = (
            colour, _DASHES[number % len(_DASHES)], _MARKERS[number % len(_MARKERS)])
    return styles

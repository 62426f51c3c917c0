"""What a figure shows; `report` draws it. A kind turns its result into some of these."""

from dataclasses import dataclass, field


@dataclass
class Bars:
    """Medians as bars, with a whisker from the least to the most.

    `groups` holds by group, by label, the values of the rounds. `controls` names labels that are no
    contenders but what these are held against: they are drawn in grey. `reference` is a value worth
    a line of its own, such as 1 among ratios.
    """

    title: str
    unit: str
    groups: dict
    note: str = ""
    controls: tuple = ()
    reference: float = None


@dataclass
class Lines:
    """Values along an axis: medians as lines, from the least to the most as a band.

    `series` holds by label a list of (x, values of the rounds).
    """

    title: str
    x: str
    y: str
    series: dict
    is_logarithmic: bool = False  # the x axis
    note: str = ""
    marks: dict = field(default_factory=dict)  # by text, a place on the x axis

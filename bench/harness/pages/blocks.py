"""What a report consists of, whatever it is written as.

Text is the little of Markdown that the tables of the kinds use: `code` in backticks, and
[links](#to-a-heading).
"""

from dataclasses import dataclass


@dataclass
class Heading:
    level: int
    text: str
    anchor: str = ""


@dataclass
class Paragraph:
    text: str
    is_small: bool = False


@dataclass
class Listing:
    items: list


@dataclass
class Table:
    """`is_of_contenders`: rows tell of one each, and those of ringswitch stand out."""

    header: list
    rows: list
    is_of_contenders: bool = True


@dataclass
class Figure:
    """`name` is that of its file, without an ending."""

    title: str
    name: str
    svg: str


def _cells(line):
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def from_markdown(text):
    """The tables and paragraphs of a kind's Markdown."""
    for part in text.strip().split("\n\n"):
        lines = part.strip().splitlines()
        if len(lines) >= 2 and lines[0].startswith("|"):
            yield Table(_cells(lines[0]), [_cells(line) for line in lines[2:]])
        elif lines:
            yield Paragraph(" ".join(lines))

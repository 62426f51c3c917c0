"""Writes a report as one page of HTML that needs no other file and no network."""

import html
import re
from pathlib import Path

from ..drawing.palette import INK, is_ours
from .blocks import Figure, Heading, Listing, Paragraph, Table

_STYLE = Path(__file__).with_name("style.css")
# A number, perhaps with a spread, and with a unit other than the length of a frame.
_NUMBER = re.compile(
    r"(<? ?[+-]?[\d,.]+|\d+ of \d+)( ?(%|ms|us|s|\w+/\w+))?( \(.*\))?( ms)?|none|-|")
_LONG = 26  # characters; longer texts are broken into lines
_LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")
_SPREAD = re.compile(r"(?<=\S) (\([^()]*\))")
# Of identities that matplotlib gives to what is used more than once.
_IDENTITY = re.compile(r'((?:id="|#))([mp][0-9a-f]{10})\b')


def _inline(text):
    """Escaped text with `code` and [links](...)."""
    text = html.escape(text, quote=False)
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", text)
    return _LINK.sub(r'<a href="\2">\1</a>', text)


def _cell(text, is_number):
    shown = _SPREAD.sub(r' <span class="spread">\1</span>', _inline(text))
    if is_number:
        return f'<td class="number">{shown}</td>'
    is_long = len(_LINK.sub(r"\1", text)) > _LONG
    return f'<td class="long">{shown}</td>' if is_long else f"<td>{shown}</td>"


def _row(table, cells, are_numbers):
    # Who a row tells of stands in one of its first cells.
    is_marked = table.is_of_contenders and any(is_ours(cell) for cell in cells[:2])
    return f"<tr{' class=ours' if is_marked else ''}>" + "".join(
        map(_cell, cells, are_numbers)) + "</tr>"


def _table(table):
    are_numbers = [
        index > 0 and all(_NUMBER.fullmatch(row[index]) for row in table.rows)
        for index in range(len(table.header))]
    header = "".join(
        f"<th{' class=number' if is_number else ''}>{_inline(cell)}</th>"
        for cell, is_number in zip(table.header, are_numbers))
    rows = "\n".join(_row(table, cells, are_numbers) for cells in table.rows)
    return (
        '<div class="table" tabindex="0"><table>\n'
        f"<thead><tr>{header}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>")


def _figure(figure, number):
    """A figure in the page itself, so that its text can be searched and follows the page's
    colours."""
    svg = figure.svg.replace(INK, "var(--quiet)")
    svg = _IDENTITY.sub(rf"\1f{number}-\2", svg)
    return f"<figure>\n{svg}</figure>"


def _block(block, number):
    if isinstance(block, Heading):
        anchor = f' id="{block.anchor}"' if block.anchor else ""
        return f"<h{block.level}{anchor}>{_inline(block.text)}</h{block.level}>"
    if isinstance(block, Paragraph):
        return f"<p{' class=small' if block.is_small else ''}>{_inline(block.text)}</p>"
    if isinstance(block, Listing):
        return "<ul>\n" + "\n".join(f"<li>{_inline(item)}</li>" for item in block.items) + "\n</ul>"
    if isinstance(block, Table):
        return _table(block)
    assert isinstance(block, Figure)
    return _figure(block, number)


def text(blocks):
    """A report as HTML."""
    blocks = list(blocks)
    title = next(block.text for block in blocks if isinstance(block, Heading))
    body = "\n".join(_block(block, number) for number, block in enumerate(blocks))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{html.escape(title)}</title>\n<style>\n{_STYLE.read_text(encoding='utf-8')}"
        f"</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n")


def write(blocks, path):
    """Writes a report into a file."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text(blocks), encoding="utf-8")
    return path

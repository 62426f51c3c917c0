"""Writes a report as Markdown, its figures as files beside it, fit for committing with results."""

from pathlib import Path

from .. import tables
from .blocks import Figure, Heading, Listing, Paragraph, Table

NAME = "README.md"  # what forges show of a directory


def _block(block):
    if isinstance(block, Heading):
        anchor = f'<a id="{block.anchor}"></a>\n\n' if block.anchor else ""
        return f"{anchor}{'#' * block.level} {block.text}"
    if isinstance(block, Paragraph):
        return block.text
    if isinstance(block, Listing):
        return "\n".join(f"- {item}" for item in block.items)
    if isinstance(block, Table):
        return tables.table(block.header, block.rows)
    assert isinstance(block, Figure)
    return f"![{block.title}]({block.name}.svg)"


def write(blocks, directory):
    """Writes a report into a directory.

    - Returns: the path of its text.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    parts = []
    for block in blocks:
        parts.append(_block(block))
        if isinstance(block, Figure):
            (directory / f"{block.name}.svg").write_text(block.svg, encoding="utf-8")
    path = directory / NAME
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return path

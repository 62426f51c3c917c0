"""Makes matplotlib's SVG as small as one drawn by hand: such files are committed and looked at.

What goes: the writer's metadata, groups that are only numbered, digits behind the second, and turns
by nothing. What comes: a title for those who are read to.
"""

import re
from xml.etree import ElementTree

_SVG = "http://www.w3.org/2000/svg"
_LINK = "http://www.w3.org/1999/xlink"
_FONTS = "system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif"

ElementTree.register_namespace("", _SVG)
ElementTree.register_namespace("xlink", _LINK)


def _short(match):
    return f"{float(match[0]):.2f}".rstrip("0").rstrip(".")


def _rounded(text):
    return re.sub(r"-?\d+\.\d+", _short, text)


def _tidy(element, font):
    attributes = element.attrib
    if attributes.get("transform", "").startswith("rotate(-0 "):
        del attributes["transform"]
    for key in ("x", "y", "width", "height"):
        if key in attributes:
            attributes[key] = _rounded(attributes[key])
    if "d" in attributes:
        attributes["d"] = _rounded(" ".join(attributes["d"].split()))
    if "style" in attributes:
        style = re.sub(
            rf"font: (?:(\d+) )?([\d.]+px) '{font}', sans-serif",
            lambda match: f"font-size: {match[2]}" + (
                f"; font-weight: {match[1]}" if match[1] else ""), attributes["style"])
        attributes["style"] = re.sub(r"([:;,]) ", r"\1", style)


def _unwrapped(element):
    """An element's children, with those of bare groups in the place of the groups."""
    for child in list(element):
        if child.tag == f"{{{_SVG}}}g" and set(child.attrib) <= {"id"}:
            yield from _unwrapped(child)
        else:
            child[:] = list(_unwrapped(child))
            yield child


def text(written, description, font):
    """The SVG that matplotlib wrote in `font`, lean, and with what it shows in words."""
    root = ElementTree.fromstring(written)
    for extra in root.findall(f"{{{_SVG}}}metadata") + root.findall(f"{{{_SVG}}}defs")[:1]:
        root.remove(extra)
    root[:] = list(_unwrapped(root))
    for element in root.iter():
        _tidy(element, font)
        if element.tag != f"{{{_SVG}}}text":
            element.text = element.tail = "\n" if len(element) else None
        element.tail = "\n"
    root.attrib |= {"role": "img", "font-family": _FONTS}
    title = ElementTree.Element(f"{{{_SVG}}}title")
    title.text = description
    title.tail = "\n"
    root.insert(0, title)
    return ElementTree.tostring(root, encoding="unicode")

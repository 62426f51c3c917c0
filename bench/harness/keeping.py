"""Results as text: JSON with each list of numbers on one line, so that a second by second account
of many streams can be read, and compared by `git diff`."""

import json
import re

_NUMBERS = re.compile(r"\[\n\s*(-?\d[^\[\]{}\":]*?)\n\s*\]")
_SPACE = re.compile(r"\s+")


def text(result):
    # A line end stands outside of strings only, so that none of these is taken for a list.
    laid_out = json.dumps(result, indent=1)
    return _NUMBERS.sub(lambda found: "[" + _SPACE.sub(" ", found[1]) + "]", laid_out) + "\n"

"""A text as a cell of a CSV file that a spreadsheet shows and does not run, and back again.

A spreadsheet takes a cell that begins with = + - @ (also in their wide forms), a tab or a line end for a formula, or hides it. Such a
cell gets an apostrophe in front, which spreadsheets know as "this is text"; so does one that already begins with apostrophes and goes
on like that, or reading would take one of its own away. (OWASP, CSV Injection.)

    -7.jpg → '-7.jpg        '-7.jpg → ''-7.jpg        'tis.jpg → 'tis.jpg
"""

import re

ESCAPE = "'"
_FORMULA = re.compile(r"'*(?:[\t\r\n]|\s*[=+\-@＝＋－＠])")
_ESCAPED = re.compile(r"'" + _FORMULA.pattern)


def cell_of(text: str) -> str:
    """As it stands in the file. Numbers are not for this: a minus in front of one is no formula."""
    return ESCAPE + text if _FORMULA.match(text) else text


def text_of(cell: str) -> str:
    """The text that was written; any other cell is its own text."""
    return cell[1:] if _ESCAPED.match(cell) else cell

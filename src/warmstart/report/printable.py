"""Names of files and classes, and shares, as they may be shown."""

NO_BREAK = "\u00a0"


def printable(text: str) -> str:
    """Text that an XML file can hold: control characters and bytes that are no text are shown as escapes."""
    return "".join(
        c if c.isprintable() or c == NO_BREAK else c.encode("unicode_escape", "backslashreplace").decode("ascii") for c in text
    )


def percent(share: float, digits: int = 1) -> str:
    """0.909 → '90.9 %', which no line break parts."""
    return f"{100 * share:.{digits}f}{NO_BREAK}%"

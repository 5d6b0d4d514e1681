"""Names of files and classes, as they may be shown."""

def printable(text: str) -> str:
    """Text that an XML file can hold: control characters and bytes that are no text are shown as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode("ascii") for c in text)

"""What a saved classifier says of itself, out of a document that anybody may have written: checked, or refused.

Every function raises ValueError, with a clause that names the key, what is wrong with it and what was expected. K classes.
"""

from typing import Any

from warmstart.extraction.described import required


def read_class_names(values: Any) -> tuple[str, ...]:
    """At least one, each a text of its own."""
    names = tuple(required(values, "class_names", tuple[str, ...]))
    if not names:
        raise ValueError("'class_names', which is empty")
    seen = set()
    for name in names:
        if not name or name in seen:
            raise ValueError(f"'class_names', in which {name!r:.80} {'stands twice' if name else 'is a name'}")
        seen.add(name)
    return names


def read_threshold(positive: Any, threshold: Any, class_names: tuple[str, ...]) -> tuple[str | None, float | None]:
    """(positive, threshold): of two classes the one that counts as found, and its probability from which it is predicted."""
    required(positive, "positive", str | None)
    required(threshold, "threshold", float | None)
    if positive is not None and (positive not in class_names or len(class_names) != 2):
        raise ValueError(f"'positive' = {positive!r:.80}, expected one of two classes, found {', '.join(class_names[:5])}")
    if threshold is not None and (positive is None or not 0 < threshold < 1):
        raise ValueError(f"'threshold' = {threshold!r}, expected a share between 0 and 1, of a class named in 'positive'")
    return positive, threshold


def read_temperature(value: Any) -> float:
    """What logits are divided by."""
    temperature = float(required(value, "temperature", float))
    if not 1e-6 <= temperature <= 1e6:  # beyond, float32 cannot hold logits divided by it
        raise ValueError(f"'temperature' = {temperature!r}, expected a number above 0, such as 1.5")
    return temperature

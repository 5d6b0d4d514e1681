"""Columns and rows as a data frame, for those who have pandas: it is no part of what warmstart needs."""

from collections.abc import Iterable, Sequence
from typing import Any

from warmstart.errors import UsageError


def frame(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Any:
    """A pandas DataFrame; text that is a number throughout a column becomes numbers. Raises UsageError where there is no pandas."""
    try:
        import pandas as pd
    except ImportError as reason:
        raise UsageError("a data frame needs pandas, which is not installed: pip install pandas") from reason
    made = pd.DataFrame(list(rows), columns=list(columns))
    for name in made.columns[1:]:  # the first is the path
        if made[name].dtype == object or pd.api.types.is_string_dtype(made[name]):
            numbers = pd.to_numeric(made[name].replace("", None), errors="coerce")
            if numbers.notna().sum() == made[name].replace("", None).notna().sum() and numbers.notna().any():
                made[name] = numbers
    return made

"""What the user named → a listing of classes, for verbs that know no other task."""

from typing import Any

from warmstart.data.listing import read_listing
from warmstart.records import Listing
from warmstart.session.settings import TrainSettings
from warmstart.tasks.classify.doctor.fixes import apply_fixes


def classified(data: Any, settings: TrainSettings, *, nested: bool) -> Listing:
    """With the fixes applied. A listing is taken as it is: it had them before. Raises DataError."""
    if isinstance(data, Listing):
        return data
    listing = read_listing(data, exclude=settings.exclude, nested=nested)
    return listing if settings.fixes is None else apply_fixes(listing, settings.fixes)

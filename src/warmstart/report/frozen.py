"""What a run has frozen by name, in words."""

from collections.abc import Sequence

from warmstart.report.run_record import TrainingRecord

SHOWN = 5  # names of layers in a sentence


def frozen_in_words(training: TrainingRecord | None) -> list[str]:
    """What was frozen by name right of the cut, if anything was."""
    if training is None or not training.frozen:
        return []
    names = list(map(str, training.frozen["names"]))
    named = listed(names) if len(names) <= SHOWN else f"{', '.join(names[:SHOWN])} and {len(names) - SHOWN} more layers"
    which = "is" if len(names) == 1 else "are"
    return [
        f"Right of the cut, {named} {which} bit for bit what {'it was' if which == 'is' else 'they were'}, statistics included."
    ]


def listed(names: Sequence[str]) -> str:
    """'a, b and c'."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"

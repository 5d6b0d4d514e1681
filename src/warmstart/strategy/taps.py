"""Which taps a head reads: a few named sets of them, of which the best is chosen on held-out pictures.

Few, because every set costs a fit and because the best of many on the same pictures is the luckiest. These four disagree most:

pooled    the backbone's own features: best where target pictures look like the source's
last      average and maximum of the last stage: the maximum keeps what is small in the picture
middle    the later stages before pooling: textures and parts; best on solar cells, which look like nothing in ImageNet
all       everything: best with a few hundred pictures per class or more

tap_names are in the order of the network: stem and stages, then 'pooled', then 'max' where there is one.
"""

from collections.abc import Sequence

from warmstart.errors import UnknownNameError, UsageError

LAST = ("pooled", "max")  # taps that are no stage's mean


def candidate_taps(spec: str, cut: str, tap_names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Named sets of taps to choose among, each in the order of the network.

    spec: 'auto', the name of one set, or taps joined by ',' (then the one set bears the spec's name).
    cut: no tap beyond it is read; with 'auto' and a cut before 'pooled' just the cut itself, as one asked for that stage.
    Raises UnknownNameError for a tap or cut that is not there, UsageError for a spec without any name.
    """
    reach = _up_to(cut, tap_names)
    sets, named = tap_sets(reach), _named_sets(reach)
    if spec == "auto":
        return sets if "pooled" in reach else {reach[-1]: reach[-1:]}
    if spec in named:
        return {spec: named[spec]}
    wanted = [name.strip() for name in spec.split(",") if name.strip()]
    if not wanted:
        raise UsageError(
            f"taps {spec!r} name nothing; use 'auto', {', '.join(sets)}, or taps joined by ',': {', '.join(reach)}"
        )
    hint = f"No tap beyond the cut {cut!r} is read." if reach != tuple(tap_names) else ""
    for name in wanted:
        if name not in reach:
            known = (*reach, *sets) if len(wanted) == 1 else reach
            raise UnknownNameError("tap", name, dict.fromkeys(known), hint=hint)
    return {spec: tuple(name for name in reach if name in wanted)}


def tap_sets(tap_names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The sets of the table above that these taps can form; sets with equal members appear once, under the first name."""
    out: dict[str, tuple[str, ...]] = {}
    for name, members in _named_sets(tap_names).items():
        if members not in out.values():
            out[name] = members
    return out


def _named_sets(tap_names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    stages = tuple(name for name in tap_names if name not in LAST)
    # From 3/8 of the stages on. EfficientNet-Lite's stem … stage7: stage3 … stage7, whose held-out log-loss on solar cells was
    # 0.329 (stage3 … stage6 0.333, stage4 … stage6 0.335, stage2 … stage5 0.352). ResNet's stem … stage3: stage2 and stage3.
    start = -(-3 * len(stages) // 8)
    sets = {
        "pooled": tuple(name for name in tap_names if name == "pooled"),
        "last": tuple(name for name in tap_names if name in LAST),
        "middle": stages[start:],
        "all": tuple(tap_names),
    }
    return {name: members for name, members in sets.items() if members}


def _up_to(cut: str, tap_names: Sequence[str]) -> tuple[str, ...]:
    """The taps of the prefix that ends at the cut."""
    if cut == "pooled":
        return tuple(tap_names)
    stages = [name for name in tap_names if name not in LAST]
    # Where the last stage's mean is 'pooled' itself, it is no tap of its own: cutting there and at 'pooled' reads the same.
    if cut == f"stage{sum(name.startswith('stage') for name in stages) + 1}" and "pooled" in tap_names:
        return ("pooled",) if cut not in stages else tuple(stages)
    if cut not in stages:
        raise UnknownNameError("cut", cut, [*stages, "pooled"], hint="These are the cuts whose pooled output a head can read.")
    return tuple(stages[: stages.index(cut) + 1])

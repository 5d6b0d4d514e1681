"""How advice looks in a terminal: what was measured, what follows, how long it takes."""

from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from warmstart.cli.run_tables import duration, minutes
from warmstart.cli.tables import modes, notices, problems
from warmstart.cli.terminal import printable
from warmstart.tasks.classify.advice.rules import LARGE_IMAGES, SCENARIOS, by_gain

if TYPE_CHECKING:
    from warmstart.plan import Plan
    from warmstart.tasks.classify.advice.advise import Advised
    from warmstart.tasks.classify.advice.backbone_competition import Competition
    from warmstart.tasks.classify.evidence.gathering import Evidence

BARS = "▁▂▃▄▅▆▇█"


def advice(result: "Advised", out: Console) -> None:
    """Everything; the plan last, where the eye ends."""
    evidence = result.evidence
    out.print(
        f"[bold]{result.data.images:,} images, {len(evidence.classes)} classes[/bold]; "
        f"measured on {evidence.train_images:,} train pictures"
        + (f" ({evidence.probed_images:,} of them probed)" if evidence.probed_images < evidence.train_images else "")
    )
    notices(out, result.data.notices)
    modes(out, result.resize)
    problems(out, result.data.problems)
    if result.competition:
        _competition(result.competition, out)
    _depth(evidence, out)
    _signs(evidence, out)
    _scenarios(result, out)
    out.print("[bold]Why[/bold]")
    for reason in result.advice.reasons:
        out.print(f"  • {escape(printable(reason.text))} [dim]({escape(reason.source)})[/dim]")
    _plans(result, out)


def sparkline(values: list[float]) -> str:
    """One bar a value, from the smallest to the largest."""
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    return "".join(BARS[round((value - low) / span * (len(BARS) - 1))] for value in values)


def _depth(evidence: "Evidence", out: Console) -> None:
    stages = evidence.depth.stages
    out.print(
        f"[bold]Depth profile[/bold]  {sparkline([stage.information_bits for stage in stages])}  "
        f"{stages[0].tap} … {stages[-1].tap}: what a linear probe knows of the class at each stage "
        f"(of {evidence.depth.class_entropy_bits:.2f} bits)"
    )
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("stage", "accuracy", "95 % interval", "k-NN", "bits", "statistics' distance"):
        table.add_column(name, justify="left" if name == "stage" else "right")
    distances = evidence.shift.stages if evidence.shift else {}
    for stage in stages:
        mark = " ← most" if stage.tap == evidence.depth.best else ""
        mark += " ← as good from here" if stage.tap == evidence.depth.first_as_good != evidence.depth.best else ""
        low, high = stage.accuracy_ci95
        distance = f"{distances[stage.tap]:.2f}" if stage.tap in distances else ""
        table.add_row(
            stage.tap + mark,
            f"{stage.accuracy:.3f}",
            f"{low:.3f}-{high:.3f}",
            f"{stage.knn_accuracy:.3f}",
            f"{stage.information_bits:.2f}",
            distance,
        )
    out.print(table)


def _signs(evidence: "Evidence", out: Console) -> None:
    lines = [
        f"always naming the most frequent class is right for {evidence.majority_accuracy:.1%}; smallest class "
        f"{evidence.smallest_class} ({evidence.classes[evidence.smallest_class]:,}); {evidence.duplicates:,} identical copies"
    ]
    if evidence.shift:
        lines.append(f"statistics {evidence.shift.mean:.2f} away from the source's (0 the same, 1 a blank picture)")
    curve = evidence.learning_curve
    if curve:
        measured = (
            f"learning curve of the probe: error {' → '.join(f'{error:.1%}' for error in curve.error)} at "
            f"{' → '.join(f'{n:.0f}' for n in curve.images_per_class)} images per class; "
        )
        as_many = f"as many more as there are ({curve.more_images_per_class:,} per class)"
        if curve.gain is None or curve.gain_ci95 is None:
            lines.append(measured + f"what {as_many} would bring lies too far beyond these to say")
        else:
            low, high = (100 * gain for gain in curve.gain_ci95)
            lines.append(measured + f"{as_many} would bring about {100 * curve.gain:.1f} points ({low:.1f} to {high:.1f})")
    names = evidence.source_names
    if names:
        lines.append(
            f"ImageNet's own names, translated, are right for {names.named:.1%}; it sees "
            + "; ".join(
                f"{own} as {found[0][0].split(',')[0]} ({found[0][1]:.0%})" for own, found in list(names.by_class.items())[:4]
            )
        )
    signs = evidence.pictures
    lines.append(
        f"shorter side {signs.shorter_side_px[0]} … {signs.shorter_side_px[2]} px, median {signs.shorter_side_px[1]}; the network needs "
        f"{signs.needed_px}; grey {signs.grey:.0%}"
    )
    lines += [
        f"seen as '{turn.view}': accuracy {turn.plain_accuracy:.2f} → {turn.accuracy:.2f} on {turn.pictures} pictures"
        for turn in evidence.turned
    ]
    lines += evidence.notes
    out.print("[bold]Signs[/bold]")
    for line in lines:
        out.print(f"  • {escape(printable(line))}")


def _scenarios(result: "Advised", out: Console) -> None:
    table = Table(box=box.SIMPLE_HEAD, title="The four textbook cases", title_justify="left")
    for name in ("", "data", "like the source", "what to do", "sources"):
        table.add_column(name)
    for row in SCENARIOS:
        here = row == result.advice.scenario
        size = f"{row.band} ({'under' if row.band == 'small' else 'from'} {LARGE_IMAGES:,})"
        table.add_row(
            "→" if here else "", size, row.similarity, row.textbook, ", ".join(row.sources), style="bold" if here else "dim"
        )
    out.print(table)


def _plans(result: "Advised", out: Console) -> None:
    table = Table(
        box=box.SIMPLE_HEAD,
        title=f"Plans for {result.plan.backbone} at {result.plan.image_size_px} px, and what they take here "
        f"(budget {duration(result.budget_s)})",
        title_justify="left",
    )
    for name in ("", "plan", "gain to expect", "expected", "at most", "memory", "added to the store"):
        table.add_column(name, justify="left" if name in ("", "plan") else "right")
    for plan, gain, needed in zip(result.advice.plans, result.advice.gains, result.forecasts, strict=True):
        here = plan == result.plan
        table.add_row(
            "→" if here else "",
            _summary(plan),
            "not measured" if gain is None else f"{gain:+.1f} points" if plan.trains_network else "",
            duration(needed.seconds["total"]),
            duration(needed.longest_s),
            f"{needed.memory_bytes / 1e9:.1f} GB",
            f"{needed.store_bytes / 1e9:.2f} GB",
            style="bold" if here else "",
        )
    out.print(table)
    out.print(
        "Time, memory and disk are forecasts from speeds measured here within the last ten minutes; the run's record shows the truth.",
        style="dim",
    )
    out.print(
        f"[bold]Recommended[/bold]: {result.plan.backbone}, {escape(_summary(result.plan))}; "
        f"this advice took {duration(result.seconds['total'])}"
    )
    best = by_gain(result.advice.gains)[0]
    if result.advice.plans[best] != result.plan:
        gain, longest = result.advice.gains[best], result.forecasts[best].longest_s
        out.print(
            f"With more time, --budget {minutes(longest)}m: {escape(_summary(result.advice.plans[best]))}"
            + ("" if gain is None else f"; {gain:.1f} points to expect, by what such plans gained on data like this")
        )


def _summary(plan: "Plan") -> str:
    parts = [f"cut {plan.cut}", f"taps {plan.taps}"]
    if plan.trains_network:
        parts += [
            f"up to {plan.training['epochs']} epochs",
            f"learning rate {plan.training['learning_rate']:g}",
            f"augment {plan.augment}",
        ]
    elif plan.views != "none":
        parts.append(f"views {plan.views}")
    return ", ".join(parts)


def _competition(contest: "Competition", out: Console) -> None:
    """Two tables, because one would be wider than 100 columns and lose names and intervals: the places, and what else is known."""
    table = Table(box=box.SIMPLE_HEAD, title=f"Backbones, on up to {contest.pictures} train pictures", title_justify="left")
    table.add_column("backbone", overflow="fold")
    for name in ("accuracy", "95 % interval", "pictures", "images/s", "parameters"):
        table.add_column(name, justify="right", overflow="fold")
    scores = Table(
        box=box.SIMPLE_HEAD, title="Pictures whose nearest others name their class, and licences", title_justify="left"
    )
    scores.add_column("backbone", overflow="fold")
    scores.add_column("k-NN", justify="right", overflow="fold")
    scores.add_column("licence", overflow="fold")
    for candidate in contest.places:
        place, name = candidate.place, escape(candidate.name)
        low, high = place.accuracy_ci95
        tie = " = best" if place.tied_with_best and place is not contest.places[0].place else ""
        speed = "stored" if candidate.images_per_second is None else f"{candidate.images_per_second:.0f}"
        style = "bold" if candidate.name == contest.recommended else ""
        table.add_row(
            name + tie, f"{place.accuracy:.3f}", f"{low:.3f}-{high:.3f}", f"{place.pictures}", speed,
            f"{candidate.params_millions:.1f} M", style=style,
        )  # fmt: skip
        scores.add_row(name, f"{candidate.scores['knn']:.2f}", escape(candidate.licence or "not stated"), style=style)
    out.print(table)
    out.print(scores)
    for name, reason in contest.absent.items():
        out.print(f"  not on this machine: {escape(name)} [dim]({escape(printable(reason))})[/dim]", soft_wrap=True)
    out.print(
        f"By size alone it would be {contest.by_size[0]}, a baseline that is hard to beat (arXiv 2510.06448). Taken: "
        f"{contest.recommended}, the smallest of those that the best is not ahead of.",
        style="dim",
    )

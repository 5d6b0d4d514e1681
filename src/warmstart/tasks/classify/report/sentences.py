"""What a report says in words: pure functions of a run's record, so that every sentence can be tested.

A sentence that cannot be made, of what an older run does not say, is not made.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from warmstart.evaluation.learning_curves import overfitting
from warmstart.records import Scores
from warmstart.report.frozen import frozen_in_words, listed
from warmstart.report.printable import percent
from warmstart.report.run_record import RunRecord
from warmstart.tasks.classify.report.run_files import points_of

FEW_TEST = 200  # pictures: an accuracy of 0.9 has then an interval of ± 4 points
FEW_OF_CLASS = 20  # pictures of test: one moves the class's recall by five points
WEAK_RECALL = 0.75


@dataclass(frozen=True, kw_only=True)
class Step:
    """Something worth doing next, and the command that does it."""

    text: str
    command: str | None = None


def verdict(record: RunRecord) -> str:
    """Is it any good? The first sentence of a report."""
    test: Scores | None = record.scores.get("test")
    if test is None:
        return "No picture was held out for a test, so nothing says how good the model is on new ones."
    low, high = test.accuracy_ci95
    beside = f"Naming always the most frequent class is right for {percent(test.majority_accuracy)}."
    found = f"Of {test.n:,} test pictures, which had no part in training, the model names {percent(test.accuracy)} rightly"
    if low <= test.majority_accuracy:
        return f"{found}, which is not clearly better than not looking at them. {beside}"
    return f"{found}; with other pictures of the same kind it would be {percent(low)} to {percent(high)}. {beside}"


def plan_in_words(record: RunRecord) -> list[str]:
    """What was frozen, what was trained, what reads it."""
    plan, parameters, training = record.plan, record.parameters, record.training
    weights = {"default": "pretrained on ImageNet", "random": "with random weights"}
    origin = weights.get(plan.weights, "with given weights")
    out = [f"The network is {plan.backbone}, {origin}; it sees pictures of {plan.image_size_px} × {plan.image_size_px} px."]
    if parameters:
        frozen, trained = parameters["frozen_stages"], parameters["trained_stages"]
        trained_count = _millions(parameters["trained"]) if parameters["trained"] else "none"
        share = f"{trained_count} of {_millions(parameters['network'])} parameters trained"
        if not parameters["trained"]:
            which = f"Stages {_span(frozen)}" if frozen else "The whole network is"
            out.append(f"{which} frozen, {share}: only a head learns.")
        elif frozen:
            out.append(
                f"Stages {_span(frozen)} frozen, {_span(trained) if trained else 'pooled'} trained: {share}, and a head."
            )
        elif training and training.frozen:
            out.append(f"No stage frozen whole: {share}, and a head.")
        else:
            out.append(f"Nothing frozen: {share}, and a head.")
    out += frozen_in_words(training)
    if choice := record.choice:
        settings = ", ".join(f"{name} {value}" for name, value in choice["settings"].items())
        how = "on val" if choice["method"] == "val" else f"by {choice['folds']} folds of train"
        tried = len(choice["candidates"])
        out.append(
            f"The head, {choice['head']}{f' ({settings})' if settings else ''}, reads {listed(plan.taps.split(','))}; "
            f"{f'chosen {how} among {tried} settings' if tried > 1 else 'nothing was chosen'}."
        )
    if training:
        done = training.epochs[-1].epoch
        out.append(f"{done} epochs of training, of which number {training.best_epoch} was best on val; {training.end}.")
    return out


def calibration_in_words(record: RunRecord) -> list[str]:
    """Whether probabilities mean what they say."""
    trust, out = record.trust, []
    if ece := trust.get("ece"):
        fits = ece["after"] <= ece["p95_when_calibrated"]
        out.append(
            f"The expected calibration error is {ece['after']:.3f} ({ece['before']:.3f} before temperature scaling). A perfectly "
            f"calibrated model with these probabilities would stay below {ece['p95_when_calibrated']:.3f} in 95 of 100 draws of as many "
            "pictures: "
            + ("the probabilities can be taken at their word." if fits else "the probabilities are off by more than chance.")
        )
    if calibration := trust.get("calibration"):
        apart = (
            "None of them had a part in the choice that it was judged by."
            if calibration["apart"]
            else "So the probabilities flatter."
        )
        out.append(f"Temperature {trust['temperature']:.2f}, fitted on {calibration['on']}. {apart}")
    return out


def novelty_in_words(record: RunRecord) -> str | None:
    """How predictions on strange pictures can be told."""
    novelty = record.trust.get("novelty")
    if not novelty:
        return None
    return (
        f"A picture is called unlike training when it lies farther from its nearest neighbours than {novelty['unlike_from']:g} % of "
        f"{novelty['bank']:,} pictures of this data set do. Of the test pictures {percent(novelty['test_unlike'])} are."
    )


def next_steps(record: RunRecord, *, findings: Sequence[object] | None, compared: bool, source: str | None) -> list[Step]:
    """In the order in which they are likely to help. ``source``: where the data lies, for commands; None where that is no path.

    findings: things about the data to look at; None where nothing was looked for.
    """
    test: Scores | None = record.scores.get("test")

    def on_data(verb: str) -> str | None:
        return None if source is None else f"warmstart {verb} {_quoted(source)}"

    steps = []
    for notice in record.data.notices:
        if notice.kind == "cropped":  # before anything is blamed on labels or pictures
            command = None if source is None else f"warmstart train {_quoted(source)} --resize pad"
            steps.append(Step(text=f"Show the network whole pictures: {notice.message}.", command=command))
    problems = len(record.data.problems)
    if problems:
        steps.append(
            Step(text=f"Look at the {_count(problems, 'problem')} with the data that are listed above, and mend the files.")
        )
    if findings is None:
        steps.append(
            Step(
                text="Look for wrong labels, duplicates and strange pictures among your own.",
                command=on_data("doctor"),
            )
        )
    elif findings:
        steps.append(
            Step(
                text=f"Settle what is wrong with the data: the doctor writes its findings (here {len(findings):,}) to a list; decide in it "
                "what to keep, drop or relabel, and train with --fixes fixes.csv. No file is touched.",
                command=looking_further(source) if source else None,
            )
        )
    if test is not None:
        steps += _from_scores(test, list(record.data.of_task["classes"]))
    points = points_of(record.training.epochs if record.training else ())
    if points and (said := overfitting(points)):
        steps.append(Step(text=said))
    if not record.advice:
        steps.append(
            Step(
                text="Ask where to cut the network and whether training it would pay.",
                command=on_data("advise"),
            )
        )
    if not compared:
        steps.append(
            Step(
                text="See what training more of the network brings, against a cold start, in the same time each.",
                command=on_data("compare"),
            )
        )
    steps.append(
        Step(
            text="Use the model. With a coverage it also names the set of classes that a picture may be of.",
            command=f"warmstart predict {_quoted(record.run_dir)} PICTURES… --coverage 0.95",
        )
    )
    return steps


def looking_further(source: str | None) -> str:
    """The command that finds more than a run does by the way."""
    return f"warmstart doctor {'DATA' if source is None else _quoted(source)} --fix-list fixes.csv"


def _from_scores(test: Scores, names: Sequence[str]) -> list[Step]:
    steps = []
    wrong = [(count, i, j) for i, row in enumerate(test.confusion) for j, count in enumerate(row) if i != j and count]
    if wrong:
        count, i, j = max(wrong, key=lambda found: found[0])
        steps.append(
            Step(
                text=f"Most often {names[i]} is taken for {names[j]} ({count} of {sum(test.confusion[i])}). Look at these "
                "pictures: are the labels right, and could you tell?"
            )
        )
    weak = [
        name for name, row in test.per_class.items() if row["support"] >= 1 and row["recall"] < WEAK_RECALL
    ]  # fmt: skip
    if weak:
        steps.append(Step(text=f"Add pictures of {listed(weak[:5])}: fewer than {percent(WEAK_RECALL, 0)} of them are found."))
    few = [name for name, row in test.per_class.items() if row["support"] < FEW_OF_CLASS]
    if test.n < FEW_TEST or few:
        which = f"{test.n:,} test pictures" if test.n < FEW_TEST else f"fewer than {FEW_OF_CLASS} of {listed(few[:5])}"
        steps.append(Step(text=f"The test is small ({which}): hold more pictures out before you rely on single numbers."))
    return steps


def _millions(count: int) -> str:
    return f"{count / 1e6:.1f} M" if count >= 50_000 else f"{count:,}"


def _span(stages: Sequence[str]) -> str:
    """'stem to stage2 and stage4': in the order of the network, neighbours together."""
    runs: list[list[str]] = []
    for stage in stages:
        if runs and _place(stage) == _place(runs[-1][-1]) + 1:
            runs[-1].append(stage)
        else:
            runs.append([stage])
    return listed([run[0] if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs])


def _place(stage: str) -> int:
    return int(stage.removeprefix("stage") or 0) if stage.startswith("stage") else 0


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def _quoted(path: str) -> str:
    return shlex.quote(path)

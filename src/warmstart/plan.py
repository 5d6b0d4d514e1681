"""The plan of a run: the whole recipe as plain data, refused at once where it names what is not there.

Each field says what it means and takes, once: Python, plan.json, the server and the command line read it here (`warmstart.options`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Self

from warmstart.backbones.catalog import OWN, declared_spec, find
from warmstart.backbones.cut_names import declared_cuts, require_cut
from warmstart.data.augmentation import TRAINING_POLICIES
from warmstart.data.views import AUTO, RESIZE_MODES, VIEW_POLICIES
from warmstart.engines.build import ENGINES, PRECISIONS
from warmstart.errors import UnknownNameError, UsageError
from warmstart.options import (
    NAMES,
    SHARES,
    FrozenMapping,
    Option,
    Range,
    explained,
    fields_of,
    from_document,
    settle,
    tagged,
    to_document,
)
from warmstart.training_settings import TrainingSettings, planned_settings

NOUN = "plan key"
SEEDS = 2**32  # NumPy and scikit-learn take 0 … 2³² - 1

HEAD_WAS_GIVEN = "the plan says that its head was handed over: give it again, in Python, as head=…"
NOTHING_TRAINED = (
    "--augment makes views to train the network on, and with this cut and head nothing of it is trained. "
    "Choose an earlier --cut, or average features over --views."
)
GIVEN = "given"  # weights, head, views: what was handed over, in Python
MODULE = "module"  # a head that was handed over and can be trained with the network: an nn.Module
ADVISED = "auto"  # the cut of a plan that leaves the recipe to advice

TRAINED_HEADS = ("linear", MODULE)  # right of a cut; with others an earlier cut is that head on the features of its stage
HEADS = ("linear", "svm", "svm-rbf", "ridge", "knn", "mlp")  # `tasks.classify.heads.catalog` has them
CLASS_WEIGHTS = ("none", "balanced")
TAP_SETS = ("pooled", "last", "middle", "all")  # what `strategy.taps` names; which taps they hold hangs on the network

# Tag of the fields that advice decides where the cut is left to it.
BY_ADVICE = "by advice"

_TRAINS = ("train", "compare", "lr-find")
_LOOKS = (*_TRAINS, "advise", "doctor")


def _check_backbone(name: str) -> None:
    declared_spec(name)


def _check_fractions(shares: Sequence[float]) -> None:
    if len(shares) != 3 or not (min(shares) >= 0 and max(shares) <= 1 and abs(sum(shares) - 1) <= 1e-6):  # NaN neither
        raise UsageError(f"fractions {tuple(shares)} are not three shares that sum to 1")
    if shares[0] == 0:
        raise UsageError(f"fractions {tuple(shares)} leave train nothing to learn from; give train a share, such as 0.7")


def _check_training(given: Mapping[str, Any]) -> None:
    planned_settings(given, cold=False, seed=0)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The whole recipe of a run as plain data. What it does not name has no influence on the result.

    Names and numbers are checked when it is made, as far as they can be told without a library or weights: raises UnknownNameError with
    the nearest names, or UsageError with all problems. 'auto' is resolved before the run and the resolved plan is what a run folder
    holds. `Plan.explain("cut")` says what a field means.
    """

    backbone: Annotated[
        str, Option("Pretrained network; the names: warmstart backbones.", check=_check_backbone, verbs=_LOOKS)
    ] = "efficientnet_lite0"
    task: Annotated[
        str | None,
        Option(
            "What is learnt: classify, multilabel, ordinal, regress, or a task of another package; null: what the data is for.",
            metavar="NAME",
            verbs=("train", "lr-find"),
            later=True,
        ),
    ] = None
    target: Annotated[
        tuple[str, ...],
        Option(
            "Columns of a table that hold what is to be learnt, joined by ','. Default: its column label, or the folders.",
            metavar="COLUMNS",
            form=NAMES,
            verbs=("train", "lr-find"),
            later=True,
        ),
    ] = ()
    nested: Annotated[
        bool,
        Option(
            "Folders in class folders are classes too, in a tree: animal/dog/pug/1.jpg is of 'animal>dog>pug'. By default the first folder "
            "is the class.",
            verbs=_LOOKS,
            later=True,
        ),
    ] = False
    options: Annotated[
        Mapping[str, Any],
        Option("What the task lets one choose beside: name → value, as its page says.", verbs=(), later=True),
    ] = FrozenMapping()
    weights: Annotated[
        str,
        Option(
            "'default', 'random', or a .safetensors/.pth file; 'given' is what was handed over in Python.",
            verbs=("train", "compare", "lr-find", "doctor"),
        ),
    ] = "default"
    cut: Annotated[
        str,
        Option(
            "Where the frozen part ends: 'pooled', a stage, 'pixels' (nothing is frozen), or 'auto': probe, then what advise recommends.",
            verbs=("train", "lr-find"),
        ),
    ] = "pooled"
    taps: Annotated[
        str,
        Option(
            "'auto' (chosen on val), a named set (pooled, last, middle, all), or names joined by ','.",
            verbs=_TRAINS,
            tags=(BY_ADVICE,),
        ),
    ] = "auto"
    head: Annotated[
        str, Option("What is fitted on the features: {choices}.", choices=HEADS, also=(GIVEN, MODULE), tags=(BY_ADVICE,))
    ] = "linear"
    image_size_px: Annotated[
        int | None,
        Option(
            "Side of the network's input; default: the backbone's own.",
            word="image size",
            unit="px",
            range=Range(least=32, most=2048),
            flag="--image-size",
            metavar="PX",
            verbs=_LOOKS,
        ),
    ] = None
    resize: Annotated[
        str,
        Option(
            "crop the centre (full-crop: without its margin), squash to a square, or pad; 'auto' crops, and compares these on train where "
            "that shows little.",
            choices=(AUTO, *RESIZE_MODES),
            verbs=_LOOKS,
        ),
    ] = AUTO
    views: Annotated[
        str,
        Option(
            "{choices}: predictions are averaged over the picture and its mirror images (and turns).",
            choices=tuple(VIEW_POLICIES),
            verbs=("train", "compare"),
            tags=(BY_ADVICE,),
        ),
    ] = "none"
    engine: Annotated[str, Option("What runs the frozen part: {choices}.", choices=ENGINES)] = "auto"
    precision: Annotated[str, Option("Of its numbers: {choices}.", choices=PRECISIONS)] = "auto"
    class_weight: Annotated[
        str,
        Option("{choices}: with balanced, rare classes count as much as frequent ones.", choices=CLASS_WEIGHTS, verbs=_TRAINS),
    ] = "none"
    positive: Annotated[
        str | None, Option("Of two classes, the one that counts as found.", metavar="CLASS", verbs=("train", "compare"))
    ] = None
    threshold: Annotated[
        float | None,
        Option("Probability from which --positive is predicted; default 0.5.", range=Range(above=0, below=1)),
    ] = None
    keep_damaged: Annotated[
        bool, Option("Use pictures whose files are damaged but decode; by default they are left out.", verbs=_LOOKS)
    ] = False
    fractions: Annotated[
        tuple[float, float, float],
        Option(
            "Shares in percent, where the data brings no split.",
            check=_check_fractions,
            flag="--split",
            metavar="TRAIN/VAL/TEST",
            form=SHARES,
            verbs=(*_TRAINS, "advise"),
        ),
    ] = (0.70, 0.15, 0.15)
    seed: Annotated[
        int, Option("Seed of splits and of everything random.", range=Range(least=0, most=SEEDS - 1), verbs=_LOOKS)
    ] = 0
    # What follows concerns the training of the network itself, right of a cut before 'pooled' with a linear head.
    unfreeze: Annotated[
        tuple[str, ...],
        Option(
            "Gradual unfreezing: cuts to train from before --cut, later ones first: stage6,stage5.",
            metavar="CUTS",
            form=NAMES,
            tags=(BY_ADVICE,),
        ),
    ] = ()
    freeze: Annotated[
        tuple[str, ...],
        Option(
            "Layers that stay as they are: stages or the network's own names, also as patterns, joined by ',': stem,stage[1-3],*.bn*. "
            "Without --cut the cut stands before the first layer that learns.",
            metavar="NAMES",
            form=NAMES,
            verbs=("train", "lr-find"),
            tags=(BY_ADVICE,),
            later=True,
        ),
    ] = ()
    augment: Annotated[
        str,
        Option(
            "Views to train the network on: {choices}.",
            word="augmentation policy",
            choices=TRAINING_POLICIES,
            also=(GIVEN,),
            verbs=_TRAINS,
            tags=(BY_ADVICE,),
        ),
    ] = "none"
    augment_views: Annotated[
        int,
        Option(
            "How many views of each picture are stored, the plain one included.",
            word="number of augmented views",
            range=Range(least=1, most=64),
            verbs=_TRAINS,
        ),
    ] = 4  # at 'pixels' every epoch has new ones
    batch_size: Annotated[
        int, Option("Pictures per batch when the network is trained.", range=Range(least=1), verbs=_TRAINS)
    ] = 32
    training: Annotated[
        Mapping[str, Any],
        Option(
            "Any other setting of training, as docs/training.md lists them; repeatable.",
            of=TrainingSettings,
            check=_check_training,
            verbs=_TRAINS,
            tags=(BY_ADVICE,),
        ),
    ] = FrozenMapping()  # the rest by default

    def __post_init__(self) -> None:
        settle(self, NOUN)
        if self.cut != ADVISED:
            require_cut(self.backbone, self.cut)
        for cut in self.unfreeze:
            require_cut(self.backbone, cut)
        _require_taps(self)

    @property
    def trains_network(self) -> bool:
        """Whether the network right of the cut is trained; see `TRAINED_HEADS`.

        Where `freeze` is to say where the cut stands: see `training.frozen.with_cut`.
        """
        return self.head in TRAINED_HEADS and self.cut not in ("pooled", ADVISED) and self.training.get("epochs") != 0

    def require_runnable(self) -> None:
        """Raises UsageError where parts of it contradict each other, UnknownNameError for a network that its library does not know.

        The one check of a plan before anything is read, whoever it comes from. Loads the library of a backbone outside the catalogue.
        """
        if not self.backbone.startswith(OWN):
            find(self.backbone)
        if self.cut == ADVISED:
            _require_left_open(self)
        if self.threshold is not None and self.positive is None:
            raise UsageError("--threshold is a probability of one class: name it with --positive CLASS")
        if self.cut == "pixels" and not self.trains_network:
            raise UsageError(
                "at --cut pixels there are no features for a head: the network itself is trained there, with --head linear"
            )
        # Where the cut follows from `freeze`, the network tells whether it is trained: `training.frozen.with_cut` asks it.
        by_freezing = (
            bool(self.freeze) and self.cut == "pooled" and self.head in TRAINED_HEADS and self.training.get("epochs") != 0
        )
        trains = self.trains_network or by_freezing
        if (
            self.augment != "none" and not trains and self.task is None
        ):  # a task that was named may train: `session.probe` asks it
            raise UsageError(NOTHING_TRAINED)
        if self.unfreeze and not trains:
            raise UsageError(
                f"--unfreeze {','.join(self.unfreeze)} trains the network in steps, and with this cut and head nothing of it is trained. "
                "Choose an earlier --cut with --head linear, or leave --unfreeze out."
            )
        if self.freeze and self.cut != "pooled" and not self.trains_network:
            raise UsageError(
                f"--freeze {','.join(self.freeze)} says what stays as it is while the network is trained, and with --head {self.head}"
                f"{' and 0 epochs' if self.training.get('epochs') == 0 else ''} nothing of it is trained. Train with --head linear and "
                "one epoch or more, or leave --freeze out."
            )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return to_document(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`. Raises UnknownNameError for a key that is not a field, UsageError for a value of another kind."""
        return from_document(cls, values, NOUN)

    @classmethod
    def explain(cls, name: str) -> str:
        """What a field means, which values it takes, its default and its flag. Raises UnknownNameError."""
        return explained(cls, name, NOUN)


def _require_taps(plan: Plan) -> None:
    """Raises UnknownNameError for a tap that the backbone is known not to have. Which lie left of the cut is told when it is loaded."""
    cuts = declared_cuts(plan.backbone)
    wanted = [name.strip() for name in plan.taps.split(",") if name.strip()]
    if not wanted:
        raise UsageError(f"taps {plan.taps!r} name nothing; use 'auto', {', '.join(TAP_SETS)}, or taps joined by ','")
    if cuts is None or plan.taps in ("auto", *TAP_SETS):
        return
    known = dict.fromkeys((*(name for name in cuts if name != "pixels"), "max"))
    for name in wanted:
        if name not in known:
            raise UnknownNameError("tap", name, dict.fromkeys((*known, *TAP_SETS)) if len(wanted) == 1 else known)


def _require_left_open(plan: Plan) -> None:
    """With cut 'auto' the recipe is the advice's. Raises UsageError when a part of it was given."""
    usual = fields_of(Plan)
    given = [field.name for field in tagged(Plan, BY_ADVICE) if getattr(plan, field.name) != usual[field.name].default]
    if given:
        raise UsageError(
            f"cut 'auto' leaves the recipe to what is measured, and {', '.join(given)} was given: name a cut as well, such as pooled"
        )

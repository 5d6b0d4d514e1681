"""Sequences of words, decoded step by step from a map: each word is chosen knowing the one before.

map (C, h, w) → mean over places → state ─┬─ word 1 ─┐
                                          └─ GRU ◀───┴─ word 2 … until END
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from warmstart.errors import UsageError
from warmstart.task_base import AnyTargets, BaseTask, NamedScores
from warmstart.task_protocol import Fitting, Inputs, Learnt, Original, Outputs, Part
from warmstart.training.objective import ValScores
from warmstart.training_settings import TrainingSettings

COLUMN, STAGE, STEPS, END = "words", "stage5", 4, "."


@dataclass(frozen=True, kw_only=True, eq=False)
class Sentences(AnyTargets):
    """Of each picture its words."""

    vocabulary: tuple[str, ...]

    def collate(self, at: Any, geometry: Any = None) -> Tensor:
        """int64 (B, STEPS)."""
        return torch.tensor([self._numbers(self.values[i]) for i in at])

    def identity(self) -> dict[str, Any]:
        return {"vocabulary": list(self.vocabulary)}

    def _numbers(self, words: tuple[str, ...]) -> list[int]:
        padded = [*words, *[END] * STEPS][:STEPS]
        return [self.vocabulary.index(w) if w in self.vocabulary else 0 for w in padded]


class Decoder(nn.Module):
    """(B, C, h, w) → (B, STEPS, K): scores of each word at each step, the word before fed back."""

    def __init__(self, channels: int, words: int, width: int = 32) -> None:
        super().__init__()
        self.start, self.embed = nn.Linear(channels, width), nn.Embedding(words + 1, width)
        self.cell, self.out, self.words = nn.GRUCell(width, width), nn.Linear(width, words), words

    def forward(self, maps: Tensor) -> Tensor:
        state = torch.tanh(self.start(maps.mean(dim=(2, 3))))
        before, said = torch.full_like(state[:, 0], self.words, dtype=torch.long), []
        for _ in range(STEPS):
            state = self.cell(self.embed(before), state)
            said.append(self.out(state))
            before = said[-1].argmax(dim=1)
        return torch.stack(said, dim=1)


class WordObjective:
    """Cross-entropy of every step."""

    def targets(self, collated: Tensor) -> Tensor:
        return collated

    def loss(self, said: Tensor, words: Tensor) -> Tensor:
        return nn.functional.cross_entropy(said.flatten(0, 1), words.flatten(), reduction="sum")

    def scores(self, said: Sequence[Tensor], words: Sequence[Tensor]) -> ValScores:
        found, true = torch.cat(list(said)), torch.cat(list(words))
        loss = float(self.loss(found, true)) / len(true)
        exact = float((found.argmax(dim=2) == true).all(dim=1).float().mean())
        return ValScores(loss=loss, rank=(loss,), named={"exact": exact})


@dataclass(frozen=True, kw_only=True, eq=False)
class Said(Outputs):
    steps: np.ndarray  # (N, STEPS, K)


@dataclass(frozen=True, kw_only=True)
class Sentence:
    source: str
    words: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return {"path": self.source, "words": list(self.words)}


@dataclass(frozen=True, kw_only=True, eq=False)
class Speaker:
    taps: tuple[str, ...]
    vocabulary: tuple[str, ...]
    weights: Mapping[str, np.ndarray]

    def module(self) -> Decoder:
        module = Decoder(self.weights["start.weight"].shape[1], len(self.vocabulary))
        module.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in self.weights.items()})
        return module.eval()

    def outputs(self, rows: Any) -> Said:
        with torch.no_grad():
            return self.of_graph(self.module()(torch.from_numpy(rows.map(STAGE))).numpy())

    def of_graph(self, found: np.ndarray, places: Any = None) -> Said:
        if found.shape[1:] != (STEPS, len(self.vocabulary)):
            raise ValueError(f"scores of shape {found.shape[1:]}, expected {STEPS} steps of {len(self.vocabulary)} words")
        return Said(steps=found)

    def answers(self, outputs: Said, pictures: Sequence[Original], *, coverage: float | None = None) -> list[Sentence]:
        return [Sentence(source=p.source, words=w) for p, w in zip(pictures, self.sentences(outputs), strict=True)]

    def sentences(self, outputs: Said) -> list[tuple[str, ...]]:
        spoken = [[self.vocabulary[k] for k in row] for row in outputs.steps.argmax(axis=2)]
        return [tuple(words[: words.index(END)] if END in words else words) for words in spoken]

    def coverage(self, asked: float) -> Any:
        raise UsageError("a sentence has no coverage")

    def facts(self) -> dict[str, Any]:
        return {"vocabulary": list(self.vocabulary)}

    def settings(self) -> dict[str, Any]:
        return {"taps": list(self.taps), "vocabulary": list(self.vocabulary)}

    def arrays(self) -> dict[str, np.ndarray]:
        return dict(self.weights)


class WordTask(BaseTask):
    name: ClassVar[str] = "words"
    noun: ClassVar[str] = "a teller of words"
    trains_in_fit: ClassVar[bool] = True
    graph_outputs: ClassVar[Mapping[str, str]] = {"steps": "float32 (batch, steps, words)"}

    def claims(self, listing: Any) -> str | None:
        return "it has a column words" if COLUMN in listing.columns else None

    def inputs(self, plan: Any, stages: Sequence[str]) -> Inputs:
        return Inputs(maps=(STAGE,))

    def targets_of(self, examples: Any) -> Sentences:
        values = tuple(tuple(str(e.cells[COLUMN]).split()) for e in examples)
        return Sentences(values=values, vocabulary=(END, *sorted({word for words in values for word in words})))

    def targets_for(self, fitted: Speaker, examples: Any) -> Sentences:
        return Sentences(values=self.targets_of(examples).values, vocabulary=fitted.vocabulary)

    def columns(self, fitted: Any) -> tuple[str, ...]:
        return (COLUMN,)

    def fit(self, train: Part[Any], val: Part[Any], run: Fitting) -> Learnt[Speaker]:
        torch.manual_seed(run.seed)
        vocabulary = train.targets.vocabulary
        module = Decoder(train.read(np.arange(1)).map(STAGE).shape[1], len(vocabulary))
        settings = {"epochs": 40, "learning_rate": 0.02, "head_share": 1.0, "seed": run.seed, **run.plan.training}
        run.train(module, train, val, WordObjective(), TrainingSettings(**settings))
        weights = {name: tensor.detach().numpy().copy() for name, tensor in module.state_dict().items()}
        speaker = Speaker(taps=(STAGE,), vocabulary=vocabulary, weights=weights)
        return Learnt(fitted=speaker, tap_set="maps", by_folds=False, held_out=speaker.outputs(val.rows()), record={})

    def score(self, fitted: Speaker, outputs: Said, targets: Sentences, *, usual: Any, used_for_choosing: bool) -> Any:
        exact = np.mean([said == true for said, true in zip(fitted.sentences(outputs), targets.values, strict=True)])
        return NamedScores(n=len(targets), values={"exact": float(exact)}, used_for_choosing=used_for_choosing)

    def table(self, fitted: Speaker, outputs: Said, targets: Sentences) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
        said = fitted.sentences(outputs)
        return (COLUMN, "said"), [(" ".join(t), " ".join(s)) for t, s in zip(targets.values, said, strict=True)]

    def graph(self, fitted: Speaker) -> nn.Module:
        return OnFlatRows(fitted.module())

    def restore(self, document: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Speaker:
        return Speaker(taps=tuple(document["taps"]), vocabulary=tuple(document["vocabulary"]), weights=dict(arrays))


class OnFlatRows(nn.Module):
    def __init__(self, module: Decoder) -> None:
        super().__init__()
        self.module = module

    def forward(self, row: Tensor) -> tuple[Tensor]:
        channels = self.module.start.in_features
        side = round((row.shape[1] / channels) ** 0.5)
        return (self.module(row.unflatten(1, (channels, side, side))),)


TASK = WordTask()

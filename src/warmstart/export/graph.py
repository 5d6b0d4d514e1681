"""The whole model as one torch module: what a file of any format is written from.

    pictures (uint8) → [resize] → views → normalise → backbone → taps → mean over views → what the task has fitted → its outputs

B batch, S side of the network's input, H, W of a picture, D features.
"""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from warmstart.backbones.taps import TappedPrefix, tapped_only, with_maps
from warmstart.data.views import DIHEDRAL
from warmstart.errors import UsageError
from warmstart.export.resizing import Resize
from warmstart.model.predictor import Model
from warmstart.task_registry import find_task

MOST_PICTURES = 4096  # at once; a bound that torch.export wants to have
MOST_SIDE_PX = 32_768


class WholeModel(nn.Module):
    """uint8 (B, 3, S, S), or (1, H, W, 3) with ``resize`` → what the task's graph gives, a tuple of (B, …)."""

    def __init__(
        self, network: TappedPrefix, head: nn.Module, *, views: Sequence[str], resize: Resize | None, names: Sequence[str]
    ) -> None:
        super().__init__()
        self.resize, self.network, self.head = resize, network, head
        self.views, self.names = tuple(views), tuple(names)  # names: of the outputs

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """Outputs in the order of their names."""
        pixels = pictures if self.resize is None else self.resize(pictures)
        if self.views == ("plain",):
            features = self.network(pixels)
        else:
            rows = self.network(torch.cat([_view(pixels, view) for view in self.views]))
            features = rows.unflatten(0, (len(self.views), -1)).mean(dim=0)
        found: tuple[Tensor, ...] = self.head(features)
        return found


class StoredInHalf(nn.Module):
    """A graph whose larger tensors are stored in float16 and widened to float32 where they are used.

    What is computed stays float32 unless an engine chooses otherwise, so the file is half as large and runs everywhere. What the
    task has fitted keeps its float32: it is small, and what it gives are differences of large sums.
    """

    def __init__(self, graph: WholeModel) -> None:
        super().__init__()
        self._graph = [graph]  # in a list, so that its tensors are not those of this module as well
        tensors = dict((*graph.named_parameters(), *graph.named_buffers()))
        self._places = {name: f"t{i}" for i, name in enumerate(tensors)}  # a name with dots cannot be that of a buffer
        for name, tensor in tensors.items():
            narrow = tensor.is_floating_point() and tensor.dim() > 1 and not name.startswith("head.")
            self.register_buffer(self._places[name], tensor.detach().half() if narrow else tensor.detach())

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """As the graph."""
        stored = {name: getattr(self, place) for name, place in self._places.items()}
        wide = {name: tensor.float() if tensor.dtype == torch.float16 else tensor for name, tensor in stored.items()}
        result: tuple[Tensor, ...] = torch.func.functional_call(self._graph[0], wide, (pictures,))
        return result


class InBfloat16(nn.Module):
    """A graph whose backbone computes in bfloat16; taps are widened before the head."""

    def __init__(self, graph: WholeModel) -> None:
        super().__init__()
        self.whole = copy.deepcopy(graph)
        self.whole.network.to(torch.bfloat16)
        self.whole.head = nn.Sequential(_Widen(), self.whole.head)

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """As the graph."""
        result: tuple[Tensor, ...] = self.whole(pictures)
        return result


class _Widen(nn.Module):
    def forward(self, features: Tensor) -> Tensor:
        return features.float()


def whole_model(model: Model, *, resize_inside: bool = False) -> WholeModel:
    """The model as one module in eval mode, float32, on the CPU."""
    resize = Resize(model.preprocessing.size_px, model.preprocessing.resize) if resize_inside else None
    task = find_task(model.task)
    if model.apart and len(model.preprocessing.views) > 1:
        raise UsageError(
            f"this model reads {len(model.preprocessing.views)} views of a picture apart from one another, and a file is for one: train "
            "with --views none for one that can be exported"
        )
    whole = model.network()
    network = with_maps(whole, (), tuple(model.shapes)) if model.apart else tapped_only(whole, model.taps)
    graph = WholeModel(
        network,
        task.graph(model.fitted),
        views=model.preprocessing.views,
        resize=resize,
        names=tuple(task.graph_outputs),
    )
    return graph.eval().requires_grad_(False)


def example(graph: WholeModel, size_px: int) -> Tensor:
    """Pictures of the shape that the graph takes, to trace it with: uint8, two of them, or one of another size where it resizes."""
    shape = (2, 3, size_px, size_px) if graph.resize is None else (1, size_px + 37, size_px + 91, 3)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def exported_program(graph: nn.Module, pictures: Tensor, *, resizes: bool) -> torch.export.ExportedProgram:
    """The graph by torch.export: any number of pictures, or one of any size."""
    if resizes:
        sides = {1: torch.export.Dim("height", min=2, max=MOST_SIDE_PX), 2: torch.export.Dim("width", min=2, max=MOST_SIDE_PX)}
    else:
        sides = {0: torch.export.Dim("batch", min=1, max=MOST_PICTURES)}
    with torch.no_grad():
        return torch.export.export(graph, (pictures,), dynamic_shapes=(sides,))


def _view(pixels: Tensor, view: str) -> Tensor:
    """As `data.views.apply_view`, for a batch."""
    mirrored, quarter_turns = DIHEDRAL[view]
    return torch.rot90(pixels.flip(3) if mirrored else pixels, quarter_turns, (2, 3))

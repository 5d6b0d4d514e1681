"""A module as plain data: the operations that torch.export finds in it, in order, and its tensors. Nothing of it is code.

    module → torch.export → [{"op": "aten.linear.default", "args": [{"value": 0}, {"tensor": 0}, {"tensor": 1}]}, …], tensors

Read back, each is looked up in a list of operations that compute numbers from numbers; what is not in it is refused, when a module is
written and when a file is read. B batch, D features, O outputs.
"""

import logging
import operator
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self

import torch
from torch import Tensor, nn

from warmstart.errors import UsageError

Document = list[dict[str, Any]]
NumberedTensors = dict[str, Tensor]  # 'tensor0', 'tensor1' …

# Of ATen: none of them reads a file, asks for the time or draws a number, and none makes more numbers than its inputs and settings say.
NAMES = """
    linear.default matmul.default mm.default bmm.default addmm.default baddbmm.default conv1d.default conv1d.padding
    t.default transpose.int permute.default view.default reshape.default flatten.using_ints unflatten.int squeeze.dim squeeze.default
    unsqueeze.default expand.default expand_as.default contiguous.default clone.default detach.default alias.default cat.default
    stack.default chunk.default split.Tensor split_with_sizes.default unbind.int select.int slice.Tensor sym_size.int
    relu.default relu_.default relu6.default gelu.default silu.default silu_.default mish.default elu.default elu_.default
    selu.default selu_.default celu.default leaky_relu.default leaky_relu_.default prelu.default hardtanh.default hardtanh_.default
    hardswish.default hardswish_.default hardsigmoid.default softplus.default log_sigmoid.default glu.default
    sigmoid.default tanh.default softmax.int log_softmax.int exp.default log.default log1p.default expm1.default sqrt.default
    rsqrt.default square.default abs.default neg.default sin.default cos.default erf.default reciprocal.default
    pow.Tensor_Scalar pow.Tensor_Tensor clamp.default clamp_min.default clamp_max.default maximum.default minimum.default
    add.Tensor add_.Tensor sub.Tensor sub_.Tensor mul.Tensor mul_.Tensor div.Tensor div_.Tensor rsub.Scalar add.Scalar mul.Scalar
    sub.Scalar div.Scalar mean.dim mean.default sum.dim_IntList sum.default amax.default amin.default var.correction std.correction
    linalg_vector_norm.default norm.ScalarOpt_dim batch_norm.default layer_norm.default group_norm.default instance_norm.default
    rms_norm.default dropout.default dropout_.default feature_dropout.default alpha_dropout.default
    scaled_dot_product_attention.default avg_pool1d.default max_pool1d.default adaptive_avg_pool1d.default
"""
KNOWN = frozenset(f"aten.{name}" for name in NAMES.split())
ITEM = "getitem"  # of an operation that gives several
MOST = 10_000  # operations


class Operations(nn.Module):
    """float32 (B, D) → whatever the last operation gives: the module again, as it computes in eval mode."""

    def __init__(self, document: Document, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.document = document
        self.functions = [operator.getitem if step["op"] == ITEM else _function(step["op"]) for step in document]
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor)

    @classmethod
    def of(cls, document: Any, tensors: Mapping[str, Tensor]) -> Self:
        """What a file holds. Raises ValueError for what `written` does not write."""
        if not isinstance(document, list) or not 0 < len(document) <= MOST:
            raise ValueError(f"operations {document!r:.80}, expected a list of 1 to {MOST:,}")
        for number, step in enumerate(document):
            if not isinstance(step, Mapping) or not {"op", "args"} <= set(step) <= {"op", "args", "settings"}:
                raise ValueError(f"operation {number} {step!r:.80}, expected 'op', 'args' and perhaps 'settings'")
            if step["op"] != ITEM and step["op"] not in KNOWN:
                raise ValueError(f"operation {number} {step['op']!r:.80}, which is none that a head may have")
            if not isinstance(step["args"], list) or not isinstance(step.get("settings", {}), Mapping):
                raise ValueError(f"operation {number} with arguments {step['args']!r:.80}, expected a list")
            for argument in (*step["args"], *step.get("settings", {}).values()):
                _require_readable(argument, number, tensors)
        return cls(document, tensors)

    def forward(self, x: Tensor) -> Any:
        """One operation after the other."""
        values: list[Any] = [x]
        for step, function in zip(self.document, self.functions, strict=True):
            settings = {name: self._read(value, values) for name, value in step.get("settings", {}).items()}
            values.append(function(*(self._read(argument, values) for argument in step["args"]), **settings))
        return values[-1]

    def _read(self, argument: Any, values: Sequence[Any]) -> Any:
        if isinstance(argument, list):
            return [self._read(one, values) for one in argument]
        if isinstance(argument, Mapping):
            return values[argument["value"]] if "value" in argument else getattr(self, f"tensor{argument['tensor']}")
        return argument


def written(module: nn.Module, width: int, name: str) -> tuple[Document, NumberedTensors]:
    """What a module in eval mode does to float32 (B, ``width``), and its tensors. ``name``: for messages.

    Raises UsageError for what torch.export cannot follow, and for operations and tensors that are not kept.
    """
    x = torch.zeros(3, width)
    program = exported(module, (x,), name, dynamic_shapes=({0: torch.export.Dim.AUTO},))
    held: dict[str, Tensor] = {**program.state_dict, **program.constants}
    of_placeholder = {
        **program.graph_signature.inputs_to_parameters,
        **program.graph_signature.inputs_to_buffers,
        **program.graph_signature.inputs_to_lifted_tensor_constants,
    }
    places: dict[Any, dict[str, int]] = {}
    document: Document = []
    tensors: NumberedTensors = {}

    def argument_of(argument: Any) -> Any:
        if isinstance(argument, torch.fx.Node):
            if argument not in places:
                places[argument] = {"tensor": len(tensors)}
                tensor = held[of_placeholder[argument.name]].detach()
                if tensor.dtype != torch.float32:
                    raise UsageError(f"{name} computes with numbers of type {tensor.dtype}, and only float32 is kept")
                tensors[f"tensor{len(tensors)}"] = tensor.clone().contiguous()
            return places[argument]
        if isinstance(argument, list | tuple):
            return [argument_of(one) for one in argument]
        if argument is None or isinstance(argument, bool | int | float | str):
            return argument
        raise UsageError(f"{name} hands {argument!r:.60} to an operation, which cannot be kept as plain data")

    last: Any = None
    for node in program.graph.nodes:
        if node.op == "placeholder" and node.name not in of_placeholder:
            places[node] = {"value": 0}
        elif node.op == "call_function":
            operation = ITEM if node.target is operator.getitem else str(node.target)
            if operation != ITEM and operation not in KNOWN:
                raise UsageError(
                    f"{name} does {operation.removeprefix('aten.')}, which is none of the {len(KNOWN)} operations that a head may have: "
                    "layers such as Linear, norms, activations, Dropout, attention, sums and products of them can be kept"
                )
            step = {"op": operation, "args": argument_of(node.args)}
            if node.kwargs:
                step["settings"] = {key: argument_of(value) for key, value in node.kwargs.items()}
            document.append(step)
            places[node] = {"value": len(document)}
        elif node.op == "output":
            last = node.args[0][0]
    if not document or places.get(last) != {"value": len(document)}:
        raise UsageError(f"{name} gives back what it is given, or not what it computes last")
    return document, tensors


def exported(module: nn.Module, inputs: tuple[Tensor, ...], name: str, *, dynamic_shapes: Any = None) -> Any:
    """What torch.export makes of a module, with nothing said. Raises UsageError for what it cannot follow."""
    with _quiet():
        try:
            return torch.export.export(module, inputs, dynamic_shapes=dynamic_shapes)
        except Exception as reason:  # it has an error of its own for everything it cannot follow
            why = (str(reason).strip().splitlines() or [""])[0][:200]
            raise UsageError(
                f"what {name} computes cannot be followed by torch.export ({type(reason).__name__}: {why}). It must do the same for every "
                "picture: replace branches that hang on values"
            ) from reason


@contextmanager
def _quiet() -> Iterator[None]:
    told = logging.getLogger("torch")
    level = told.level
    try:
        told.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        told.setLevel(level)


def _function(name: str) -> Any:
    library, packet, overload = name.split(".")
    return getattr(getattr(getattr(torch.ops, library), packet), overload)


def _require_readable(argument: Any, number: int, tensors: Mapping[str, Tensor]) -> None:
    """Raises ValueError for what `written` does not write as an argument of operation ``number``."""
    if isinstance(argument, list):
        for one in argument:
            _require_readable(one, number, tensors)
        return
    if isinstance(argument, Mapping):
        (kind, place), *more = [*argument.items()] or [("", None)]
        known = kind == "value" and isinstance(place, int) and 0 <= place <= number
        if not more and not isinstance(place, bool) and (known or (kind == "tensor" and f"tensor{place}" in tensors)):
            return
    elif argument is None or isinstance(argument, bool | int | float | str):
        return
    raise ValueError(f"operation {number} with argument {argument!r:.80}, which names nothing before it")

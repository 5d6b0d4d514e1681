"""What an ONNX file is made of, looked at before ONNX Runtime sees it: without the onnx package, which predicting does not need.

Only so much of the format is read as is needed to refuse what no export of ours holds and what could take any time, any memory or any
file: loops and branches (a node that holds a graph), functions, sparse tensors, numbers kept in other files. Field numbers: onnx.proto.
"""

from collections.abc import Iterator, Mapping
from typing import TypeAlias

# Message → field → message. What is not here is not looked into.
_MESSAGES: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph"},
    "graph": {1: "node", 5: "tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 10: "tensor"},
    "tensor": {},
}
_REFUSED: Mapping[str, Mapping[int, str]] = {
    "model": {20: "training steps", 25: "functions"},
    "graph": {15: "sparse tensors"},
    "node": {},
    "attribute": {6: "loops or branches", 11: "loops or branches", 22: "sparse tensors", 23: "sparse tensors"},
    "tensor": {13: "numbers in other files", 14: "numbers in other files"},
}
_IN_THIS_FILE = 0  # tensor.data_location

_Field: TypeAlias = "tuple[int, memoryview | int]"


def refuse_unbounded(content: bytes) -> None:
    """Raises ValueError, with what the file holds, for one that is no ONNX file, or holds what is refused."""
    try:
        _look(memoryview(content), "model")
    except IndexError as reason:
        raise ValueError("it ends in the middle") from reason


def _look(message: memoryview, kind: str) -> None:
    inside, refused = _MESSAGES[kind], _REFUSED[kind]
    for number, value in _fields(message):
        if number in refused and not (number == 14 and value == _IN_THIS_FILE):
            raise ValueError(f"it holds {refused[number]}, which no exported model has")
        if number in inside and isinstance(value, memoryview):
            _look(value, inside[number])


def _fields(message: memoryview) -> Iterator[_Field]:
    """(number, value) of every field; IndexError where the message ends too soon."""
    at, end = 0, len(message)
    while at < end:
        key, at = _number(message, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _number(message, at)
            yield number, value
            continue
        if kind == 2:
            length, at = _number(message, at)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise ValueError("it is no ONNX file")
        if at + length > end:
            raise IndexError
        yield number, message[at : at + length]
        at += length


def _number(message: memoryview, at: int) -> tuple[int, int]:
    """A variable-length number, and where the next thing begins."""
    value = 0
    for shift in range(0, 70, 7):
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("it is no ONNX file")

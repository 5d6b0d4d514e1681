"""An engine can be dropped at any moment."""

from pathlib import Path

import numpy as np
import pytest
from torch import nn

from warmstart.engines import openvino


def test_no_thread_of_openvino_enters_python(toy_module: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # One that does may be waiting for the interpreter's lock while the lock's owner destroys the model and waits for it. The hang
    # comes once in some hundred destructions, so the test looks at the cause and not at the hang.
    def refuse(*_: object) -> None:
        raise AssertionError("a callback into Python")

    ov = openvino.import_openvino()
    openvino.save(openvino.converted(toy_module, 32), tmp_path / "graph.xml", half=False)
    monkeypatch.setattr(ov, "AsyncInferQueue", refuse)
    monkeypatch.setattr(ov.InferRequest, "set_callback", refuse)
    pictures = np.zeros((1, 3, 32, 32), np.uint8)
    engine = openvino.OpenVinoEngine(tmp_path / "graph.xml", precision="f32")
    assert [token for token, _ in engine.map((i, pictures) for i in range(20))] == list(range(20))


def test_an_engine_can_be_left_in_the_middle_and_used_again(toy_module: nn.Module, tmp_path: Path) -> None:
    openvino.save(openvino.converted(toy_module, 32), tmp_path / "graph.xml", half=False)
    pictures = np.zeros((1, 3, 32, 32), np.uint8)
    engine = openvino.OpenVinoEngine(tmp_path / "graph.xml", precision="f32")
    running = engine.map((i, pictures) for i in range(20))
    next(running)
    running.close()
    assert len(list(engine.map((i, pictures) for i in range(20)))) == 20

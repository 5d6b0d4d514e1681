"""The notebook of `examples/`: it runs from the first cell to the last, and what it shows are cards that ask for nothing."""

import re
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[1] / "examples" / "first_look.ipynb"


def test_every_cell_runs_and_shows_itself(
    shapes: Path, warm_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nbformat = pytest.importorskip("nbformat")
    from nbconvert.preprocessors import ExecutePreprocessor

    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    (tmp_path / "photos").symlink_to(shapes, target_is_directory=True)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    ExecutePreprocessor(timeout=None).preprocess(notebook, {"metadata": {"path": str(tmp_path)}})
    shown = [
        output["data"]["text/html"]
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "text/html" in output.get("data", {})
    ]
    cards = ["".join(html) for html in shown if "ws-card" in "".join(html)]
    assert len(cards) == 4  # data, diagnosis, run, predictions
    for card in cards:
        assert not re.search(r"(?i)<script|https?://|src=\"(?!data:)", card)
    assert "data:image/jpeg;base64," in cards[2] or "said" in cards[2]

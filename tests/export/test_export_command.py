"""`warmstart export` in a terminal: the table, the document, the exit codes."""

import json
from pathlib import Path

import pytest

from warmstart.cli.main import run
from warmstart.session.outcome import Run


def command(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        run(["export", *arguments])
    return int(ended.value.code or 0)


def test_an_export_is_shown_as_a_table_or_a_document(tiny: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert command(str(tiny.folder), "--to", "openvino", "--out", str(out)) == 0
    table = capsys.readouterr().out
    assert "openvino fp32, proved on" in table
    assert "largest difference of a probability" in table
    assert "warmstart predict" in table
    assert command(str(tiny.folder), "--to", "openvino", "--out", str(tmp_path / "again"), "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["proven"]
    assert document["file"] == str(tmp_path / "again" / "model.xml")
    assert document["parity"]["limits"]["difference"] == 1e-3
    assert command(str(tiny.folder), "--to", "openvino", "--out", str(out)) == 1
    assert "replaces nothing" in capsys.readouterr().err
    assert command(str(tiny.folder), "--to", "tflite") == 2

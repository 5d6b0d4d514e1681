"""Every format and precision: the file says what the model says, carries what is needed to use it, and is kept only when that is shown."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from export_examples import Exporting

from drawn_shapes import draw_folder, draw_shape
from warmstart.engines import openvino
from warmstart.errors import DataError, ModelFileError, ParityError, UnknownNameError, UsageError
from warmstart.export.formats import FORMATS
from warmstart.runtime.predictor import open_exported
from warmstart.session.outcome import Run
from warmstart.tasks.classify.model import ClassModel
from warmstart.workflows.export import ExportSettings, export
from warmstart.workflows.predict import load, open_trained, predict

HERE = [
    (name, precision)
    for name, spec in FORMATS.items()
    for precision in spec.precisions
    if (name, precision) != ("openvino", "bf16") or "bf16" in openvino.precisions()
]
NEAR = {"fp32": 1e-3, "fp16": 5e-3, "bf16": 0.05, "int8": 0.2}  # of probabilities


@pytest.mark.parametrize(("name", "precision"), HERE)
def test_every_format_and_precision_says_what_the_model_says(exporting: Exporting, name: str, precision: str) -> None:
    result = exporting(name, precision)
    parity = result.parity
    assert parity is not None
    assert result.proven or precision == "int8"
    assert parity.pictures > 0
    assert parity.difference < NEAR[precision]
    written = json.loads((result.folder / "parity.json").read_text("utf-8"))
    assert written["difference"] == parity.difference
    assert {"limits", "worst", "machine", "versions", "accuracy_before", "accuracy_after", "bytes"} <= written.keys()
    assert written["bytes"] == pytest.approx(sum(f.stat().st_size for f in result.folder.iterdir()), rel=0.1)


@pytest.mark.parametrize(
    ("name", "precision"), [("onnx", "fp32"), ("onnx", "int8"), ("openvino", "fp32"), ("openvino", "int8")]
)
def test_the_runtime_answers_as_the_model_does(
    exporting: Exporting, tiny: Run, name: str, precision: str, tmp_path: Path
) -> None:
    model, exported = tiny.model, open_exported(exporting(name, precision).folder)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    sources: list[Any] = [draw_shape("circle", 40 + seed) for seed in range(6)]
    sources.insert(2, broken)
    expected = list(model.predict_each(sources, coverage=0.9, sure=0.6))
    found = list(exported.predict_each(sources, coverage=0.9, sure=0.6))
    assert [type(result) for result in found] == [type(result) for result in expected]
    for ours, theirs in zip(found, expected, strict=True):
        if hasattr(theirs, "message"):
            assert (ours.path, ours.kind) == (theirs.path, theirs.kind)
            continue
        assert ours.source == theirs.source
        assert ours.probabilities == pytest.approx(theirs.probabilities, abs=NEAR[precision])
        assert ours.class_name in ours.classes
        assert (ours.sure.class_name == ours.class_name) == (ours.probability >= 0.6)
    good = [source for source in sources if source is not broken]
    prepared = exported.predict_prepared([exported.prepare(source) for source in good], [str(i) for i in range(6)])
    again = [result.probabilities for result in found if hasattr(result, "probabilities")]
    for one, other in zip(prepared, again, strict=True):
        assert one.probabilities == pytest.approx(other, abs=1e-5)
    assert exported.coverage(0.9) == model.coverage(0.9)


@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_a_file_that_resizes_takes_a_picture_of_any_size(exporting: Exporting, tiny: Run, name: str) -> None:
    result = exporting(name, "fp32", resize_inside=True)
    assert result.proven
    exported = open_exported(result.file)
    for size in ((40, 90), (301, 64), (64, 64)):
        picture = draw_shape("square", 7).resize(size)
        assert exported.prepare(picture).shape == (size[1], size[0], 3)
        found, expected = exported.predict(picture), tiny.model.predict(picture)
        assert found.probabilities == pytest.approx(expected.probabilities, abs=5e-3)


def test_a_file_says_what_it_is(exporting: Exporting, tiny: Run) -> None:
    for name in ("onnx", "openvino"):
        document = open_exported(exporting(name, "fp32").folder).document
        assert document.reading.class_names == tiny.model.class_names
        assert document.preprocessing == tiny.model.preprocessing
        assert document.proven
        everything = document.everything
        assert everything["licence"]
        assert everything["fingerprints"]["weights"] == tiny.model.weights_digest
        assert everything["input"]["shape"] == ["batch", 3, 64, 64]
        assert everything["parity"]["agreement"] == 1.0
        assert "worst" not in everything["parity"]  # names of the user's files
        assert everything["versions"]["warmstart"]


def test_a_torch_export_archive_holds_no_pickle(exporting: Exporting) -> None:
    import zipfile

    with zipfile.ZipFile(exporting("torch-export", "fp32").file) as archive:
        for entry in archive.namelist():
            start = archive.read(entry)[:2]
            assert start != b"\x80\x02", entry
            assert not (start == b"PK" and archive.getinfo(entry).file_size > 400), entry


def test_predict_opens_a_file_and_its_folder(exporting: Exporting, shapes: Path) -> None:
    result = exporting("onnx", "fp32")
    pictures = [str(shapes / "circle")]
    by_file, by_folder = predict(str(result.file), pictures), predict(str(result.folder), pictures)
    assert len(by_file.predictions) == len(by_folder.predictions) == 8
    assert load(result.folder).class_names == ("circle", "square", "stripes")


def test_a_file_beyond_the_limits_is_refused_and_leaves_nothing(
    tiny: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from warmstart.workflows import export as workflow

    honest = workflow.eager_taps

    def another_answer(*arguments: Any, **options: Any) -> Any:
        reference = honest(*arguments, **options)
        return replace(reference, rows=[np.roll(row, 1) for row in reference.rows])

    monkeypatch.setattr(workflow, "eager_taps", another_answer)
    settings = ExportSettings(format="openvino", out=tmp_path / "new" / "out")
    with pytest.raises(
        ParityError, match=r"so it was not kept: .*Of \d pictures the worst: .*(circle|square|stripes).*--force"
    ):
        export(str(tiny.folder), settings)
    assert list((tmp_path / "new").iterdir()) == []
    forced = export(str(tiny.folder), replace(settings, force=True))
    assert not forced.proven
    assert not open_exported(forced.folder).document.proven
    assert json.loads((forced.folder / "parity.json").read_text("utf-8"))["proven"] is False


def test_bad_input_is_named_before_anything_is_computed(
    tiny: Run, exporting: Exporting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = str(tiny.folder)
    with pytest.raises(UnknownNameError, match=r"unknown export format 'onx'.*Did you mean 'onnx'"):
        export(run, ExportSettings(format="onx"))
    with pytest.raises(UnknownNameError, match="unknown precision 'fp8'"):
        export(run, ExportSettings(precision="fp8"))
    with pytest.raises(UsageError, match="--to onnx has no bf16: ONNX Runtime has no bfloat16"):
        export(run, ExportSettings(precision="bf16"))
    with pytest.raises(UsageError, match="--to torch-export has no int8"):
        export(run, ExportSettings(format="torch-export", precision="int8"))
    monkeypatch.setattr(openvino, "precisions", lambda: ("f32",))
    with pytest.raises(UsageError, match="bf16 cannot be proved here: this processor has no bfloat16"):
        export(run, ExportSettings(format="openvino", precision="bf16"))
    full = tmp_path / "full"
    full.mkdir()
    (full / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="holds 1 entries already, and an export replaces nothing"):
        export(run, ExportSettings(out=full))
    with pytest.raises(ModelFileError, match="is an exported file, which predicts and can do nothing else"):
        export(str(exporting("onnx", "fp32").file), ExportSettings(out=tmp_path / "x"))


def test_a_model_without_pictures_is_proved_on_given_ones_or_forced(tiny: Run, shapes: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    shutil.copytree(tiny.folder / "model", alone)
    settings = ExportSettings(format="openvino", out=tmp_path / "out")
    with pytest.raises(ParityError, match=r"no picture to prove the export on .*--pictures.*--force"):
        export(str(alone), settings)
    with pytest.raises(DataError, match=r"int8 needs pictures that the model learnt from, but there is no run.json"):
        export(str(alone), replace(settings, precision="int8", force=True))
    fresh = draw_folder(tmp_path / "fresh", 2, first_seed=100)
    mixed = export(str(alone), replace(settings, pictures=str(fresh)))
    assert (mixed.proven, mixed.parity and mixed.parity.pictures) == (True, 6)
    learnt = len(open_trained(str(alone)).about["trained_on"])
    partly = export(str(alone), replace(settings, pictures=str(shapes), out=tmp_path / "partly"))
    assert partly.parity is not None
    assert partly.parity.pictures == 24 - learnt
    assert f"{learnt} of the pictures are among those that the model learnt from" in partly.notes[0]
    unlabelled = export(str(alone), replace(settings, pictures=str(fresh / "circle" / "100.png"), out=tmp_path / "one"))
    assert unlabelled.parity is not None
    assert unlabelled.parity.accuracy_before is None
    blind = export(str(alone), replace(settings, force=True, out=tmp_path / "blind"))
    assert (blind.proven, blind.parity) == (False, None)


def test_damaged_and_foreign_files_are_named(exporting: Exporting, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    whole = exporting("onnx", "fp32").file
    cut = tmp_path / "model.onnx"
    cut.write_bytes(whole.read_bytes()[:5000])
    with pytest.raises(ModelFileError, match=r"cannot be opened .*damaged or incomplete"):
        open_exported(cut)
    foreign = onnx.load(whole)
    del foreign.metadata_props[:]
    onnx.save(foreign, cut)
    with pytest.raises(ModelFileError, match="not written by `warmstart export`"):
        open_exported(cut)
    entry = foreign.metadata_props.add()
    entry.key, entry.value = "warmstart", '{"format_version": 1}'
    onnx.save(foreign, cut)
    with pytest.raises(ModelFileError, match="lacks or misuses 'preprocessing'"):
        open_exported(cut)
    entry.value = '{"format_version": 99}'
    foreign.metadata_props[0].value = entry.value
    onnx.save(foreign, cut)
    with pytest.raises(ModelFileError, match="format version 99, this warmstart reads up to 1"):
        open_exported(cut)
    xml = tmp_path / "model.xml"
    xml.write_text("<net/>")
    with pytest.raises(ModelFileError, match="damaged or incomplete"):
        open_exported(xml)
    with pytest.raises(ModelFileError, match="is no exported model"):
        open_exported(tmp_path / "nothing")
    with pytest.raises(UsageError, match="is not read by the runtime"):
        open_exported(exporting("torch-export", "fp32").file)


def test_an_exported_model_can_be_asked_for_what_model_can(exporting: Exporting) -> None:
    exported = open_exported(exporting("openvino", "fp32").folder)
    shared = {"predict", "predict_each", "decide", "set_limit", "coverage"}
    assert shared <= set(dir(exported)) & set(dir(ClassModel))

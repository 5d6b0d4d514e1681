"""Every JSON file that is read may be anybody's: bounded in size and depth, each key once, each number one."""

import json
import os
import sys
from pathlib import Path

import pytest

from warmstart.errors import InputError, UsageError
from warmstart.records import DEEPEST_JSON, from_json, read_json
from warmstart.session.run_folder import read_plan, read_start
from warmstart.tasks.classify.compare import resume
from warmstart.tasks.classify.report.run_files import read_run

BAD = {
    "deep lists": ("[" * 100_000, "deep"),
    "deep objects": ('{"a":' * 100_000, "deep"),
    "deep and closed": ("[" * (DEEPEST_JSON + 1) + "]" * (DEEPEST_JSON + 1), "deep"),
    "a key twice": ('{"cut": "stem", "cut": "pooled"}', "'cut' stands in it twice"),
    "a key twice, inside": ('{"a": [{"b": 1, "b": 1}]}', "'b' stands in it twice"),
    "NaN": ('{"seed": NaN}', "NaN"),
    "Infinity": ("[Infinity]", "Infinity"),
    "a float too large": ("[1e999]", "too large"),
    "a whole number too large": ("[" + "9" * 5000 + "]", "too large"),
    "a quote that does not end": ('{"a": "' + '\\"' * 200_000, "Unterminated"),
    "no JSON": ("cut: stem", "Expecting value"),
    "nothing": ("", "Expecting value"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_document_that_could_do_harm_is_refused_in_words(name: str) -> None:
    text, why = BAD[name]
    with pytest.raises(ValueError, match=why):
        from_json(text)


@pytest.mark.parametrize(
    "document",
    [
        {"a": [1, -1.5, 1e-300, 2**63, "]]]]", '"{', "\\", None, True, {"é": "\u2028"}]},
        json.loads("[" * DEEPEST_JSON + "]" * DEEPEST_JSON),
        "".join(map(chr, range(0x2FF))),
        [],
    ],
)
def test_whatever_json_writes_is_read_as_json_reads_it(document: object) -> None:
    for text in (json.dumps(document), json.dumps(document, ensure_ascii=False, indent=2)):
        assert from_json(text) == json.loads(text) == document


def test_depth_is_counted_whatever_stands_on_the_stack() -> None:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(150)
    try:
        assert from_json("[" * DEEPEST_JSON + "]" * DEEPEST_JSON)
        with pytest.raises(ValueError, match="deep"):
            from_json("[" * 100_000)
    finally:
        sys.setrecursionlimit(before)


def test_a_file_is_read_to_a_limit_with_or_without_a_mark_at_its_start(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(b"\xef\xbb\xbf[1]")
    assert read_json(path) == [1]
    path.write_bytes(b'["\xff"]')
    assert read_json(path, errors="surrogateescape") == ["\udcff"]
    with pytest.raises(ValueError, match="utf-8"):
        read_json(path)
    with path.open("wb") as file:
        file.truncate(2**40)  # a hole
    with pytest.raises(ValueError, match="longer than 64,000,000 bytes"):
        read_json(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), Path("/dev/null")):
        with pytest.raises(ValueError, match="device or a pipe"):
            read_json(path)
    with pytest.raises(OSError, match="directory"):
        read_json(tmp_path)
    with pytest.raises(UsageError, match=r"is a pipe or device, expected a file"):
        read_plan(tmp_path / "pipe")


@pytest.mark.parametrize("name", BAD)
def test_plans_and_records_of_runs_go_through_the_same_reader(tmp_path: Path, name: str) -> None:
    for file in ("plan.json", "run.json", "start.json"):
        (tmp_path / file).write_text(BAD[name][0], "utf-8")
    with pytest.raises(UsageError, match=r"plan\.json is no JSON document"):
        read_plan(tmp_path)
    with pytest.raises(InputError, match=r"run\.json is not the record of a run"):
        read_run(tmp_path)
    for read in (read_start, resume):
        with pytest.raises(InputError, match=r"start\.json cannot be read"):
            read(tmp_path)


@pytest.mark.parametrize("text", ["[]", "3", "null", '"x"', "{}", '{"data": 3, "plan": 4, "plans": 5, "exclude": 6}'])
def test_a_start_that_is_another_document_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "start.json").write_text(text, "utf-8")
    for read in (read_start, resume):
        with pytest.raises(InputError, match=r"start\.json cannot be read"):
            read(tmp_path)

"""history.csv, written while training and read back."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from warmstart.report.run_record import HistoryRow
from warmstart.session.history import History, read_history

NUMBERS = st.floats(0, 1e4).map(lambda value: round(value, 2))


@given(
    rows=st.lists(
        st.builds(
            HistoryRow,
            cut=st.sampled_from(["stage5", "pixels"]),
            epoch=st.integers(0, 99),
            step=st.integers(0, 10**6),
            train_loss=st.none() | NUMBERS,
            val_loss=NUMBERS,
            val=st.fixed_dictionaries({"calibrated_loss": NUMBERS, "accuracy": NUMBERS}),
            best=st.booleans(),
            learning_rate=st.sampled_from([0.0, 3e-4, 1e-5]),
            seconds=NUMBERS,
            elapsed_seconds=NUMBERS,
        ),
        max_size=4,
    )
)
def test_what_is_written_is_read_back_also_over_several_sittings(rows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    for row in rows:
        History(folder, read_history(folder)).write(row)
    assert read_history(folder) == tuple(rows)


def test_a_run_that_trained_nothing_has_no_history(tmp_path: Path):
    assert read_history(tmp_path) == ()


def test_a_row_is_in_the_file_as_soon_as_it_is_written(tmp_path: Path):
    row = HistoryRow(
        cut="stage5", epoch=0, step=0, train_loss=None, val_loss=0.5, val={"calibrated_loss": 0.4, "accuracy": 0.75}, best=True,
        learning_rate=0.0, seconds=1.0, elapsed_seconds=2.0,
    )  # fmt: skip
    History(tmp_path).write(row)
    assert read_history(tmp_path) == (row,)
    with (tmp_path / "history.csv").open("a") as file:  # as an older version left it that was killed in mid-write
        file.write("stage5,1,4,0.3")
    assert read_history(tmp_path) == (row,)

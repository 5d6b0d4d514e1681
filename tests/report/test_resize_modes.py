"""The table of ways to show elongated pictures: in a terminal, in a report, and on the server's page of a run."""

from warmstart.plan import Plan
from warmstart.report.resize_modes import modes_grid
from warmstart.report.shown import Grid
from warmstart.serve.pages import page
from warmstart.strategy.resize import Mode, ResizeChoice

CHOICE = ResizeChoice(
    mode="pad",
    seen_median=0.19,
    pictures=400,
    loss="log-loss",
    modes=(
        Mode(mode="crop", loss=0.7, gain=0.0, gain_interval=(0.0, 0.0), accuracy=0.5),
        Mode(mode="pad", loss=0.2, gain=0.5, gain_interval=(0.4, 0.6), accuracy=0.9),
    ),
)


def test_a_row_a_mode_with_the_difference_to_the_crop_and_the_one_that_was_taken_marked() -> None:
    grid = modes_grid(CHOICE)
    assert grid.columns == ("resize", "accuracy", "log-loss", "less than crop (interval)")
    assert grid.rows == (("crop", "0.500", "0.700", ""), ("pad ← taken", "0.900", "0.200", "+0.500 (+0.400 to +0.600)"))


def test_the_page_of_a_run_shows_the_mode_beside_the_plan_and_why() -> None:
    run = {"id": "r", "state": "done", "scores": {"val": None, "test": {"n": 9}}, "seconds": 9.0, "said": []}
    run |= {"dataset": "d", "dataset_name": "d", "model": "", "message": "", "report": ""}
    rest = {"title": "r", "run": run, "active": False, "keeps_best": False, "verdict": "", "export": None}
    plan = Plan(resize="pad", image_size_px=64).to_dict()

    def html(modes: Grid | None) -> str:
        said = CHOICE.in_words() if modes else ""
        return bytes(page("run.html", **rest, plan=plan, modes=modes, resize=said).body).decode()

    shown = html(modes_grid(CHOICE))
    assert "64 px, pad</dd>" in shown
    assert (
        "<p>The centre crop shows 19 % of the median picture, so it was held against pad on 400 train pictures: pad is best"
        in shown
    )
    assert "pad ← taken" in shown
    assert "64 px</dd>" in html(None)
    assert "taken" not in html(None)

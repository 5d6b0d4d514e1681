"""`kill -9` of a server while it trains: the next one finds the job, resumes it and serves the model."""

import time
from collections.abc import Iterator, Sequence

from fault_trials.server import Server, zipped
from fault_trials.trial import Outcome, Place

PLAN = {"image_size_px": 64, "cut": "stage7", "taps": "last", "batch_size": 8, "training": {"epochs": 6}}
ENDED = ("done", "failed", "cancelled")
LONGEST_S = 300


def server_trials(place: Place, scenario: str, numbers: Sequence[int]) -> Iterator[Outcome]:
    """One kill a number, up to ten seconds after the job was asked for."""
    archive = zipped(place.shapes)
    for number in numbers:
        home = place.new(f"home-{number}")
        with Server(place, home) as server:
            sent = server.client.post("/api/datasets", content=archive, headers={"Content-Type": "application/zip"}, timeout=60)
            run = server.client.post("/api/runs", json={"dataset": sent.json()["id"], "plan": PLAN, "name": "job"}).json()["id"]
            time.sleep(10 * place.random(scenario, number).random())
            server.stop()
            with server:
                end = time.monotonic() + LONGEST_S
                while (state := server.client.get(f"/api/runs/{run}").json())["state"] not in ENDED and time.monotonic() < end:
                    time.sleep(0.2)
                epochs = (
                    server.client.get(f"/api/runs/{run}/record").json()["training"]["epochs"]
                    if state["state"] == "done"
                    else []
                )
                others = [r["id"] for r in server.client.get("/api/runs").json()["runs"]]
                told = server.stop()
        wrong = "" if state["state"] == "done" else f"the job is {state['state']}: {state['message']}"
        wrong = wrong or (
            "" if [row["epoch"] for row in epochs] == list(range(7)) else f"epochs {[row['epoch'] for row in epochs]}"
        )
        wrong = (
            wrong
            or ("" if others == [run] else f"runs {others}")
            or ("a traceback: " + told[-500:] if "Traceback" in told else "")
        )
        yield Outcome(
            scenario=scenario,
            number=number,
            seed=place.seed,
            held=not wrong,
            end=f"done, attempt {state.get('attempts')}",
            detail=wrong,
        )

"""The page of a data set and its API say what its pictures lose, before and after the doctor has looked, without a path of the server."""

import io
import zipfile
from collections.abc import Callable
from typing import Any

from fastapi.testclient import TestClient
from PIL import Image

from drawn_shapes import CLASSES, draw_shape


def strips() -> bytes:
    """A zip of three classes of strips, 400 × 80."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        for class_name in CLASSES:
            for seed in range(4):
                strip, content = Image.new("RGB", (400, 80)), io.BytesIO()
                strip.paste(draw_shape(class_name, seed).resize((80, 80)), (320 * (seed % 2), 0))
                strip.save(content, "PNG")
                file.writestr(f"strips/{class_name}/{seed}.png", content.getvalue())
    return packed.getvalue()


def test_a_data_set_says_what_the_crop_cuts_off(
    serve: Callable[..., TestClient], wait: Callable[[Callable[[], Any]], Any]
) -> None:
    client = serve()
    made = client.post("/api/datasets", files={"file": ("strips.zip", strips(), "application/zip")})
    assert made.status_code == 201, made.text
    address = f"/api/datasets/{made.json()['id']}"
    about = client.get(address).json()
    assert about["seen"] == {"resize": "crop", "pictures": 12, "median": 0.1531, "worst_tenth": 0.1531}
    (notice,) = about["notices"]
    assert (notice["kind"], notice["pictures"]) == ("cropped", 12)
    assert "15 % of the median picture" in notice["message"]
    assert not any(path.startswith("/") for path in notice["paths"])
    assert "15 % of the median picture" in client.get(f"/datasets/{made.json()['id']}").text

    client.post(f"{address}/doctor", json={"plan": {"image_size_px": 64}})
    result = wait(lambda: client.get(f"{address}/doctor").json()["result"])
    assert [notice["kind"] for notice in result["notices"]] == ["cropped", "one-colour"]
    for notice in result["notices"]:
        assert not any(path.startswith("/") for path in notice["paths"])
        assert "/tmp" not in notice["message"]
    page = client.get(f"/datasets/{made.json()['id']}").text
    assert page.count("15 % of the median picture") == 1
    assert "reach the network as (almost) one colour" in page

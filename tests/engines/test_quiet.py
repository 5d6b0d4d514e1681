"""Engines speak to nobody: no socket, nothing in the user's home."""

import os
import subprocess
import sys
from pathlib import Path

from patience import PATIENCE_S

CONVERT_AND_RUN = """
import sys

def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        print("NETWORK", event, arguments[1:], file=sys.stderr)
        raise SystemExit(9)

sys.addaudithook(watch)
{first}
from pathlib import Path
import numpy as np, torch
from warmstart.engines import openvino

class Whole(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(12, 2)
    def forward(self, pixels):
        return self.linear(pixels.float().flatten(1))

openvino.save(openvino.converted(Whole().eval(), 2), Path(sys.argv[1]), half=False)
engine = openvino.OpenVinoEngine(Path(sys.argv[1]), precision="f32")
print(len(list(engine.map([(0, np.zeros((4, 3, 2, 2), np.uint8))]))))
"""


def run(home: Path, first: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k not in ("CI", "GITHUB_ACTIONS", "JENKINS_URL")} | {
        "HOME": str(home)
    }
    command = [sys.executable, "-W", "ignore", "-c", CONVERT_AND_RUN.replace("{first}", first), str(home / "graph.xml")]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def test_converting_and_running_opens_no_socket_and_writes_nothing_under_home(tmp_path: Path) -> None:
    result = run(tmp_path, first="")
    assert result.stdout.strip() == "1", result.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["graph.bin", "graph.xml"]


def test_the_hook_of_this_test_sees_what_openvino_does_by_itself(tmp_path: Path) -> None:
    run(tmp_path, first="import openvino")
    assert (tmp_path / "intel").exists(), "OpenVINO no longer writes its client id on import: import_openvino can go"

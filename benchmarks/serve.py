"""Requests a second and how long they take: our server with and without batching, and a plain FastAPI + eager PyTorch endpoint.

    python benchmarks/serve.py PICTURES [--model RUN] [--int8 EXPORT] [--clients 1,8,64] [--seconds 8] [--rounds 2]
    python benchmarks/serve.py PICTURES --memory [--requests 20000] [--model RUN]

All serve the same model, EfficientNet-Lite0 with its 1,000 ImageNet classes if no run is named; --int8 adds our server with that run's int8
export. A request is a form with one picture file, the answer its five most probable classes. Rounds of the servers are interleaved.
Servers and the load generator (a bare HTTP client with keep-alive) are processes of their own on the same machine, so the generator takes
a little of the processor from each alike.

The plain endpoint does what its documentation shows: a function in FastAPI's thread pool, torchvision's transforms, the module in eager
float32 under torch.inference_mode, warmed up. Memory layout, threads and how many run at once are first tried out at the
largest number of clients, and the best is what is compared.

--memory: resident memory of our server after 1,000 requests and after all of them.
"""

import argparse
import asyncio
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from warmstart import machine

BOUNDARY = b"warmstart-benchmark"
# (memory layout, threads of PyTorch with 0 its default, requests at once with 0 as many as cores)
CONFIGURATIONS = [("contiguous", 0, 40), ("contiguous", 1, 0), ("channels-last", 0, 40), ("channels-last", 1, 0)]


def plain_endpoint(port: int, model: str, layout: str, threads: int, at_once: int) -> None:
    """The server that most people write. threads: of PyTorch, 0 its default. at_once: requests, 0: as many as cores."""
    import io
    import threading

    import torch
    import uvicorn
    from fastapi import FastAPI, UploadFile
    from PIL import Image
    from torchvision import transforms

    from warmstart.data.views import needed_shorter_side_px
    from warmstart.export.graph import whole_model
    from warmstart.workflows.predict import open_trained

    if threads:
        torch.set_num_threads(threads)
    trained = open_trained(model)
    memory = torch.channels_last if layout == "channels-last" else torch.contiguous_format
    network = whole_model(trained, resize_inside=False).eval().to(memory_format=memory)
    side = trained.preprocessing.size_px
    shorter = needed_shorter_side_px(side, trained.preprocessing.resize)
    resize = transforms.Resize(shorter, transforms.InterpolationMode.BICUBIC)
    transform = transforms.Compose([resize, transforms.CenterCrop(side), transforms.PILToTensor()])
    names = trained.class_names
    turn = threading.Semaphore(at_once or machine.cores())
    app = FastAPI()

    @app.post("/predict")
    def predict(file: UploadFile) -> dict[str, Any]:
        picture = transform(Image.open(io.BytesIO(file.file.read())).convert("RGB"))
        with turn, torch.inference_mode():
            shares = network(picture[None].to(memory_format=memory))[0][0]
        best = shares.topk(5)
        return {"predictions": [[names[i], p] for p, i in zip(best.values.tolist(), best.indices.tolist(), strict=True)]}

    with torch.inference_mode():
        network(torch.zeros(1, 3, side, side, dtype=torch.uint8).to(memory_format=memory))
    uvicorn.run(app, port=port, log_level="error")


async def load(port: int, path: str, bodies: list[bytes], clients: int, seconds: float, requests: int) -> dict[str, Any]:
    """So many clients, each sending its next request when it has the answer to the last; for so long, or so many requests."""
    times: list[float] = []
    failed = sent = 0
    kinds: dict[int, int] = {}
    messages = [
        b"POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: multipart/form-data; boundary=%s\r\nContent-Length: %d\r\n\r\n%s"
        % (path.encode(), port, BOUNDARY, len(body), body)
        for body in bodies
    ]
    end = time.perf_counter() + seconds

    async def client(number: int) -> None:
        nonlocal failed, sent
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (requests and sent < requests) or (not requests and time.perf_counter() < end):
            sent += 1
            begin = time.perf_counter()
            writer.write(messages[(number + sent) % len(messages)])
            head = await reader.readuntil(b"\r\n\r\n")
            status = int(head[9:12])
            length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
            await reader.readexactly(length)
            times.append(time.perf_counter() - begin)
            kinds[status] = kinds.get(status, 0) + 1
            failed += status != 200
        writer.close()

    begin = time.perf_counter()
    results = await asyncio.gather(*map(client, range(clients)), return_exceptions=True)
    failed += sum(isinstance(result, BaseException) for result in results)
    took = time.perf_counter() - begin
    ordered = sorted(times)
    return {
        "requests": len(times),
        "per_second": len(times) / took,
        "p50_ms": 1000 * ordered[len(ordered) // 2],
        "p99_ms": 1000 * ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))],
        "failed": failed,
        "statuses": kinds,
    }


def measured(port: int, path: str, pictures: Path, clients: int, *, seconds: float = 0, requests: int = 0) -> dict[str, Any]:
    """`load` in a process of its own."""
    command = [sys.executable, __file__, str(pictures), "--load", json.dumps([port, path, clients, seconds, requests])]
    return dict(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def bodies_of(pictures: Path, most: int = 64) -> list[bytes]:
    """Forms with one file each."""
    files = sorted(path for path in pictures.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    step = max(1, len(files) // most)
    return [
        b'--%s\r\nContent-Disposition: form-data; name="file"; filename="%s"\r\nContent-Type: image/jpeg\r\n\r\n%s\r\n--%s--\r\n'
        % (BOUNDARY, path.name.encode(), path.read_bytes(), BOUNDARY)
        for path in files[::step][:most]
    ]


@contextmanager
def running(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A server in a process of its own, ended afterwards."""
    process = subprocess.Popen([sys.executable, *command], stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(40)


def wait_for(port: int) -> None:
    """Until it listens."""
    for _ in range(3000):
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise SystemExit(f"nothing listens on {port}")


def free_port() -> int:
    """One that nobody uses at the moment."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def ours(port: int, home: str, model: str, *more: str) -> list[str]:
    """The command line of our server."""
    code = "from warmstart.cli.main import run; run()"
    return ["-c", code, "serve", model, "--home", home, "--port", str(port), *more]


def best_plain(pictures: Path, model: str, clients: int, seconds: float, console: Console) -> tuple[str, int, int]:
    """The configuration of the plain endpoint that answers most."""
    found = {}
    for configuration in CONFIGURATIONS:
        port = free_port()
        with running([__file__, str(pictures), "--plain", json.dumps([port, model, *configuration])]):
            wait_for(port)
            measured(port, "/predict", pictures, clients, seconds=1)
            found[configuration] = measured(port, "/predict", pictures, clients, seconds=seconds)["per_second"]
        layout, threads, at_once = configuration
        console.print(
            f"plain, {layout}, {threads or 'default'} threads, {at_once or 'cores'} at once: {found[configuration]:.1f} requests/s"
        )
    return max(found, key=lambda c: found[c])


def speed(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """The table."""
    clients = [int(text) for text in options.clients.split(",")]
    best = best_plain(options.pictures, options.model, max(clients), options.seconds / 2, console)
    rows: dict[tuple[str, int], list[dict[str, Any]]] = {}
    model, path = f"model={options.model}", "/api/models/model/predict?top=5"
    with tempfile.TemporaryDirectory() as temporary:
        ports = [free_port() for _ in range(4)]
        commands = {
            "batched": ours(ports[0], f"{temporary}/a", model),
            "one by one": ours(ports[1], f"{temporary}/b", model, "--batch", "1"),
            "plain": [__file__, str(options.pictures), "--plain", json.dumps([ports[2], options.model, *best])],
        }
        if options.int8:
            commands["batched, int8"] = ours(ports[3], f"{temporary}/c", f"model={options.int8}")
        servers = {name: (port, "/predict" if name == "plain" else path) for name, port in zip(commands, ports, strict=False)}
        with ExitStack() as stack:
            pids = {}
            for name, command in commands.items():  # one after the other: the first to come converts the graph
                pids[name] = stack.enter_context(running(command)).pid
                wait_for(servers[name][0])
            for port, where in servers.values():
                measured(port, where, options.pictures, max(clients), seconds=2)
            for _ in range(options.rounds):
                for count in clients:
                    for name, (port, where) in servers.items():
                        before = processor_seconds(pids[name])
                        result = measured(port, where, options.pictures, count, seconds=options.seconds)
                        cpu_ms = 1000 * (processor_seconds(pids[name]) - before) / result["requests"]
                        rows.setdefault((name, count), []).append({**result, "cpu_ms": cpu_ms, "load": os.getloadavg()[0]})
    table = Table(title=f"{machine.cores()} cores; {options.rounds} rounds of {options.seconds:g} s, medians")
    for column in ("clients", "server", "requests/s", "p50 ms", "p99 ms", "CPU ms", "failed", "× plain", "load average"):
        table.add_column(column, justify="left" if column == "server" else "right")
    summary = []
    for count in clients:
        plain = statistics.median(r["per_second"] for r in rows["plain", count])
        for name in commands:
            runs = rows[name, count]
            middle = {
                key: statistics.median(r[key] for r in runs) for key in ("per_second", "p50_ms", "p99_ms", "cpu_ms", "load")
            }
            failed = sum(r["failed"] for r in runs)
            summary.append(
                {"clients": count, "server": name, **middle, "failed": failed, "times_plain": middle["per_second"] / plain}
            )
            cells = (
                count,
                name,
                f"{middle['per_second']:.1f}",
                f"{middle['p50_ms']:.0f}",
                f"{middle['p99_ms']:.0f}",
                f"{middle['cpu_ms']:.1f}",
                failed,
            )
            table.add_row(*map(str, cells), f"{middle['per_second'] / plain:.2f}", f"{middle['load']:.1f}")
    console.print(table)
    return {"plain": best, "rows": summary, "machine": machine.describe()}


def memory(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Resident memory before and after."""
    with tempfile.TemporaryDirectory() as temporary:
        port = free_port()
        with running(ours(port, temporary, f"model={options.model}")) as server:
            wait_for(port)
            path = "/api/models/model/predict?top=5"
            begin = time.perf_counter()
            points, failed = [], 0
            for requests in (1000, *[options.requests // 10 - 100] * 10):
                failed += measured(port, path, options.pictures, 16, requests=requests)["failed"]
                points.append(resident_bytes(server.pid))
            seconds = time.perf_counter() - begin
    console.print("resident MB after 1,000 requests and then after every tenth: " + ", ".join(f"{p / 1e6:.1f}" for p in points))
    console.print(f"{options.requests:,} requests, {failed} failed, {seconds:.0f} s, load average {os.getloadavg()[0]:.1f}")
    return {"resident_bytes": points, "requests": options.requests, "failed": failed, "seconds": seconds}


def processor_seconds(pid: int) -> float:
    """That a process has used (Linux): on a machine with other work a fairer measure than requests a second."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """Of a process (Linux)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """One of the two, or a part of it in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--clients", default="1,8,64")
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument(
        "--model", default="imagenet:efficientnet_lite0", help="a run; for --memory one with a small input is quicker"
    )
    parser.add_argument("--int8", help="the folder of its int8 export, served beside it")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plain", type=json.loads, help=argparse.SUPPRESS)
    parser.add_argument("--load", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.plain:
        plain_endpoint(*options.plain)
        return
    if options.load:
        port, path, clients, seconds, requests = options.load
        print(json.dumps(asyncio.run(load(port, path, bodies_of(options.pictures), clients, seconds, requests))))
        return
    console = Console(width=120)
    result = memory(options, console) if options.memory else speed(options, console)
    if options.json:
        options.json.write_text(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()

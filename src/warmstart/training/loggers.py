"""What the training loop tells, written where other tools read it. Each is called with an event and closed at the end.

csv          FOLDER/steps.csv, a line a step; evaluations on val are in history.csv anyway
tensorboard  FOLDER/tensorboard, for `tensorboard --logdir runs`
mlflow       the run that is active in this process, or one of its own
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, cast

from warmstart.errors import UsageError
from warmstart.training.events import Epoch, Event, Step

COLUMNS = ("step", "epoch", "loss", "learning_rate", "images_per_second")


class Logger(Protocol):
    """A context manager that is told every event."""

    def __call__(self, event: Event) -> None:
        """Write it down."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


@contextmanager
def opened(names: Sequence[str], folder: Path) -> Iterator[Sequence[Logger]]:
    """Those of these names, for the run in ``folder``. Raises UsageError for one whose library is not installed."""
    with ExitStack() as stack:
        yield [stack.enter_context(LOGGERS[name](folder)) for name in names]


class _Closed:
    """Closed however the block ends."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of files."""


class CsvLogger(_Closed):
    """See the top. A run that is resumed goes on with the file."""

    def __init__(self, folder: Path) -> None:
        path = folder / "steps.csv"
        begins = not path.is_file()
        self._file = path.open("a", encoding="utf-8", newline="")
        if begins:
            self._file.write(",".join(COLUMNS) + "\n")

    def __call__(self, event: Event) -> None:
        """A line for a step."""
        if isinstance(event, Step):
            self._file.write(",".join(f"{getattr(event, name):.8g}" for name in COLUMNS) + "\n")
            self._file.flush()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


class TensorBoardLogger(_Closed):
    """See the top."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as reason:
            raise UsageError(
                "the logger 'tensorboard' needs TensorBoard, which is not installed: pip install tensorboard"
            ) from reason
        self._writer: Any = cast(Any, SummaryWriter)(str(folder / "tensorboard"))
        self._step = 0

    def __call__(self, event: Event) -> None:
        """Loss and rate of each step; what was measured on val after each epoch."""
        if isinstance(event, Step):
            self._step = event.step
        for name, value in _numbers(event).items():
            self._writer.add_scalar(name, value, self._step)

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()


class MlflowLogger(_Closed):
    """See the top. What a run is sent to is MLflow's to say: by default a folder here."""

    def __init__(self, folder: Path) -> None:
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # it would tell its makers; nothing here does
        try:
            import mlflow
        except ImportError as reason:
            raise UsageError("the logger 'mlflow' needs MLflow, which is not installed: pip install mlflow-skinny") from reason
        self._mlflow: Any = mlflow
        self._own = mlflow.active_run() is None
        if self._own:
            mlflow.start_run(run_name=folder.name)
        self._step = 0

    def __call__(self, event: Event) -> None:
        """As for TensorBoard."""
        if isinstance(event, Step):
            self._step = event.step
        if numbers := _numbers(event):
            self._mlflow.log_metrics({name.replace("/", "_"): value for name, value in numbers.items()}, step=self._step)

    def close(self) -> None:
        """End the run, if it was begun here."""
        if self._own:
            self._mlflow.end_run()


def _numbers(event: Event) -> dict[str, float]:
    if isinstance(event, Step):
        return {"train/loss": event.loss, "train/learning_rate": event.learning_rate}
    if isinstance(event, Epoch):
        named = {f"val/{name}": value for name, value in event.val.named.items()}
        return {"val/loss": event.val.loss, **named}
    return {}


LOGGERS: Mapping[str, Callable[[Path], Logger]] = {
    "csv": CsvLogger,
    "tensorboard": TensorBoardLogger,
    "mlflow": MlflowLogger,
}

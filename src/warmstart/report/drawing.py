"""Matplotlib, from the one place that imports it: its list of fonts goes into our cache folder, and not into the user's.

It looks for a folder of its own when it is imported, and keeps to it. A folder that the user named (MPLCONFIGDIR) stands.
"""

import os

from warmstart import machine

_NAMED = "MPLCONFIGDIR" in os.environ
if not _NAMED:
    os.environ["MPLCONFIGDIR"] = str(machine.cache_folder() / "matplotlib")

import matplotlib.style as style  # noqa: E402 - the folder comes first
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: E402
from matplotlib.colors import ListedColormap  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.lines import Line2D  # noqa: E402
from matplotlib.patches import Rectangle  # noqa: E402
from matplotlib.ticker import FuncFormatter, MaxNLocator  # noqa: E402
from matplotlib.typing import LineStyleType  # noqa: E402

if not _NAMED:
    del os.environ["MPLCONFIGDIR"]  # what is started from here has its own

__all__ = [
    "Axes",
    "Figure",
    "FigureCanvasAgg",
    "FuncFormatter",
    "Line2D",
    "LineStyleType",
    "ListedColormap",
    "MaxNLocator",
    "Rectangle",
    "style",
]

"""The picture of scripts/speedrun.py: what each row reaches in how many seconds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib.pyplot as plt


def draw_curves(of_rows: Mapping[str, Mapping[float, float]], device: str, path: Path) -> None:
    """Draw the excess Fréchet distance of each row over the seconds of its fit, as a PNG file.

    of_rows  deviations of the floor by row and seconds
    device   what the seconds are of
    """
    figure, axes = plt.subplots(figsize=(7, 4.2), dpi=110, layout="constrained")
    for name, of_times in of_rows.items():
        axes.plot(list(of_times), list(of_times.values()), marker="o", label=name)
    axes.axhline(1, color="0.5", linestyle=":", label="one deviation of the floor")
    axes.set(xscale="log", xlabel=f"seconds of {device} for the fit")
    # Linear between -1 and 1, so that what reaches the floor is in the picture.
    axes.set_yscale("symlog", linthresh=1)
    values = [value for of_times in of_rows.values() for value in of_times.values()]
    axes.set_ylim(1.5 * min(-1.0, *values), 2 * max(1.0, *values))
    axes.set_ylabel("excess Fréchet distance, in deviations of its floor")
    times = sorted({seconds for of_times in of_rows.values() for seconds in of_times})
    axes.set_xticks(times, [f"{seconds:g}" for seconds in times])
    axes.minorticks_off()
    axes.legend(fontsize=8)
    figure.savefig(path)
    plt.close(figure)

"""A video of the pictures of all generations, where the program ffmpeg is installed."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

PATIENCE = 60.0
"""Seconds that ffmpeg may take."""


def video(frames: Sequence[Image.Image], seconds: float) -> bytes | None:
    """Return an MP4 of RGB pictures of one size, each shown for so many seconds; H.264, lossy.

    None where ffmpeg is not installed, or was built without what this takes.
    """
    program = shutil.which("ffmpeg")
    if program is None:
        return None

    size = frames[0].size
    pixels = b"".join(frame.tobytes() for frame in frames if frame.size == size)
    with tempfile.TemporaryDirectory() as folder:
        # The index of an MP4 is written at its beginning in the end, so not to a pipe.
        target = Path(folder) / "grid.mp4"
        command = [program, *_options(size, 1 / seconds), str(target)]
        try:
            done = subprocess.run(command, input=pixels, capture_output=True, timeout=PATIENCE)
        except (OSError, subprocess.TimeoutExpired):
            return None
        if done.returncode or not target.is_file():
            return None
        return target.read_bytes()


def _options(size: tuple[int, int], rate: float) -> list[str]:
    """Return what ffmpeg is told: raw RGB in, a video that all players show out."""
    width, height = size
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{rate:.4f}"]
    # Players expect colours at half the resolution, and so an even number of pixels; the same
    # pictures give the same bytes.
    even = ["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-pix_fmt", "yuv420p", "-c:v", "libx264"]
    same = ["-threads", "1", "-fflags", "+bitexact", "-flags:v", "+bitexact", "-map_metadata", "-1"]
    return ["-v", "error", "-y", *raw, "-i", "-", *even, *same, "-movflags", "+faststart"]

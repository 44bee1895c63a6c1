"""Formats of image files: which are read, by what suffixes, and which have no reader here."""

from __future__ import annotations

from pathlib import Path

from PIL import features

ALWAYS = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "QOI": (".qoi",),
    "AVIF": (".avif",),
    "JPEG2000": (".jp2", ".j2k", ".jpc", ".jpf", ".jpx", ".j2c"),
}
"""Formats whose first bytes say what they are, with their suffixes."""

BY_SUFFIX = {
    "DIB": (".dib",),
    "TGA": (".tga",),
    "PCX": (".pcx",),
    "SGI": (".sgi", ".rgb", ".rgba", ".bw"),
    "SUN": (".ras",),
    "ICO": (".ico",),
    "ICNS": (".icns",),
    "DDS": (".dds",),
    "PSD": (".psd",),
    "MSP": (".msp",),
    "XBM": (".xbm",),
    "XPM": (".xpm",),
}
"""Formats that are tried only on files of their suffixes: other files may look like them."""

OPTIONAL = {"WEBP": "webp", "AVIF": "avif", "JPEG2000": "jpg_2000"}
"""What Pillow must have been built with to read a format."""

WITHOUT_READER = frozenset(
    {
        *(".heic", ".heif", ".hif", ".jxl", ".svg", ".svgz", ".eps", ".ps", ".pdf", ".ai"),
        *(".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".xcf"),
        *(".exr", ".hdr", ".fits", ".fit", ".dcm", ".nii", ".djvu", ".wmf", ".emf", ".cur"),
        *(".mp4", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".pfm", ".npy"),
    }
)
"""Suffixes of pictures and films that are not read, in lower case."""


def _is_built_in(name: str) -> bool:
    return name not in OPTIONAL or bool(features.check(OPTIONAL[name]))


FORMATS = tuple(name for name in ALWAYS if _is_built_in(name))
"""Formats that are tried on any image file, whatever its suffix: some of Pillow's other readers run
programs."""

LARGE_FORMATS = tuple(
    name for name in ("JPEG", "PNG", "TIFF", "BMP", "PPM", "WEBP", "JPEG2000") if name in FORMATS
)
"""Formats of photos that may have more pixels than Pillow allows: none of them nests another."""

IMAGE_SUFFIXES = {
    suffix
    for name, suffixes in {**ALWAYS, **BY_SUFFIX}.items()
    if _is_built_in(name)
    for suffix in suffixes
}
"""Suffixes of files that are read as images, in lower case."""

NO_READER = {
    **dict.fromkeys(WITHOUT_READER, "no reader"),
    **{
        suffix: "no reader"
        for name, suffixes in ALWAYS.items()
        if not _is_built_in(name)
        for suffix in suffixes
    },
}
"""Why files of these suffixes are left out."""


def is_image(path: Path) -> bool:
    """Say whether a file is read as an image, by its suffix."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def formats_of(path: Path) -> tuple[str, ...]:
    """Return the formats that are tried on a file."""
    suffix = path.suffix.lower()
    return FORMATS + tuple(name for name, suffixes in BY_SUFFIX.items() if suffix in suffixes)

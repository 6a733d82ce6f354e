"""Which files of a folder are images: for tasks, replay sources, reference folders and the published data sets alike."""

import os
import re
import warnings
from collections.abc import Sequence
from pathlib import Path

from avalanche_gift.names import is_unicode

ENDINGS = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
"""Of image files, whatever the case of their letters."""

_LEFT_BEHIND = frozenset(
    {
        "$recycle.bin", "#recycle", "#snapshot", "@eadir", "@recently-snapshot", "@recycle", "@sharebin", "__macosx",
        "__pycache__", "desktop.ini", "ehthumbs.db", "ehthumbs_vista.db", "icon\r", "lost+found",
        "system volume information", "thumbs.db",
    }
)  # fmt: skip
_LEFT_BEHIND_AS = re.compile(r"\.|synofile_thumb|synophoto[_:]thumb|thumbs\.db:")
_OTHER_IMAGES = frozenset({".heic", ".heics", ".heif", ".heifs", ".jxl"})
"""Images that Pillow reads with a plug-in only."""
_NO_PHOTOS = frozenset(
    {
        ".bufr", ".cur", ".emf", ".eps", ".fit", ".fits", ".flc", ".fli", ".gbr", ".grib", ".h5", ".hdf", ".icns", ".ico",
        ".iim", ".im", ".mpeg", ".mpg", ".ps", ".wmf", ".xbm", ".xpm",
    }
)  # fmt: skip
"""What Pillow also lists: icons, films, drawings, containers of measurements."""


def is_left_behind(name: str) -> bool:
    """Whether a file or folder of this name comes from a system, an editor or an archiver, and from no person.

    Hidden names (`.DS_Store`, `._cat.png`, `.ipynb_checkpoints`), `__MACOSX`, `Thumbs.db`, `desktop.ini`, `@eaDir`, ...

    >>> is_left_behind("Thumbs.db"), is_left_behind("cat.png")
    (True, False)
    """
    return name.lower() in _LEFT_BEHIND or _LEFT_BEHIND_AS.match(name.lower()) is not None


def is_image(name: str) -> bool:
    """Whether a file of this name is read as an image.

    >>> is_image("CAT.JPG"), is_image("._cat.jpg"), is_image("cat.txt")
    (True, False, False)
    """
    return not is_left_behind(name) and os.path.splitext(name)[1].lower() in ENDINGS


class Untaken:
    """Files that a person may have meant as images and that are not read; collected over folders and named once."""

    def __init__(self) -> None:
        self._paths: list[str] = []

    def add(self, path: str) -> None:
        """Notes a file if Pillow or one of its plug-ins has a format for its ending."""
        if _may_be_meant(os.path.splitext(path)[1].lower()):
            self._paths.append(path)

    def warn(self, where: str | os.PathLike[str]) -> None:
        """One warning for all of them; none if there are none."""
        if self._paths:
            endings = ", ".join(sorted({os.path.splitext(path)[1].lower() for path in self._paths}))
            warnings.warn(
                f"{len(self._paths)} files in {where} are not read, because their format is none of "
                f"{' '.join(sorted(ENDINGS))}: {endings}, the first {self._paths[0]}; convert them to PNG or JPEG, or "
                "remove them",
                stacklevel=2,
            )


def class_folders(folder: str | os.PathLike[str]) -> list[str]:
    """The names of the folders in a folder, sorted, without what systems leave behind. ValueError for one in no encoding."""
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if entry.is_dir() and not is_left_behind(entry.name))
    if strange := [name for name in names if not is_unicode(name)]:
        raise ValueError(f"expected names of folders in UTF-8 in {folder}, got {strange[0]!r}; give it another")
    return names


def image_files(folder: str | os.PathLike[str], untaken: Untaken | None = None) -> list[str]:
    """All images below a folder, however deep, in torchvision's order: by folder, then by name. Links are followed.

    untaken: notes the files that may be meant as images. Pipes and sockets are passed over: opening one would wait for ever.
    """
    found: list[tuple[str, list[str]]] = []
    folders = [(os.fspath(folder), frozenset[str]())]
    while folders:
        path, above = folders.pop()
        if (real := os.path.realpath(path)) in above:
            continue  # a link to a folder that it lies in
        names = []
        with os.scandir(path) as entries:
            for entry in entries:
                if is_left_behind(entry.name):
                    continue
                if entry.is_dir():
                    folders.append((entry.path, above | {real}))
                elif is_image(entry.name):
                    # A link to nowhere stays: whoever opens it is told its name.
                    if entry.is_file() or not os.path.exists(entry.path):
                        names.append(entry.name)
                elif untaken is not None:
                    untaken.add(entry.path)
        found.append((path, sorted(names)))
    return [os.path.join(path, name) for path, names in sorted(found) for name in names]


def by_class(
    folder: str | os.PathLike[str], classes: Sequence[str], untaken: Untaken | None = None
) -> tuple[list[tuple[str, int]], list[str]]:
    """(path, place in `classes`) of the images below `folder/CLASS`, by the name of the class; and the classes without any."""
    samples: list[tuple[str, int]] = []
    empty = []
    for name, label in sorted((name, label) for label, name in enumerate(classes)):
        paths = image_files(os.path.join(folder, name), untaken)
        samples += [(path, label) for path in paths]
        empty += [] if paths else [name]
    return samples, empty


def files_named(folder: Path, pattern: str) -> tuple[list[str], list[str]]:
    """Of a published data set: the files of a folder whose whole name matches, sorted; and those under other names."""
    naming = re.compile(pattern)
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if not is_left_behind(entry.name) and not entry.is_dir()]
    own = [name for name in names if naming.fullmatch(name)]
    strays = sorted(name for name in names if not naming.fullmatch(name))
    return [os.path.join(folder, name) for name in sorted(own)], [os.path.join(folder, name) for name in strays]


def _may_be_meant(ending: str) -> bool:
    if ending in _OTHER_IMAGES:
        return True
    if ending in _NO_PHOTOS or not ending:
        return False
    from PIL import Image

    Image.init()
    return Image.registered_extensions().get(ending) in Image.OPEN

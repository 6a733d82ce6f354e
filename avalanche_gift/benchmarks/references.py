"""Pictures and texts that belong to no task, for methods that distil on a broad reference set."""

import csv
import io
import os
from pathlib import Path
from typing import Any

from PIL import Image
from torch.utils.data import Dataset

from avalanche_gift.benchmarks.pictures import PictureError
from avalanche_gift.files import read_file
from avalanche_gift.image_files import ENDINGS, Untaken, image_files
from avalanche_gift.pictures import open_rgb

CAPTION_COLUMNS = ("caption", "title", "text", "prompt")
TEXT_ENDINGS = (".csv", ".tsv", ".txt")


class FolderPictures(Dataset):
    """All images below a folder, by path, without labels; each is opened when it is asked for.

    What is an image, and exif_orientation: as `ClassFolders`.
    Raises FileNotFoundError for no such folder, ValueError for one without pictures, and PictureError, with the file's
    name, where a picture can't be read.
    """

    def __init__(self, root: str | os.PathLike[str], *, exif_orientation: bool = True):
        self.exif_orientation = exif_orientation
        if not Path(root).is_dir():
            raise FileNotFoundError(f"expected a folder of reference pictures, but there is no folder '{root}'")
        untaken = Untaken()
        self.paths = sorted(map(Path, image_files(root, untaken)))
        untaken.warn(root)
        if not self.paths:
            raise ValueError(f"expected pictures ({' '.join(sorted(ENDINGS))}) below '{root}', got none")

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Image.Image:
        try:
            return open_rgb(self.paths[index], exif_orientation=self.exif_orientation)
        except Exception as error:  # PIL has no common ancestor for what broken files make it raise.
            raise PictureError(f"can't read the reference picture {self.paths[index]}: {error}; remove it") from error


def captions_beside(folder: str | os.PathLike[str]) -> Path | None:
    """The captions that come with a folder of images: `captions.csv`, `.tsv` or `.txt` in it, or else FOLDER.csv, ... beside
    it; None where there is no such file. `read_texts` reads them."""
    folder = Path(folder)
    names = [folder / f"captions{ending}" for ending in TEXT_ENDINGS]
    names += [folder.with_name(folder.name + ending) for ending in TEXT_ENDINGS]
    return next((path for path in names if path.is_file()), None)


def read_texts(path: str | os.PathLike[str]) -> list[str]:
    """The texts of a file, each once, in order: lines of a .txt, or a column of a .csv or .tsv.

    The column is the first of caption, title, text, prompt that the heading has. Raises ValueError for another ending, a
    heading without such a column, or no text at all.
    """
    path = Path(path)
    if path.suffix == ".txt":
        texts = _text(path).replace("\r", "\n").split("\n")
    elif path.suffix in (".csv", ".tsv"):
        texts = _column(path)
    else:
        raise ValueError(f"expected texts in a .txt, .csv or .tsv file, got '{path}'")
    kept = list(dict.fromkeys(text.strip() for text in texts if text.strip()))
    if not kept:
        raise ValueError(f"expected at least one text in '{path}', got none")
    return kept


def _text(path: Path) -> str:
    try:
        return read_file(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"expected texts in UTF-8 in '{path}', got {error}; save it in that encoding") from error


def _column(path: Path) -> list[str]:
    with io.StringIO(_text(path), newline="") as file:
        rows: Any = csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ",")
        column = next((name for name in CAPTION_COLUMNS if name in (rows.fieldnames or ())), None)
        if column is None:
            raise ValueError(f"expected one of the columns {CAPTION_COLUMNS} in '{path}', got {rows.fieldnames}")
        return [row[column] or "" for row in rows]

"""Pictures the user already has, found by their prompts."""

from __future__ import annotations

import csv
import difflib
import hashlib
import io
import os
import random
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from avalanche_gift.files import check_file, parse_json, read_file
from avalanche_gift.generation.protocol import check_lengths
from avalanche_gift.image_files import ENDINGS, Untaken, by_class, class_folders, is_image
from avalanche_gift.names import is_unicode
from avalanche_gift.pictures import eight_bits, upright
from avalanche_gift.prompts import fill
from avalanche_gift.wordnet import folder_class_names

PROMPT_FILES = ("prompts.csv", "prompts.jsonl", "manifest.jsonl")


class FolderGenerator:
    """Hands out the pictures under `root`: a `Generator` for the prompts it has, and a `PairSource`.

    The first of these layouts that is there counts:
      root/prompts.csv with the columns file and prompt, or root/prompts.jsonl or root/manifest.jsonl with objects that
        hold "file" and "prompt"; other columns and keys are ignored, files are relative to root;
      root/CLASS/*.jpg, *.png, ...: the prompt is `template` with the folder's name for {c}, underscores as spaces, and
        ImageNet's names for its WordNet numbers (n01443537);
      root/train/CLASS/*.jpg, *.png, ...: the same, if no folder in root holds images itself.
    As in tasks (`ClassFolders`), the images of a class are all below its folder, however deep; what systems leave behind is
    passed over, and other formats are named in one warning.

    prompts: the distinct prompts in order of first appearance; len() is the number of pictures. No picture is opened before it
    is asked for. exif_orientation: images are turned upright, as a phone shows them; False for the pixels as stored.

        pictures = FolderGenerator("my_pictures")
        pictures.generate(["a photo of a cat."], seeds=[7])

    Raises FileNotFoundError or NotADirectoryError where root or a listed file is not there, ValueError where root holds
    no pictures, a listed file lies outside root, or a line of the prompts file is malformed (named with its number).
    """

    def __init__(
        self, root: str | os.PathLike[str], *, template: str = "a photo of a {c}.", exif_orientation: bool = True
    ) -> None:
        self.root, self.exif_orientation = Path(root), exif_orientation
        self._entries = self._list(template)
        self._by_prompt: dict[str, list[Path]] = {}
        for path, prompt in self._entries:
            self._by_prompt.setdefault(prompt, []).append(path)
        self.prompts = tuple(self._by_prompt)

    def __len__(self) -> int:
        return len(self._entries)

    def describe(self) -> dict[str, Any]:
        """The folder's name and a fingerprint of its files' names and prompts: the `meta.json` of a store made from it."""
        listed = "\n".join(f"{path.relative_to(self.root).as_posix()}\t{prompt}" for path, prompt in self._entries)
        digest = hashlib.sha256(listed.encode()).hexdigest()[:16]
        as_stored = {} if self.exif_orientation else {"exif_orientation": False}
        name = self.root.resolve().name
        return {"generator": "FolderGenerator", "name": name, "pictures": len(self), "listing": digest, **as_stored}

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image.Image]:
        """A picture of exactly each prompt, in the file's own mode (16 bits as 8): the one at seed modulo their number.

        Raises ValueError where a prompt has no picture, a picture can't be read, or the lengths differ.
        """
        check_lengths(prompts, seeds)
        paths = [self._path(prompt, seed) for prompt, seed in zip(prompts, seeds, strict=True)]
        return [self._open(path) for path in paths]

    def pairs(self, count: int, *, seed: int, exclude: Collection[str] = ()) -> tuple[list[Image.Image], list[str]]:
        """`count` pictures and their prompts, drawn without replacement from those whose prompt is not in `exclude`.

        All of them, shuffled, where there are fewer. Raises ValueError where none is left or count is below 1.
        """
        if count < 1:
            raise ValueError(f"expected a count of 1 or more, came {count}")
        excluded = frozenset(exclude)
        eligible = [entry for entry in self._entries if entry[1] not in excluded]
        if not eligible:
            raise ValueError(
                f"none of the {len(self)} pictures under '{self.root}' is left: all their {len(self.prompts)} prompts "
                "are excluded; add pictures of other prompts or exclude fewer"
            )
        drawn = random.Random(seed).sample(eligible, min(count, len(eligible)))
        return [self._open(path) for path, _ in drawn], [prompt for _, prompt in drawn]

    def _open(self, path: Path) -> Image.Image:
        return load_image(path, exif_orientation=self.exif_orientation)

    def _list(self, template: str) -> list[tuple[Path, str]]:
        """Every picture under root with its prompt."""
        return _entries(self.root, template)

    def _path(self, prompt: str, seed: int) -> Path:
        paths = self._by_prompt.get(prompt)
        if paths is None:
            nearest = difflib.get_close_matches(prompt, self.prompts, n=1, cutoff=0.0)[0]
            raise ValueError(
                f"no picture under '{self.root}' has the prompt {prompt!r}; "
                f"the nearest of its {len(self.prompts)} prompts is {nearest!r}"
            )
        return paths[seed % len(paths)]


def _entries(root: Path, template: str) -> list[tuple[Path, str]]:
    """Every picture under root with its prompt."""
    if not root.exists():
        raise FileNotFoundError(f"expected a folder of pictures, but there is no '{root}'")
    if not root.is_dir():
        raise NotADirectoryError(f"expected a folder of pictures, but '{root}' is a file")
    listing = next((root / name for name in PROMPT_FILES if (root / name).is_file()), None)
    entries = _in_class_folders(_split_of(root), template) if listing is None else _listed(listing)
    if not entries:
        raise ValueError(
            f"no pictures in '{listing or root}'; expected files and prompts in one of {', '.join(PROMPT_FILES)}, "
            f"or class folders with pictures ({' '.join(sorted(ENDINGS))}) in it or in its folder 'train'"
        )
    return entries


def _in_class_folders(root: Path, template: str) -> list[tuple[Path, str]]:
    if "{c}" not in template:
        raise ValueError(f"expected a template with {{c}} where the class name goes, came {template!r}")
    folders, untaken = class_folders(root), Untaken()
    samples, _ = by_class(root, folders, untaken)
    untaken.warn(root)
    names = folder_class_names(folders, f"'{root}'", "rename the folders, or give prompts in a prompts.csv (file, prompt)")
    return [(Path(path), fill(template, names[label])) for path, label in samples]


def _split_of(root: Path) -> Path:
    """`root/train` of a data set in splits, `root` itself of class folders: one of them may be called train, too."""
    if not (root / "train").is_dir():
        return root
    is_classes = any(is_image(file) for name in class_folders(root) for file in os.listdir(root / name))
    return root if is_classes else root / "train"


def _listed(listing: Path) -> list[tuple[Path, str]]:
    """The pictures of a prompts file, in its order."""
    records = _csv_records(listing) if listing.suffix == ".csv" else _json_records(listing)
    return [_entry(listing.parent, record, f"'{listing}', line {line}") for line, record in records]


def _csv_records(listing: Path) -> Iterator[tuple[int, Any]]:
    rows = csv.reader(io.StringIO(_text(listing), newline=""), strict=True)
    line = 1  # where the current row begins; a quoted prompt may go over several lines
    try:
        header = next(rows, [])
        if not {"file", "prompt"} <= set(header):
            raise ValueError(f"'{listing}', line 1: expected the columns file and prompt, came {header}")
        line = rows.line_num + 1
        for row in rows:
            if row:
                # a row with more cells than the header stays a list: mostly a comma in an unquoted prompt
                yield line, row if len(row) > len(header) else dict(zip(header, row, strict=False))
            line = rows.line_num + 1
    except csv.Error as error:
        raise ValueError(f"'{listing}', line {line}: not CSV: {error}") from error


def _json_records(listing: Path) -> Iterator[tuple[int, Any]]:
    # split at "\n" only: a JSON string may hold the other characters that splitlines takes for line ends
    for line, text in enumerate(_text(listing).split("\n"), start=1):
        if not text.strip():
            continue
        try:
            record = parse_json(text)
        except ValueError as error:
            raise ValueError(f"'{listing}', line {line}: not JSON: {error}") from error
        yield line, record


def _text(listing: Path) -> str:
    try:
        return read_file(listing).decode("utf-8-sig")  # as it is: line ends may stand in a quoted prompt
    except UnicodeDecodeError as error:
        raise ValueError(f"'{listing}' is not UTF-8: {error}; save it in that encoding") from error


def _entry(root: Path, record: Any, where: str) -> tuple[Path, str]:
    if not isinstance(record, dict):
        raise ValueError(f"{where}: expected one file and one prompt (quoted where it has commas), came {record!r}")
    file, prompt = record.get("file"), record.get("prompt")
    if not isinstance(file, str) or not isinstance(prompt, str):
        raise ValueError(f"{where}: expected a file and a prompt as text, came {record!r}")
    if not prompt.strip():
        raise ValueError(f"{where}: the prompt of {file!r} is empty")
    if not is_unicode(prompt):
        raise ValueError(f"{where}: expected a prompt in Unicode, got {prompt!r}")
    return _inside(root, file, where), prompt


def _inside(root: Path, file: str, where: str) -> Path:
    """root/file, where `file` is relative and its dots don't lead out of root; links that lie in root are followed."""
    relative = Path(os.path.normpath(file))
    if relative.is_absolute() or ".." in relative.parts:
        raise ValueError(f"{where}: expected a path inside '{root}' and relative to it, came {file!r}")
    path = root / relative
    if not path.is_file():
        raise FileNotFoundError(f"{where}: there is no file {file!r} in '{root}'")
    return path


def load_image(path: Path, *, exif_orientation: bool = True) -> Image.Image:
    """In the file's own mode, 16 bits as 8, upright unless told otherwise. ValueError, with its name, if it can't be read."""
    try:
        check_file(path)
        with Image.open(path) as picture:
            picture.load()
            return upright(picture) if exif_orientation else eight_bits(picture)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # what Pillow's readers raise
        raise ValueError(f"can't read the picture '{path}': {error}; replace or remove it") from error

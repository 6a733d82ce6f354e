"""Downloads that go on where they stopped, are checked, and are put in their place only when whole.

torchvision knows addresses and checksums, and unpacks; here its archives are fetched beforehand into `ROOT/.incoming`, and what
it unpacks there is moved to `ROOT` once it has the protocol's counts.
"""

import hashlib
import os
import shutil
import tarfile
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple

from torchvision import datasets as tv
from torchvision.datasets.utils import extract_archive
from tqdm import tqdm

from avalanche_gift.benchmarks.dataset_check import check_dataset
from avalanche_gift.benchmarks.sources import SOURCES
from avalanche_gift.names import check_name

_CHUNK = 1 << 20
_TINY = ("http://cs231n.stanford.edu/tiny-imagenet-200.zip", "90528d7ca1a48142e341f4ef8d21d0de")
_CALTECH = ("https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip", "3138e1922a9193bfa496528edbbc45d0")
_EUROSAT = (
    "https://huggingface.co/datasets/torchgeo/eurosat/resolve/c877bcd43f099cd0196738f714544e355477f3fd/EuroSAT.zip",
    "c8fa014336c82ac7804f0398fcb19387",
)


class Archive(NamedTuple):
    """One file: where it is fetched (mirrors in turn), where torchvision looks for it below its root, its MD5 if known."""

    urls: tuple[str, ...]
    place: str
    md5: str | None


def download(name: str, root: str | Path) -> Path:
    """Fetches a data set into its folder below `root`, and returns that. Nothing to do where it is present.

    A part of an archive that is there from an earlier attempt is gone on with. Raises ValueError for a data set that can't be
    downloaded, FileExistsError where the folder is there but damaged, OSError for a download that ended early, has another
    checksum than torchvision's, or doesn't hold what it should.
    """
    source = SOURCES[check_name("data set", name, SOURCES)]
    root = Path(root).expanduser()
    target, incoming = root / source.folder, root / ".incoming"
    status = check_dataset(name, root)
    if status.state == "present":
        return target
    if not source.downloadable:
        raise ValueError(f"{name} can't be downloaded: fetch it from {source.page} and put it into {target}")
    if status.state == "damaged":
        raise FileExistsError(f"{name}: {target} is there but damaged ({status.detail}); move it away and download again")
    parts = [(archive, fetch(archive, incoming / f"{name}.archives")) for archive in archives(name)]
    stage = incoming / name
    _unpack(name, parts, stage)
    staged = check_dataset(name, stage)
    if staged.state != "present":
        raise OSError(f"{name}: what was downloaded is {staged.state} ({staged.detail}); it is left in {stage}")
    if target.is_dir():
        target.rmdir()  # Empty: torchvision leaves such a folder behind where it finds nothing.
    os.replace(stage / source.folder, target)
    shutil.rmtree(stage)
    shutil.rmtree(incoming / f"{name}.archives")
    return target


def archives(name: str) -> list[Archive]:
    """The files of a data set, from torchvision's own addresses and checksums."""
    one: dict[str, tuple[str, str, str | None]] = {
        "Aircraft": (tv.FGVCAircraft._URL, ".", None),
        "Caltech101": (_CALTECH[0], "caltech101", _CALTECH[1]),
        "CIFAR100": (tv.CIFAR100.url, ".", tv.CIFAR100.tgz_md5),
        "DTD": (tv.DTD._URL, "dtd", tv.DTD._MD5),
        "EuroSAT": (_EUROSAT[0], "eurosat", _EUROSAT[1]),
        "Food": (tv.Food101._URL, ".", tv.Food101._MD5),
        "SUN397": (tv.SUN397._DATASET_URL, ".", tv.SUN397._DATASET_MD5),
        "TinyImageNet": (_TINY[0], ".", _TINY[1]),
    }
    if name in one:
        url, folder, md5 = one[name]
        return [Archive((url,), f"{folder}/{url.rsplit('/', 1)[-1]}", md5)]
    if name == "Flowers":
        prefix = tv.Flowers102._download_url_prefix
        return [Archive((prefix + file,), f"flowers-102/{file}", md5) for file, md5 in tv.Flowers102._file_dict.values()]
    if name == "MNIST":
        return [
            Archive(tuple(mirror + file for mirror in tv.MNIST.mirrors), f"MNIST/raw/{file}", md5)
            for file, md5 in tv.MNIST.resources
        ]
    return [Archive((url,), f"oxford-iiit-pet/{url.rsplit('/', 1)[-1]}", md5) for url, md5 in tv.OxfordIIITPet._RESOURCES]


def fetch(archive: Archive, folder: Path) -> Path:
    """One file, in one piece and checked; `FILE.part` holds what has come so far. Raises OSError."""
    whole = folder / archive.place.rsplit("/", 1)[-1]
    if whole.is_file():
        return whole
    folder.mkdir(parents=True, exist_ok=True)
    part = whole.with_name(f"{whole.name}.part")
    problems = []
    for url in archive.urls:
        try:
            _receive(url, part)
            break
        except (OSError, HTTPException) as error:
            problems.append(f"{url}: {error}")
    else:
        raise OSError(f"can't download {whole.name}: {'; '.join(problems)}; run again to go on from what has come")
    if archive.md5 is not None and (found := _md5(part)) != archive.md5:
        part.unlink()
        raise OSError(f"expected MD5 {archive.md5} of {whole.name}, got {found}; what came is removed, run again")
    os.replace(part, whole)
    return whole


def _receive(url: str, part: Path) -> None:
    """Appends to `part` what is missing of it."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "avalanche-gift", **({"Range": f"bytes={have}-"} if have else {})}
    try:
        answer = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have and error.headers.get("Content-Range") == f"bytes */{have}":
            return  # Nothing is missing.
        raise
    with answer:
        resumed = answer.status == 206
        have = have if resumed else 0
        total = have + int(answer.headers["Content-Length"]) if answer.headers.get("Content-Length") else None
        bar = tqdm(total=total, initial=have, unit="B", unit_scale=True, desc=part.stem, disable=None)
        with bar, open(part, "ab" if resumed else "wb") as file:
            while chunk := answer.read(_CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
    if total is not None and (size := part.stat().st_size) != total:
        raise OSError(f"expected {total} bytes, got {size}: the connection ended early")


def _unpack(name: str, parts: list[tuple[Archive, Path]], stage: Path) -> None:
    """Lets torchvision unpack into an empty folder; archives are linked there, and removed from it afterwards."""
    shutil.rmtree(stage, ignore_errors=True)
    for archive, file in parts:
        place = stage / archive.place
        place.parent.mkdir(parents=True, exist_ok=True)
        _link(file, place)
    with _no_way_out(name):
        if name == "TinyImageNet":
            extract_archive(str(stage / parts[0][0].place), str(stage))
        else:
            _TORCHVISION[name](stage, download=True)
    for archive, _ in parts:
        if not archive.place.endswith(".mat"):
            (stage / archive.place).unlink(missing_ok=True)


@contextmanager
def _no_way_out(name: str) -> Iterator[None]:
    """Refuses members of tar archives that lead out of the folder, which torchvision and older Pythons don't.

    zipfile by itself drops what would lead out of a path.
    """
    before = tarfile.TarFile.extraction_filter
    tarfile.TarFile.extraction_filter = staticmethod(tarfile.data_filter)
    try:
        yield
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise OSError(f"{name}: expected a whole archive of files inside its own folder, got {error}") from error
    except (FileNotFoundError, RuntimeError) as error:  # by torchvision, which looks at what it has unpacked
        raise OSError(f"{name}: expected the files of that data set in its archive, got {error}") from error
    finally:
        tarfile.TarFile.extraction_filter = before


def _link(file: Path, place: Path) -> None:
    try:
        os.link(file, place)
    except OSError:
        shutil.copyfile(file, place)


_TORCHVISION: dict[str, Callable[..., Any]] = {
    "Aircraft": tv.FGVCAircraft,
    "Caltech101": tv.Caltech101,
    "CIFAR100": tv.CIFAR100,
    "DTD": tv.DTD,
    "EuroSAT": tv.EuroSAT,
    "Flowers": tv.Flowers102,
    "Food": tv.Food101,
    "MNIST": tv.MNIST,
    "OxfordPet": tv.OxfordIIITPet,
    "SUN397": tv.SUN397,
}


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()

"""How long a block takes, and how much memory it needs."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Measurement", "measure"]


@dataclass
class Measurement:
    """Wall-clock seconds and peak memory in bytes; both 0 until the block ends."""

    seconds: float = 0.0
    peak_memory_bytes: int = 0


@contextmanager
def measure(device: Any = "cpu") -> Iterator[Measurement]:
    """Measure the block; the numbers are there once it ended, by an exception too.

    device: name or torch.device. On CUDA the peak is what PyTorch's allocator handed out on that device, and its queue
    is drained before the clock is read. Elsewhere it is the peak resident memory of the whole process, with all that
    was resident when the block began. Linux restarts that peak for the block; where it can't be restarted (macOS,
    restricted containers) it is the peak since the process began, and 0 on Windows, which does not report one. What earlier
    blocks left resident counts, so that peaks of blocks in one process depend on their order and are no ground for a ranking.

    >>> with measure() as used:
    ...     sum(range(1000))
    499500
    >>> used.seconds > 0
    True
    """
    on_cuda = str(device).startswith("cuda")
    used = Measurement()
    if on_cuda:
        _reset_cuda_peak(device)
    else:
        _reset_resident_peak()
    start = time.perf_counter()
    try:
        yield used
    finally:
        used.peak_memory_bytes = _cuda_peak(device) if on_cuda else _resident_peak()
        used.seconds = time.perf_counter() - start


def _reset_cuda_peak(device: Any) -> None:
    import torch

    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)


def _cuda_peak(device: Any) -> int:
    import torch

    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device)


def _reset_resident_peak() -> None:
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _resident_peak() -> int:
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return _lifetime_peak()


def _lifetime_peak() -> int:
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024

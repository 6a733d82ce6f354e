"""What a step costs, told apart by who runs it: matrix-product FLOPs, bytes of live tensors, seconds.

A gauge is a context; after `switch(owner)` everything until the next switch is counted as that owner's.
"""

import os
import platform
import time
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path
from typing import Any

import open_clip
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.flop_counter import FlopCounterMode

aten = torch.ops.aten


class Flops(FlopCounterMode):
    """torch's count: products of matrices, convolutions and attention; a multiplication with its addition is two.

    On the meta device, where attention is two matrix products. On a CPU torch does not count its attention kernel.
    """

    def __init__(self) -> None:
        super().__init__(display=False)
        self.of: dict[str, int] = defaultdict(int)
        self._owner, self._seen = "", 0

    def switch(self, owner: str) -> None:
        total = self.get_total_flops()
        self.of[self._owner] += total - self._seen
        self._owner, self._seen = owner, total


class LiveBytes(TorchDispatchMode):
    """Bytes of the storages alive, `.now`, and the most there were at once, `.peak`, by the owner's first word.

    Sees what every operation returns, not what kernels use inside, so it works on any device, meta included.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now: dict[str, int] = defaultdict(int)
        self.peak: dict[str, int] = defaultdict(int)
        self._owner, self._known = "nobody", set[int]()

    @property
    def tensors(self) -> int:
        """How many storages are alive."""
        return len(self._known)

    def switch(self, owner: str) -> None:
        self._owner = owner.split()[0]

    def add(self, tensors: Iterable[Tensor]) -> None:
        """Counts tensors made before, a model's weights, as the present owner's."""
        for tensor in tensors:
            self._note(tensor)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return tree_map_only(Tensor, self._note, func(*args, **(kwargs or {})))

    def _note(self, tensor: Tensor) -> Tensor:
        storage, owner = tensor.untyped_storage(), self._owner
        if storage._cdata not in self._known:
            self._known.add(storage._cdata)
            self.now[owner] += storage.nbytes()
            self.peak[owner] = max(self.peak[owner], self.now[owner])
            weakref.finalize(storage, self._gone, storage._cdata, storage.nbytes(), owner)
        return tensor

    def _gone(self, key: int, size: int, owner: str) -> None:
        self._known.discard(key)
        self.now[owner] -= size


class Seconds:
    """Seconds between switches, a list an owner; the device is waited for.

    clock: `time.process_time` counts this process's processor time, which others on a shared machine disturb least.
    """

    def __init__(self, device: torch.device, clock: Callable[[], float] = time.perf_counter):
        self.of: dict[str, list[float]] = defaultdict(list)
        self._owner, self._since, self._device, self._clock = "", clock(), device, clock

    def __enter__(self) -> "Seconds":
        return self

    def __exit__(self, *_: object) -> None:
        self.switch("")

    def switch(self, owner: str) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        now = self._clock()
        self.of[self._owner].append(now - self._since)
        self._owner, self._since = owner, now


class ReadBack(TorchDispatchMode):
    """Lets a whole strategy run on the meta device: numbers read from it are zeros, and the ids of a batch all one id."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        source = args[0] if args and isinstance(args[0], Tensor) and args[0].is_meta else None
        if source is not None and func is aten._local_scalar_dense.default:
            return source.dtype.is_floating_point and 0.0
        if source is not None and func is aten._unique2.default:
            return source.flatten()[:1], torch.zeros_like(source, dtype=torch.long), source.new_zeros(1, dtype=torch.long)
        if source is not None and func is aten._to_copy.default and str(kwargs.get("device", "meta")) == "cpu":
            return torch.zeros(source.shape, dtype=kwargs.get("dtype") or source.dtype)
        return func(*args, **kwargs)


def facts(device: str) -> dict[str, Any]:
    """Date, device, load and versions: what every line of a benchmark ends with."""
    described = torch.cuda.get_device_name(device) if device.startswith("cuda") else f"{processor()}, {os.cpu_count()} cores"
    return {
        "date": date.today().isoformat(),
        "device": "none: shapes only (meta device)" if device == "meta" else described,
        "threads": torch.get_num_threads(),
        "load_average": round(os.getloadavg()[0], 1),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "open_clip": open_clip.__version__,
        },
    }


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())

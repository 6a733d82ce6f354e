"""One run on several processes, which `torchrun` or `accelerate launch` starts: the work of the towers is divided.

Every process holds the same weights, reads the same batches in the same order and computes the same losses over the global
batch. Divided are the pictures and texts that the towers encode (`encode_rows`), in training and in evaluation. Of the
gathered features a process's own rows carry gradient and all others are constants. The gradients of the processes therefore
add up to the gradient of one process that encodes everything, whatever the loss, be it a contrastive matrix or the mean of a
short last batch: `whole_gradients` takes the sum.

`avalanche-gift run` joins the processes by itself; a script of your own calls `start(device)` before it makes a model. Reading
and augmenting pictures is not divided: each process does it for the whole batch, so that augmentation stays that of one
process. Give each enough workers, and test pictures a `cache_dir`.

Not by DistributedDataParallel: it averages, which is right only for losses that are means over equal shares; it sees one
backward pass of one `forward`, while GIFT goes backward twice a step, over two towers called apart, and its consolidation
needs the whole gradient of the first pass before the second begins.
"""

import atexit
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise

import torch
import torch.distributed as dist
from torch import Tensor, nn


def start(device: str) -> None:
    """Joins the processes that a launcher has started; does nothing without one, or where they are joined already.

    Raises ValueError for a numbered GPU, or for more processes on this machine than it has GPUs.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or "RANK" not in os.environ or dist.is_initialized():
        return
    kind = torch.device(device)
    if kind.type == "cuda":
        if kind.index is not None:
            raise ValueError(f"expected --device cuda with several processes, a GPU for each, got {device!r}")
        local, there = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if local >= there:
            raise ValueError(f"expected at most as many processes on a machine as it has GPUs, {there}; start fewer")
        torch.cuda.set_device(local)
    # Gloo beside NCCL: whole numbers on the CPU are agreed on without waiting for the GPU.
    dist.init_process_group("cpu:gloo,cuda:nccl" if kind.type == "cuda" else "gloo")
    atexit.register(dist.destroy_process_group)


def size() -> int:
    """How many processes share this run; 1 for a run of its own."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def check_several(what: str) -> None:
    """Raises ValueError in a run of one process, for what only several can share."""
    if size() == 1:
        raise ValueError(f"expected several processes for {what}, got one; start them by torchrun, or leave it out")


def is_first() -> bool:
    """Whether this is the process that writes files and reports."""
    return size() == 1 or dist.get_rank() == 0


def own_device(device: str) -> str:
    """The device of this process, `cuda:1` of `cuda` for the second on a machine."""
    return f"cuda:{torch.cuda.current_device()}" if size() > 1 and torch.device(device).type == "cuda" else device


def wait() -> None:
    """Until all processes have come here."""
    agree(0)


def agree(number: int) -> int:
    """The largest of the numbers that the processes come with."""
    if size() == 1:
        return number
    largest = torch.tensor(number)
    dist.all_reduce(largest, dist.ReduceOp.MAX)
    return int(largest)


def shares(count: int) -> list[slice]:
    """Which of `count` rows each process takes, in order; none where there are fewer rows than processes."""
    ends = [count * number // size() for number in range(size() + 1)]
    return [slice(*pair) for pair in pairwise(ends)]


def own_share(count: int) -> slice:
    """Which of `count` rows this process takes."""
    return shares(count)[dist.get_rank() if size() > 1 else 0]


def gather(own: Tensor, count: int) -> list[Tensor]:
    """The shares of all processes, in order, of `count` rows: constants. own: [rows of this process, ...]."""
    lengths = [part.stop - part.start for part in shares(count)]
    padded = own.new_zeros(max(lengths), *own.shape[1:])
    padded[: len(own)] = own.detach()
    gathered = [torch.empty_like(padded) for _ in lengths]
    dist.all_gather(gathered, padded)
    return [rows[:length] for rows, length in zip(gathered, lengths, strict=True)]


def encode_rows(encode: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    """`encode(rows)`, [N, ...] -> [N, D], of which every process computes its share and all get the whole.

    The rows of this process carry gradient, the others none: see `whole_gradients`.
    """
    if size() == 1 or not len(rows):
        return encode(rows)
    part = own_share(len(rows))
    count = part.stop - part.start
    # With no row of its own a process encodes one for nothing: its gradients are then zeros, not missing.
    own = encode(rows[part] if count else rows[:1])[:count]
    gathered = gather(own, len(rows))
    gathered[dist.get_rank()] = own
    return torch.cat(gathered)


@contextmanager
def whole_gradients(parameters: Iterable[nn.Parameter]) -> Iterator[None]:
    """Around a backward pass: each process adds its part to `.grad`, which holds the same whole everywhere afterwards."""
    if size() == 1:
        yield
        return
    parameters = list(parameters)
    if not is_first():  # What an earlier pass has left is whole already, and counts once.
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad.zero_()
    yield
    sums = [dist.all_reduce(parameter.grad, async_op=True) for parameter in parameters if parameter.grad is not None]
    for each in sums:
        each.wait()

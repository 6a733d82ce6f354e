"""One call of `avalanche-gift generate`: its part of every task of a plan, made or only estimated."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from tqdm import tqdm

from avalanche_gift.generation.filters import Similarity, drop_lowest
from avalanche_gift.generation.making import ATTEMPTS, TaskPrompts, fill_task, is_complete, make_pictures, missing_indices
from avalanche_gift.generation.store import Record, SyntheticStore, TaskFolder, encoded
from avalanche_gift.names import print_line, printable


@dataclass(frozen=True)
class Job:
    """What is made, by what, and where. metas: of each task of the plan (`meta_of`). The other fields: as `fill_task`."""

    store: SyntheticStore
    generator: Any
    plan: Sequence[TaskPrompts]
    metas: Sequence[dict[str, Any]]
    batch_size: int = 32
    shard: tuple[int, int] = (1, 1)
    attempts: int = ATTEMPTS
    black: str = "again"

    def folders(self) -> list[tuple[TaskFolder, TaskPrompts, dict[str, Any]]]:
        return [(self.store.task(task.position), task, meta) for task, meta in zip(self.plan, self.metas, strict=True)]

    def missing(self) -> list[int]:
        """Pictures of each task that this part lacks. StoreError where a folder is of other settings."""
        for folder, _, meta in self.folders():
            folder.check(meta)
        return [len(missing_indices(folder, task, self.shard)) for folder, task, _ in self.folders()]

    def is_complete(self) -> bool:
        """Whether all parts are made."""
        return all(is_complete(folder, task) for folder, task, _ in self.folders())

    def fill(self, report: Callable[[str], None] = print_line) -> None:
        """Makes what is missing, with a progress bar. Raises as `fill_task`."""
        missing = sum(self.missing())
        again = dropped = 0
        began = time.perf_counter()
        part = f" (part {self.shard[0]} of {self.shard[1]})" if self.shard[1] > 1 else ""
        with tqdm(total=missing, unit="picture", desc=f"generate{part}", mininterval=1, smoothing=0.1, disable=None) as bar:

            def on_batch(records: list[Record], seconds: float) -> None:
                nonlocal again, dropped
                again += sum(record.attempts > 1 for record in records)
                dropped += sum(record.dropped is not None for record in records)
                bar.update(len(records))

            for folder, task, meta in self.folders():
                bar.set_postfix_str(printable(task.name), refresh=False)
                options: dict[str, Any] = {"batch_size": self.batch_size, "attempts": self.attempts, "black": self.black}
                fill_task(folder, self.generator, task, meta=meta, shard=self.shard, on_batch=on_batch, **options)
        seconds = time.perf_counter() - began
        remarks = [f"{again} of them drawn more than once"] * bool(again) + [f"{dropped} black ones left out"] * bool(dropped)
        report(
            f"{self.store.root}: {len(self.plan)} tasks of {len(self.plan[0].prompts)} pictures{part}; made {missing} now"
            + (f" in {seconds:.1f} s, {missing / seconds:.1f} a second" if missing else "")
            + "".join(f"; {remark}" for remark in remarks)
        )

    def drop_lowest(self, similarity: Similarity, share: float, model: str, report: Callable[[str], None] = print_line) -> None:
        """Has readers leave out that share of each task (`filters.drop_lowest`), and reports how many."""
        counts = [
            len(drop_lowest(folder, task.pool, similarity, share=share, model=model)) for folder, task, _ in self.folders()
        ]
        named = ", ".join(f"{task.name} {count}" for task, count in zip(self.plan, counts, strict=True))
        report(f"{self.store.root}: dropped {sum(counts)} pictures that {model} finds least like their prompts ({named})")

    def estimate(self, report: Callable[[str], None] = print_line) -> None:
        """Counts, and estimates seconds and bytes by two batches that are not kept."""
        counts = self.missing()
        for task, count in zip(self.plan, counts, strict=True):
            report(f"{task.position:2d} {task.name}: {len(task.prompts)} pictures, {count} missing, first {task.prompts[0]!r}")
        if not (missing := sum(counts)):
            report("Nothing is missing.")
            return
        size = min(self.batch_size, len(self.plan[0].prompts))
        seconds, bytes_each = self._cost(size, self.plan[counts.index(max(counts))])
        time_needed, free = timedelta(seconds=round(seconds * missing)), _free(self.store.root)
        report(
            f"{missing} pictures missing: about {time_needed} h:mm:ss ({seconds:.3f} s a picture in batches of {size}) and "
            f"{bytes_each * missing / 1e6:.1f} MB ({free / 1e6:.0f} MB free)"
        )

    def _cost(self, size: int, task: TaskPrompts) -> tuple[float, float]:
        """Seconds and bytes a picture."""
        prompts, seeds = task.prompts[:size], task.seeds[:size]
        for _ in range(2):  # the first also warms up
            began = time.perf_counter()
            made = make_pictures(self.generator, prompts, seeds, attempts=self.attempts, black=self.black)
            seconds = (time.perf_counter() - began) / size
        suffix = self.metas[0]["format"]
        return seconds, sum(len(encoded(one.picture, suffix)) for one in made) / size


def _free(root: Path) -> int:
    """Bytes where the folder is or will be."""
    there = next(path for path in (root.absolute(), *root.absolute().parents) if path.exists())
    return shutil.disk_usage(there).free

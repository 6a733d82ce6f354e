"""What decides the numbers of a run."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class RunConfig:
    """Everything that decides the numbers of a run, as plain values; written into its results.

    model: `mini`, open_clip's `NAME` or `NAME:TAG`, or a folder. data: the folder of the benchmark.
    source: of synthetic pictures: a folder, `mini` (the embedded generator) or `perfect` (the mini world's own drawings).
    order: of mtil, "I" (None) or "II". shots, max_pictures: as `clip_benchmark`. cache_dir: as there, and a folder where
    the embedded generator's pictures are kept.
    options: keyword arguments of the strategy itself, by name.
    numerics: arguments of `models.set_numerics`, where they are not its defaults. shard_optimizer: as `FineTune`.
    train_iterations, train_epochs: as `FineTune`; 1,000 iterations where neither is given. test_transform: `test`, or `train`
    for test images in the random training transform, as the reference's class-incremental code has them.
    exif_orientation: as `ClassFolders`, and for a folder of images as source or reference.
    lr None: the stream's own rates, or 1e-5. Other fields as the strategies' arguments of the same name.
    """

    strategy: str
    benchmark: str
    model: str
    seed: int = 0
    data: str | None = None
    source: str | None = None
    tasks: tuple[str, ...] | None = None
    class_incremental: bool = False
    class_incremental_loss: str = "step"
    order: str | None = None
    shots: int | None = None
    max_pictures: int | None = None
    train_iterations: int | tuple[int, ...] | None = None
    train_epochs: int | None = None
    train_mb_size: int = 64
    eval_mb_size: int = 256
    lr: float | None = None
    l2_weight: float = 1.0
    synthetic: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    cache_dir: str | None = None
    num_workers: int = 0
    device: str = "cpu"
    numerics: dict[str, Any] = field(default_factory=dict)
    shard_optimizer: bool = False
    test_transform: str = "test"
    exif_orientation: bool = True

    def __post_init__(self) -> None:
        """Raises ValueError for NaN and infinity, which no results file holds, and for iterations together with epochs."""
        if self.train_iterations is None and self.train_epochs is None:
            object.__setattr__(self, "train_iterations", 1000)
        elif self.train_iterations is not None and self.train_epochs is not None:
            raise ValueError(f"expected iterations or epochs, got both: {self.train_iterations} and {self.train_epochs}")
        if self.class_incremental_loss not in ("step", "seen"):
            raise ValueError(f"expected class_incremental_loss step or seen, got {self.class_incremental_loss!r}")
        if self.test_transform not in ("test", "train"):
            raise ValueError(f"expected test_transform test or train, got {self.test_transform!r}")
        for name, least in (("train_mb_size", 1), ("eval_mb_size", 1), ("num_workers", 0)):
            if (value := getattr(self, name)) < least:
                raise ValueError(f"expected {name} of {least} or more, got {value}")
        nested = {**self.synthetic, **self.options}
        for name, value in {**self.settings(), "synthetic": None, "options": None, **nested}.items():
            try:
                json.dumps(value, allow_nan=False, default=str)
            except ValueError:
                raise ValueError(f"expected finite numbers for {name}, got {value}") from None

    @property
    def chooses_loss(self) -> bool:
        """Whether `class_incremental_loss` decides anything; Avalanche's own strategies take all classes seen."""
        trains = self.strategy != "zero-shot" and not self.strategy.startswith("avalanche-")
        return self.class_incremental and trains

    def settings(self) -> dict[str, Any]:
        """As JSON: sequences are lists. Without what changes no number: `cache_dir`, `shard_optimizer`, empty `numerics`, no
        `train_epochs`, `test_transform` where it is `test`, `exif_orientation` where it is True, and
        `class_incremental_loss` in runs that it does not concern.
        """
        fields = dataclasses.asdict(self)
        del fields["cache_dir"], fields["shard_optimizer"]
        if not self.chooses_loss:
            del fields["class_incremental_loss"]
        for name, usual in (("numerics", {}), ("train_epochs", None), ("test_transform", "test"), ("exif_orientation", True)):
            if fields[name] == usual:
                del fields[name]
        return {key: list(value) if isinstance(value, tuple) else value for key, value in fields.items()}


def differences(*, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """In words, `lr: there 0.1, asked 0.2; ...`; empty where both are the same."""
    names = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    return "; ".join(f"{name}: there {found.get(name)!r}, asked {wanted.get(name)!r}" for name in names)

"""Streams for CLIP: Avalanche benchmarks whose experiences carry class names and templates."""

from avalanche_gift.benchmarks.digits import PrintedGlyphs, SplitDigits
from avalanche_gift.benchmarks.folders import ClassFolders
from avalanche_gift.benchmarks.stream import Task, clip_benchmark

__all__ = ["ClassFolders", "PrintedGlyphs", "SplitDigits", "Task", "clip_benchmark"]

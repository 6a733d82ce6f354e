"""Public names and their homes: read by type checkers, and by lazy_loader on first use."""

from .class_incremental import SplitCIFAR100CLIP as SplitCIFAR100CLIP, SplitTinyImageNetCLIP as SplitTinyImageNetCLIP
from .digits import PrintedGlyphs as PrintedGlyphs, SplitDigits as SplitDigits
from .folders import ClassFolders as ClassFolders
from .mini.tasks import MiniWorld as MiniWorld, PerfectGenerator as PerfectGenerator
from .mtil import MTIL as MTIL
from .naming import with_class_names as with_class_names
from .stream import Task as Task, clip_benchmark as clip_benchmark

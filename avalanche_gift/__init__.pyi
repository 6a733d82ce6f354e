"""Public names and their homes: read by type checkers, and by lazy_loader on first use."""

from .benchmarks import (
    MTIL as MTIL,
    ClassFolders as ClassFolders,
    MiniWorld as MiniWorld,
    SplitCIFAR100CLIP as SplitCIFAR100CLIP,
    SplitTinyImageNetCLIP as SplitTinyImageNetCLIP,
    with_class_names as with_class_names,
)
from .evaluation import AccuracyMatrix as AccuracyMatrix, ClassIncrementalAccuracy as ClassIncrementalAccuracy
from .generation import DiffusersGenerator as DiffusersGenerator, FolderGenerator as FolderGenerator
from .models import CLIPClassifier as CLIPClassifier
from .training import (
    EWC as EWC,
    EWCV as EWCV,
    GIFT as GIFT,
    L2 as L2,
    ZSCL as ZSCL,
    FineTune as FineTune,
    ICaRL as ICaRL,
    Joint as Joint,
    LwF as LwF,
    LwFVR as LwFVR,
    MoEAdapters as MoEAdapters,
    WiSEFT as WiSEFT,
    ZeroShot as ZeroShot,
)

__version__: str

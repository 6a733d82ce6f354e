"""Public names and their homes: read by type checkers, and by lazy_loader on first use."""

from .diffusers_generator import DiffusersGenerator as DiffusersGenerator
from .folders import FolderGenerator as FolderGenerator
from .kept import KeptPictures as KeptPictures
from .making import (
    GenerationError as GenerationError,
    fill_task as fill_task,
    make_pictures as make_pictures,
    meta_of as meta_of,
    plan_tasks as plan_tasks,
    retry_seed as retry_seed,
)
from .mini import mini_generator as mini_generator
from .policies import Ahead as Ahead, PerTask as PerTask, RegenerateEvery as RegenerateEvery, as_policy as as_policy
from .protocol import Generator as Generator, PairSource as PairSource, picture_seed as picture_seed
from .random_splits import RandomSplitFolder as RandomSplitFolder
from .sources import as_source as as_source
from .store import StoreError as StoreError, SyntheticStore as SyntheticStore, TaskFolder as TaskFolder

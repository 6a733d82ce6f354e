"""Public names and their homes: read by type checkers, and by lazy_loader on first use."""

from .canonical import canonical_picture as canonical_picture, draw_canonical as draw_canonical
from .concepts import (
    TASKS as TASKS,
    TEMPLATES as TEMPLATES,
    VOCABULARY as VOCABULARY,
    all_prompts as all_prompts,
    base_prompts as base_prompts,
)
from .pretraining import draw_pretraining as draw_pretraining
from .tasks import MiniWorld as MiniWorld, PerfectGenerator as PerfectGenerator, draw_task as draw_task

"""One self-contained HTML page of finished runs, for `avalanche-gift report --html FILE`."""

from .experiments import Experiment
from .page import write_page
from .pictures import Sheet

__all__ = ["Experiment", "Sheet", "write_page"]

"""Accuracy matrix, Transfer / Average / Last / Forgetting, curves of training, and the report.

Names are imported on first use: of these only the metrics need Avalanche, which takes seconds to import.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

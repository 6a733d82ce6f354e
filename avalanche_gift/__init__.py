"""GIFT (CVPR 2025) for continual learning of CLIP models in Avalanche.

Importing this package is cheap: its names are loaded when they are first used, because `import avalanche` takes seconds.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

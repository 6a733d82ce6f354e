"""Streams for CLIP: Avalanche benchmarks whose experiences carry class names and templates.

Names are imported on first use, because Avalanche and torchvision take seconds.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

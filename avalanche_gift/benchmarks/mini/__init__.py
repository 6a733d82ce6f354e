"""The embedded mini world: 139 drawn concepts to pre-train on, and six tasks in styles that pre-training never shows."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

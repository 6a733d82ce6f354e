"""Where synthetic pictures come from and where they are kept: diffusion pipelines, folders, stores, policies."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

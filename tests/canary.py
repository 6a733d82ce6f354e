"""A canary: code that leaves a file behind if it ever runs, in the shapes in which files of a package can carry code."""

import json
import pickle
from pathlib import Path
from typing import Any


class Canary:
    """Writes code and pickles that create `sign` when they run.

    Args:
        sign: the file that shows that code ran; it must lie outside the folders under test.
    """

    def __init__(self, sign: Path):
        self.sign = sign
        self.statement = f"open({str(sign)!r}, 'w').close()"

    def fired(self) -> bool:
        return self.sign.exists()

    def module(self, path: Path, class_name: str = "Evil", base: str = "object") -> Path:
        """A Python file that fires on import."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{self.statement}\n\n\nclass {class_name}({base}):\n    pass\n")
        return path

    def pickled(self) -> bytes:
        """Fires when it is unpickled."""
        return pickle.dumps(self)

    def __reduce__(self) -> Any:
        return (exec, (self.statement,))


def edit_json(path: Path, change: Any) -> None:
    """Rewrites a JSON file; `change` alters the value it is given, or returns another."""
    value = json.loads(path.read_text()) if path.is_file() else {}
    changed = change(value)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value if changed is None else changed))


def shapes(canary: Canary) -> dict[str, bytes]:
    """Content that carries the canary, by what would have to read it for it to fire."""
    import io

    import numpy as np
    import torch

    array, tensors = io.BytesIO(), io.BytesIO()
    np.save(array, np.array([canary], dtype=object), allow_pickle=True)
    torch.save({"weights": canary}, tensors)
    tagged = {"py/object": "evil.Evil", "__class__": "evil.Evil", "auto_map": {"AutoModel": "evil.Evil"}, "module": "evil"}
    return {
        "pickle": canary.pickled(),
        "array of objects": array.getvalue(),
        "torch archive": tensors.getvalue(),
        "Python": f"import evil\n{canary.statement}\n".encode(),
        "JSON with tags": json.dumps(tagged).encode(),
        "YAML with tags": f"!!python/object/apply:builtins.exec [{json.dumps(canary.statement)}]\n".encode(),
        "PostScript": POSTSCRIPT,
    }


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n0 0 8 8 rectfill\nshowpage\n%%EOF\n"
"""An image for Pillow, and a program for Ghostscript, which Pillow starts to read it."""


def fake_ghostscript(folder: Path, canary: Canary) -> Path:
    """A `gs` that fires when it is started with a file."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "gs"
    program.write_text(f"#!/bin/sh\ntouch '{canary.sign}'\n")
    program.chmod(0o755)
    return program

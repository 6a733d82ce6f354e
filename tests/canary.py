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

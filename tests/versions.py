"""Tests the lowest and the newest supported versions in environments of their own: `python tests/versions.py`.

The lowest are the floors in pyproject.toml, each as it stands there; the newest are whatever pip finds. An environment is made
from nothing in a temporary folder, where it needs about 6 GB (as much is downloaded), and removed. The tests are those
that call torch, Avalanche, open_clip, diffusers and transformers; `--tests tests` runs all. Prints one line of JSON per
environment with the versions that were tested; the exit code is 1 if any test failed.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
TESTED = ("torch", "torchvision", "avalanche-lib", "open_clip_torch", "diffusers", "transformers")
TESTS = [
    f"tests/test_{name}.py"
    for name in (
        *("canary", "model_folders_as_data", "pipeline_folders_as_data", "clip_classifier", "generation", "mini_models"),
        *("gift", "gift_gradient", "mtil", "datasets", "resume", "accuracy_matrix", "avalanche_strategies"),
    )
]


def requirements() -> list[str]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]


def floors() -> list[str]:
    """Each requirement with a lower bound, pinned to it."""
    found = (re.fullmatch(r"([\w.-]+)>=([\w.]+)", each) for each in requirements())
    return [f"{match[1]}=={match[2]}" for match in found if match]


def install(folder: Path, kind: str) -> Path:
    """A new environment with this package and its tests' needs; returns its Python."""
    venv.create(folder, with_pip=True, upgrade_deps=True)
    python = folder / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if kind == "lowest":
        (folder / "floors.txt").write_text("\n".join(floors()) + "\n")
        pip += ["--constraint", str(folder / "floors.txt")]
    else:
        pip += ["--upgrade", "--upgrade-strategy", "eager"]
    subprocess.run([*pip, "--editable", f"{ROOT}[test]"], check=True)
    return python


def versions(python: Path) -> dict[str, str]:
    code = f"from importlib.metadata import version; import json; print(json.dumps({{n: version(n) for n in {TESTED!r}}}))"
    return json.loads(subprocess.run([str(python), "-c", code], check=True, capture_output=True, text=True).stdout)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("kinds", nargs="*", choices=["lowest", "newest", []], help="which versions (default: both)")
    parser.add_argument("--tests", nargs="+", default=TESTS, help="what pytest runs (default: what calls the libraries)")
    parser.add_argument("--folder", type=Path, help="where the environments are made and kept (default: temporary, removed)")
    arguments = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory() as temporary:
        for kind in arguments.kinds or ["lowest", "newest"]:
            python = install((arguments.folder or Path(temporary)) / kind, kind)
            # warnings of an old release about its newer neighbours are no failures
            done = subprocess.run([str(python), "-m", "pytest", "-q", "-W", "default", *arguments.tests], cwd=ROOT)
            failed |= done.returncode != 0
            print(json.dumps({"versions": kind, "passed": done.returncode == 0, **versions(python)}), flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

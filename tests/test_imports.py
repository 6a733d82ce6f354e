"""Who imports whom: the arrows of the package point down only, and importing it is cheap."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import avalanche_gift

ROOT = Path(avalanche_gift.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
BASE = {
    *("stream_classes", "distributed", "losses", "consolidation", "prompts", "schedule", "names", "files", "interruption"),
    *("lock", "modes", "pictures", "plain_configs", "image_files", "wordnet"),
}
ROOMS = ("models", "generation", "benchmarks", "evaluation")


def modules_imported(path: Path) -> set[str]:
    """Full names of what a file imports, anywhere in it; names taken from a package count as its modules too."""
    package = ("avalanche_gift", *path.relative_to(ROOT).parent.parts)
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*above, *([node.module] if node.module else [])])
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return found


def ours(path: Path) -> set[str]:
    """The rooms of this package that a file imports from: `losses`, `training`, ..."""
    return {name.split(".")[1] for name in modules_imported(path) if name.startswith("avalanche_gift.")}


def outside(path: Path) -> set[str]:
    return {name.split(".")[0] for name in modules_imported(path)}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_the_reader_of_imports_sees_all_forms(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "room").mkdir()
    file = tmp_path / "room" / "a.py"
    file.write_text(
        "import x.y\nfrom avalanche_gift import cli\nfrom avalanche_gift.run import go\nfrom .b import c\n"
        "from .. import losses\ndef f():\n    import diffusers\n"
    )
    assert ours(file) == {"cli", "run", "room", "losses"}
    assert {"x", "diffusers"} <= outside(file)


BELOW = {
    "stream_classes": {"prompts"},
    "plain_configs": {"files"},
    "lock": {"files", "names"},
    "pictures": {"files"},
    "image_files": {"names"},
}
"""What a pure module may take from another."""


@pytest.mark.parametrize("module", sorted(BASE))
def test_the_pure_modules_import_nothing_of_ours_and_no_avalanche(module):
    path = ROOT / f"{module}.py"
    assert not {each for each in modules_imported(path) if each.split(".")[0] == "avalanche"}
    assert ours(path) <= BELOW.get(module, set())


@pytest.mark.parametrize("path", FILES, ids=name)
def test_diffusers_is_imported_in_generation_only(path):
    assert "diffusers" not in outside(path) or name(path).startswith("generation/")


@pytest.mark.parametrize("path", [path for path in FILES if name(path).split("/")[0] in ROOMS], ids=name)
def test_rooms_build_on_the_pure_modules_and_on_themselves(path):
    assert ours(path) <= BASE | {name(path).split("/")[0]}


@pytest.mark.parametrize("path", [path for path in FILES if name(path).startswith("training/")], ids=name)
def test_training_imports_neither_runs_nor_the_command_line(path):
    assert ours(path) <= BASE | {*ROOMS, "training"}


@pytest.mark.parametrize("path", [path for path in FILES if name(path).startswith("report/")], ids=name)
def test_the_report_builds_on_evaluation_and_the_pure_modules(path):
    assert ours(path) <= BASE | {"evaluation", "report"}


@pytest.mark.parametrize("path", FILES, ids=name)
def test_nothing_imports_the_command_line_but_main(path):
    assert "cli" not in ours(path) or name(path) == "__main__.py"


def test_importing_the_package_loads_nothing_heavy():
    heavy = ("avalanche", "torch", "diffusers", "transformers", "open_clip", "numpy", "PIL")
    code = f"import sys, avalanche_gift; print([m for m in {heavy!r} if m in sys.modules], sorted(avalanche_gift.__all__)[:1])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert answer.stdout.split("]")[0] + "]" == "[]", answer.stdout


def test_every_public_name_is_found():
    for public in avalanche_gift.__all__:
        assert getattr(avalanche_gift, public) is not None
    assert set(avalanche_gift.__all__) <= set(dir(avalanche_gift))
    with pytest.raises(AttributeError, match="GIFTS"):
        _ = avalanche_gift.GIFTS

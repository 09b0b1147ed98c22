"""What must hold of the house as a whole: who imports whom, and what a bare import costs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "napari_promptseg"
HEAVY = (
    "torch",
    "open_clip",
    "transformers",
    "timm",
    "qtpy",
    "PyQt6",
    "PySide6",
    "napari",
    "magicgui",
    "skimage",
    "scipy",
)
#: Of extras, or slow to import: loaded when a file or a cluster asks for them.
ASKED_FOR = ("pydicom", "SimpleITK", "highdicom", "zarr", "dask", "distributed", "bokeh")


def test_import_contracts_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True) == 0


@pytest.mark.parametrize(
    ("module", "banned"),
    [
        ("napari_promptseg", (*HEAVY, *ASKED_FOR)),
        ("napari_promptseg.images.readers", ASKED_FOR),
        ("napari_promptseg.images.dicom_files", ASKED_FOR),
        ("napari_promptseg.cli", ASKED_FOR),
        ("napari_promptseg.samples", ("torch", "open_clip", "transformers", "qtpy", "PyQt6", "PySide6", "napari")),
    ],
)
def test_import_loads_nothing_heavy(module: str, banned: tuple[str, ...]) -> None:
    code = f"import sys, {module}; print(','.join(m for m in {banned!r} if m in sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""


def test_every_public_name_is_there_and_documented() -> None:
    import napari_promptseg

    assert sorted(napari_promptseg.__all__) == list(napari_promptseg.__all__)
    for name in napari_promptseg.__all__:
        thing = getattr(napari_promptseg, name)
        assert (thing.__doc__ or "").strip(), f"{name} has no docstring"
        assert name in dir(napari_promptseg)


def test_a_wrong_public_name_is_refused_by_name() -> None:
    import napari_promptseg

    with pytest.raises(AttributeError, match="no_such_thing"):
        napari_promptseg.no_such_thing  # noqa: B018 - reading the attribute is the test


def test_only_the_gui_imports_qt_or_napari_even_inside_functions() -> None:
    # import-linter reads the same imports; this one also names the line
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.is_relative_to(PACKAGE / "gui"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                modules = [node.module or ""]
            for module in modules:
                if module.split(".")[0] in {"napari", "qtpy", "magicgui", "superqt", "PyQt6", "PySide6", "vispy"}:
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno} imports {module}")
    assert not found


def test_what_is_imported_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *(line for lines in project["optional-dependencies"].values() for line in lines)]
    declared = {normal(re.split(r"[\[<>=!~; ]", line)[0]) for line in lines}
    whose = packages_distributions()
    undeclared = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            for module in {name.split(".")[0] for name in names} - sys.stdlib_module_names - {"napari_promptseg"}:
                if not declared & {normal(name) for name in whose.get(module, [module])}:
                    undeclared.add(f"{path.relative_to(ROOT)} imports {module}")
    assert not undeclared


def normal(name: str) -> str:
    """A distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()

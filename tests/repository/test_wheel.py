"""What a user gets from ``pip install``: everything needed, and working without the repository."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built and unpacked as pip would."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("*.whl")
    site = folder / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


def test_wheel_holds_resources_manifest_and_type_marker(installed: Path) -> None:
    package = installed / "napari_promptseg"
    assert (package / "py.typed").is_file()
    assert (package / "napari.yaml").read_text() == (ROOT / "napari.yaml").read_text()
    for source in (ROOT / "resources").rglob("*"):
        if source.is_file():
            copy = package / "resources" / source.relative_to(ROOT / "resources")
            assert copy.stat().st_size == source.stat().st_size, source
    assert list(installed.glob("*.dist-info/licenses/LICENSE"))


def test_wheel_works_away_from_the_repository(installed: Path, tmp_path: Path) -> None:
    code = (
        "import napari_promptseg, npe2\n"
        "from napari_promptseg.resource_files import resource\n"
        "from napari_promptseg.samples import cat\n"
        "print(napari_promptseg.__file__, resource('embedded'), cat()[0][0].shape, sep='\\n')\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
    )
    package, embedded, shape = result.stdout.splitlines()
    assert Path(package).is_relative_to(installed)
    assert Path(embedded).is_relative_to(installed)
    assert shape == "(300, 451, 3)"

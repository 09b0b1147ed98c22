"""The parts of the embedded model's build script that need neither packs nor packages."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from scripts.embedded_model.towers import IMAGE_PACKAGE, RELEASE, TEXT_PACKAGE, Packages
from scripts.embedded_model.views import view


def test_packages_are_read_from_wheels(tmp_path: Path) -> None:
    wheels, scratch = tmp_path / "wheels", tmp_path / "scratch"
    wheels.mkdir()
    for package in (IMAGE_PACKAGE, TEXT_PACKAGE):
        with zipfile.ZipFile(wheels / f"{package}-{RELEASE}-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{package}/__init__.py", "")
    found = Packages.found(wheels, scratch)
    assert (found.image / "__init__.py").is_file()
    assert found.text.name == TEXT_PACKAGE


def test_a_folder_without_the_packages_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=IMAGE_PACKAGE):
        Packages.found(tmp_path, tmp_path / "scratch")


def lesion(share: float) -> tuple[np.ndarray, np.ndarray]:
    """A dark disc of a given share on a bright square."""
    y, x = np.mgrid[:400, :400] - 200
    inside = x**2 + y**2 < share * 400**2 / np.pi
    picture = np.where(inside[..., None], 60, 200).repeat(3, axis=2).astype(np.uint8)
    return picture, inside.astype(np.uint8)


def test_views_of_a_small_lesion_show_it_large_too() -> None:
    picture, mask = lesion(0.03)
    rng = np.random.default_rng(0)
    shares = [view(picture, [mask], "lesion", rng)[1][0].mean() for _ in range(40)]
    assert max(shares) > 0.5
    assert min(shares) < 0.08


@pytest.mark.parametrize("kind", ["photo", "lesion", "nuclei", "slice"])
def test_a_view_turns_picture_and_labels_alike(kind) -> None:
    picture, mask = lesion(0.2)
    rng = np.random.default_rng(1)
    for _ in range(5):
        seen, (labels,) = view(picture, [mask], kind, rng)
        assert seen.shape[:2] == labels.shape
        assert min(labels.shape) >= 64
        if 0 < labels.mean() < 1:
            assert seen[labels > 0].max() < seen[labels == 0].min()

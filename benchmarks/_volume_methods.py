"""Ways to segment a structure throughout a volume, behind one call each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_promptseg.evaluation.volumes import PlaneForest, Structure, filters

Mask = npt.NDArray[np.bool_]

#: Gives the structure's mask on a plane.
Method = Callable[[int], Mask]

#: A column's name, its method, and the planes that it was shown.
Column = tuple[str, Method, list[int]]

#: The columns of the report, and those that say where the gain comes from.
COLUMNS = ("text", "roi", "planes1", "planes3", "planes10", "forest3", "forest10")
ABLATIONS = ("looks", "place", "forest_place")


class Planes:
    """Planes of one volume along its first axis, each encoded and filtered once.

    Parameters
    ----------
    segmenter : Segmenter
        With a cache in memory.
    stack : ImageStack
    """

    def __init__(self, segmenter: Any, stack: Any) -> None:
        from napari_promptseg.segmentation.volumes.planes import PlaneGrid, resliced

        self.segmenter, self.stack = segmenter, stack
        self.shown, self.grid = resliced(stack, "axial"), PlaneGrid.of(stack, "axial")
        self._filters: dict[int, npt.NDArray[np.float32]] = {}

    def features(self, plane: int) -> Any:
        """Of the encoder; the plane is then in the segmenter's hand."""
        return self.segmenter.set_image(self.shown, plane=plane)

    def filters(self, plane: int) -> npt.NDArray[np.float32]:
        """Of the forest."""
        if plane not in self._filters:
            self._filters[plane] = filters(self.stack.picture(plane))
        return self._filters[plane]

    def chances(self, plane: int, prompts: Any) -> torch.Tensor:
        """``(2, rows, columns)`` of the structure's words and what was learned."""
        from napari_promptseg.segmentation.volumes.chances import pixel_chances

        self.features(plane)
        return self.grid.chances_back(pixel_chances(self.segmenter, prompts))

    def drawn(self, plane: int, prompts: Any, value: int) -> Mask:
        """As the tool draws the structure without any prior."""
        self.features(plane)
        mask: Mask = self.grid.labels_back(self.segmenter.segment(prompts).labels) == value
        return mask


def methods(
    planes: Planes,
    structure: Structure,
    columns: Sequence[str],
    *,
    kind: str,
    seed: int,
    ablations: Sequence[str] = (),
    settings: Any = None,
) -> Iterator[Column]:
    """The methods of some columns, made one by one; with ablations further ones for every number of planes."""
    from napari_promptseg.prompts.prompt_set import ClassPrompt, PromptSet

    prompts = PromptSet((ClassPrompt(structure.name, 1),), image_kind=kind)
    for column in columns:
        if column == "text":
            yield column, lambda plane: planes.drawn(plane, prompts, 1), []
        elif column == "roi":
            yield column, by_region(planes, structure, prompts, seed), [structure.largest()]
        else:
            n = int(column.removeprefix("planes").removeprefix("forest"))
            made = by_forest if column.startswith("forest") else by_planes
            yield from made(planes, structure, prompts, structure.corrected(n), column, seed, ablations, settings)


def by_region(planes: Planes, structure: Structure, prompts: Any, seed: int) -> Method:
    """The structure drawn on the plane with its largest section and looked for on every other."""
    from napari_promptseg.concepts.measured import measure_concept
    from napari_promptseg.learning.regions import DrawnRegion, RegionSettings, learn_regions

    plane = structure.largest()
    region = planes.grid.labels_shown(structure.truth[plane])
    features = planes.features(plane)
    concept = measure_concept(planes.shown, region, plane=plane, image_kind=prompts.image_kind)
    drawn = DrawnRegion(features, region, 1, True, concept.with_name(structure.name))
    learned = learn_regions(planes.segmenter, prompts, [drawn], settings=RegionSettings(seed=seed)).prompts
    return lambda z: planes.drawn(z, learned, 1)


def by_planes(
    planes: Planes, structure: Structure, prompts: Any, shown: list[int], column: str, seed: int,
    ablations: Sequence[str], settings: Any,
) -> Iterator[Column]:  # fmt: skip
    """Planes corrected by the user: what `VolumeLearner` makes of them, and its parts."""
    from dataclasses import replace

    from napari_promptseg.learning.volume_learner import VolumeLearner, VolumeSettings

    corrected = [_corrected(structure, z) for z in shown]
    features: Any = {("axial", z): planes.features(z) for z in shown}
    chosen = settings or VolumeSettings()
    learner = VolumeLearner(replace(chosen, looks=replace(chosen.looks, seed=seed)))
    taught = learner.fit(planes.segmenter, planes.stack, prompts, corrected, features=features)

    def whole(z: int) -> Mask:
        return decided(taught.prior.adjusted("axial", z, planes.chances(z, taught.prompts)))

    yield column, whole, shown
    if "looks" in ablations:
        yield f"{column}_looks", lambda z: decided(planes.chances(z, taught.prompts)), shown
    if "place" in ablations:
        yield f"{column}_place", lambda z: decided(torch.from_numpy(taught.prior.logits("axial", z))), shown


def by_forest(
    planes: Planes, structure: Structure, prompts: Any, shown: list[int], column: str, seed: int,
    ablations: Sequence[str], settings: Any,
) -> Iterator[Column]:  # fmt: skip
    """The random forest taught on the same planes, and the same with what `ByPlace` knows of them."""
    from napari_promptseg.segmentation.volumes.prior import ByPlace

    forest = PlaneForest(seed=seed)
    forest.fit([planes.filters(z) for z in shown], [structure.truth[z] for z in shown])
    yield column, lambda z: decided(torch.from_numpy(forest.chances(planes.filters(z)))), shown
    if "forest_place" in ablations:
        corrected = [_corrected(structure, z) for z in shown]
        place = settings.place if settings else None
        prior = ByPlace(structure.truth.shape, planes.stack.spacing, (0, 1), corrected, place)

        def together(z: int) -> Mask:
            return decided(prior.adjusted("axial", z, torch.from_numpy(forest.chances(planes.filters(z)))))

        yield f"{column}_place", together, shown


def decided(maps: torch.Tensor) -> Mask:
    """Where the second of two maps is the larger."""
    mask: Mask = (maps[1] > maps[0]).numpy()
    return mask


def _corrected(structure: Structure, plane: int) -> Any:
    from napari_promptseg.segmentation.volumes.prior import CorrectedPlane

    return CorrectedPlane("axial", plane, structure.truth[plane].astype(np.uint8))

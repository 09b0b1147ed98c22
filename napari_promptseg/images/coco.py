"""Regions of many pictures in one COCO file: runs of pixels, or polygons."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from napari_promptseg.errors import InputError

if TYPE_CHECKING:
    from napari_promptseg.images.writers import Legend

#: How a region's pixels are told: runs hold them exactly, polygons are what most editors want.
Shape = Literal["runs", "polygons"]


class CocoFile:
    """A COCO file of one or many pictures.

    Each connected region (by sides and corners) of each class is one annotation, whose category is the class's
    number in label images.

    Parameters
    ----------
    prompts : PromptSet
        The classes, which become categories.
    shape : Shape
        Polygons cannot hold a hole: a region with one is written as runs.

    Notes
    -----
    COCO: Lin et al., Microsoft COCO: common objects in context, ECCV 2014; runs of pixels go down the columns, begin
    with background and are not packed, as ``pycocotools.mask.frPyObjects`` takes them.
    """

    def __init__(self, prompts: Legend, shape: Shape = "runs") -> None:
        self.shape: Shape = shape
        self._values = [c.value for c in prompts.classes]
        self._categories = [{"id": c.value, "name": c.name, "supercategory": ""} for c in prompts.classes]
        self._legend: dict[str, Any] = {}
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []

    def add(self, name: str, labels: npt.NDArray[Any], legend: Mapping[str, Any]) -> None:
        """Take in the labels ``(Y, X)`` of the picture file `name`; nothing is written yet.

        Raises
        ------
        InputError
            If the labels are no plane.
        """
        if labels.ndim != 2:
            raise InputError(f"A COCO file holds planes; {name!r} has labels of shape {labels.shape}.")
        number = len(self._images) + 1
        height, width = (int(n) for n in labels.shape)
        self._images.append(
            {"id": number, "file_name": name, "height": height, "width": width, "provenance": legend["provenance"]}
        )
        # what a class covers of many pictures is told by their annotations
        several = [{k: v for k, v in c.items() if k != "area_share"} for c in legend["classes"]]
        self._legend = dict(legend) if number == 1 else {"classes": several}
        for value, box, mask in _regions(labels, self._values):
            self._annotations.append(
                {
                    "id": len(self._annotations) + 1,
                    "image_id": number,
                    "category_id": value,
                    "bbox": [box[1], box[0], mask.shape[1], mask.shape[0]],
                    "area": int(np.count_nonzero(mask)),
                    "iscrowd": 0,
                    "segmentation": self._segmentation(mask, box, (height, width)),
                }
            )

    def encoded(self) -> bytes:
        """The file's content; of a single picture it has the legend's keys too."""
        from napari_promptseg.images.writers import plain

        content = {
            "info": {"description": "Labels by napari-promptseg"},
            "licenses": [],
            **self._legend,
            "categories": self._categories,
            "images": self._images,
            "annotations": self._annotations,
        }
        return json.dumps(content, ensure_ascii=False, default=plain).encode("utf-8", "backslashreplace")

    def _segmentation(self, mask: npt.NDArray[np.bool_], corner: tuple[int, int], plane: tuple[int, int]) -> Any:
        if self.shape == "polygons":
            outline = _polygon(mask)
            if outline is not None:
                return [[float(v) for y, x in outline for v in (x + corner[1], y + corner[0])]]
        return {"size": list(plane), "counts": runs(mask, corner, plane)}


def join_files(files: Sequence[Path], target: Path) -> None:
    """Put COCO files of this program, of the same classes, into one for all their pictures.

    Parameters
    ----------
    files : sequence of pathlib.Path
        At least one.
    target : pathlib.Path
        Replaced where it exists.

    Raises
    ------
    InputError
        If a file cannot be read.
    OutputError
        If the disk refuses.
    """
    from napari_promptseg.images.writers import write_files

    joined: dict[str, Any] = {}
    for file in files:
        try:
            part = json.loads(file.read_text(encoding="utf-8"))
            first = {key: len(joined.get(key, ())) for key in ("images", "annotations")}
            if not joined:
                classes = [{k: v for k, v in c.items() if k != "area_share"} for c in part["classes"]]
                joined = {"info": part["info"], "licenses": [], "classes": classes, "categories": part["categories"]}
                joined |= {"images": [], "annotations": []}
            joined["images"] += [{**i, "id": i["id"] + first["images"]} for i in part["images"]]
            joined["annotations"] += [
                {**a, "id": a["id"] + first["annotations"], "image_id": a["image_id"] + first["images"]}
                for a in part["annotations"]
            ]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{file.name!r} cannot be read as a COCO file: write it anew with --overwrite.") from error
    write_files({target: json.dumps(joined, ensure_ascii=False).encode("utf-8", "backslashreplace")})


def runs(mask: npt.NDArray[np.bool_], corner: tuple[int, int], plane: tuple[int, int]) -> list[int]:
    """Lengths of the runs of background and region in turn, down the columns of the whole plane.

    Parameters
    ----------
    mask : numpy.ndarray
        ``(y, x)`` bool, a box of the plane.
    corner : tuple of int
        Row and column of the box.
    plane : tuple of int
        ``(Y, X)``.
    """
    columns, rows = np.nonzero(mask.T)
    places = (columns + corner[1]) * plane[0] + rows + corner[0]
    if not len(places):
        return [plane[0] * plane[1]]
    breaks = np.flatnonzero(np.diff(places) != 1)
    starts = places[np.r_[0, breaks + 1]]
    ends = places[np.r_[breaks, len(places) - 1]] + 1
    edges = np.r_[np.stack([starts, ends], axis=1).ravel(), plane[0] * plane[1]]
    counts: list[int] = np.diff(edges, prepend=0).tolist()
    return counts if counts[-1] else counts[:-1]


def _regions(
    labels: npt.NDArray[Any], values: Sequence[int]
) -> Iterator[tuple[int, tuple[int, int], npt.NDArray[np.bool_]]]:
    """Value, corner and mask of each connected region, class by class."""
    from scipy import ndimage

    for value in values:
        numbered, _ = ndimage.label(labels == value, structure=np.ones((3, 3), bool))
        for number, box in enumerate(ndimage.find_objects(numbered), start=1):
            yield value, (int(box[0].start), int(box[1].start)), numbered[box] == number


def _polygon(mask: npt.NDArray[np.bool_]) -> list[tuple[float, float]] | None:
    """Corners ``(y, x)`` of the region's outline along the edges of its pixels; None where it has a hole.

    Drawn twice as large, scikit-image's contour passes within a quarter of a pixel of each edge, and rounding puts
    it there, so that the polygon fills to the very same pixels.
    """
    from skimage.measure import find_contours

    large = np.pad(np.kron(mask, np.ones((2, 2), np.uint8)), 1)
    outlines = find_contours(large, 0.5, fully_connected="high")
    if len(outlines) != 1:
        return None
    # the first pixel's upper edge lies between rows 0 and 1 of the enlarged, padded picture
    corners = np.rint((outlines[0][:-1] - 0.5) / 2)
    corners = corners[np.any(corners != np.roll(corners, 1, axis=0), axis=1)]
    step = corners - np.roll(corners, 1, axis=0)
    turns = np.any(np.sign(step) != np.sign(np.roll(step, -1, axis=0)), axis=1)
    return [(float(y), float(x)) for y, x in corners[turns]]

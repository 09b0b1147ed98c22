"""Scoring a scene in several modalities with what grouping prompt tuning learned.

The first modality goes through the image tower with prompters between its stages, which read the others' tokens on the
way; the others go through it as they are. Weights on all of them together change the scores of late fusion. Where one
is missing, weights learned on each modality by itself take over for those that are there.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import torch

from napari_promptseg.encoders.encoder import Encoder
from napari_promptseg.encoders.features import DenseFeatures
from napari_promptseg.encoders.stages import Begun, StagedTower, staged_tower
from napari_promptseg.prompts.grouping import Prompters
from napari_promptseg.prompts.modality_notes import ModalityNote, matched
from napari_promptseg.segmentation.fusion import Counted
from napari_promptseg.segmentation.grouping import Grouping
from napari_promptseg.segmentation.measured import measured
from napari_promptseg.segmentation.scene import Scene, View
from napari_promptseg.segmentation.scoring import ScoreMaps
from napari_promptseg.segmentation.settings import SegmentationSettings
from napari_promptseg.segmentation.tiling import FeatureMosaic, Layout, slimmed

Picture = npt.NDArray[np.uint8]

#: Longest side of the grid on which tiles are measured.
_TILE_GRID = 128

_made: WeakKeyDictionary[Scene, tuple[Grouping, list[DenseFeatures], torch.Tensor]] = WeakKeyDictionary()
_lock = threading.Lock()


def beside(picture: Picture, first: Picture, note: ModalityNote, first_note: ModalityNote) -> Picture:
    """How an auxiliary modality is shown to the tower beside the first one.

    Beside a colour picture a grey one takes the place of red, and red and green those of green and blue: the false
    colours of remote sensing, in which differences between the two are differences of hue, which the tower sees.
    """
    if first_note.kind != "rgb" or note.kind == "rgb":
        return picture
    return np.stack([picture[..., 0], first[..., 0], first[..., 1]], axis=-1)


def look(
    encoder: Encoder,
    tower: StagedTower,
    pictures: Sequence[Picture],
    prompters: Prompters | None,
    shape: tuple[int, int],
) -> list[DenseFeatures]:
    """Features of each modality of one picture, the first one's as the prompters make them.

    Parameters
    ----------
    encoder : Encoder
    tower : StagedTower
        Its image tower.
    pictures : sequence of numpy.ndarray
        ``(Y, X, 3)`` uint8 each, as `beside` shows them.
    prompters : Prompters, optional
    shape : tuple of int
        Of the plane in pixels.
    """
    stages = prompters.stages if prompters else (tower.default_stages[0],)
    with torch.no_grad():
        first = tower.begin(pictures[0], stages[0])
        others = [tower.begin(p, stages[-1], stages) for p in pictures[1:]]
        hook = prompters.hook(others) if prompters else None
        return [_features(encoder, tower, begun, shape, hook if begun is first else None) for begun in (first, *others)]


def members(parts: Sequence[Counted], notes: Sequence[ModalityNote]) -> list[Counted | None]:
    """The part of a scene that each note speaks of; None for one that is absent or does not count."""
    found = matched([p.scene.shows for p in parts], notes)
    return [next((p for p, f in zip(parts, found, strict=True) if f == j), None) for j in range(len(notes))]


def grouped_scores(
    encoder: Encoder,
    grouping: Grouping,
    parts: Sequence[Counted],
    prior: torch.Tensor,
    settings: SegmentationSettings,
) -> ScoreMaps:
    """Scores of a scene with what was learned on top of the words.

    Parameters
    ----------
    encoder : Encoder
    grouping : Grouping
    parts : sequence of Counted
        Modalities that are there, in any order.
    prior : torch.Tensor
        ``(C + 1, h, w)`` log-probabilities of the words, fused.
    settings : SegmentationSettings
        For the tiles of a large plane.

    Returns
    -------
    ScoreMaps
        On the grid of the details; the prior itself where none of the modalities was learned.
    """
    there = members(parts, grouping.notes)
    full = [m for m in there if m is not None]
    if len(full) == len(there):
        logits = grouping.joint.logits(*_grouped(encoder, grouping, full, settings), prior)
        return ScoreMaps(logits[1:], logits[0])
    total = sum(m.weight for m in full)
    if not full:
        return ScoreMaps(prior[1:], prior[0])
    maps = [
        m.weight / total * head.logits([f := m.scene.features], measured_of([m], [note], f, settings), prior)
        for m, head, note in zip(there, grouping.alone, grouping.notes, strict=True)
        if m is not None
    ]
    logits = torch.stack(maps).sum(dim=0)
    return ScoreMaps(logits[1:], logits[0])


def _grouped(
    encoder: Encoder, grouping: Grouping, there: Sequence[Counted], settings: SegmentationSettings
) -> tuple[list[DenseFeatures], torch.Tensor]:
    """Features of all modalities of a scene and what they measure, kept as long as the scene is."""
    key = there[0].scene
    with _lock:
        kept = _made.get(key)
    if kept is not None and kept[0] is grouping:
        return kept[1], kept[2]
    tower = staged_tower(encoder)
    prompters = None if grouping.prompters is None else grouping.prompters.to(encoder.device)
    views = [m.scene.view for m in there]
    shape = views[0].shape
    if max(shape) <= settings.whole_up_to:
        pictures = [v.squared(v.picture()) for v in views]
        features = look(encoder, tower, _shown(pictures, grouping.notes), prompters, shape)
    else:
        features = _tiled(encoder, tower, views, grouping, prompters, settings)
    values = measured_of(there, grouping.notes, features[0], settings)
    with _lock:
        _made[key] = (grouping, features, values)
    return features, values


def measured_of(
    there: Sequence[Counted], notes: Sequence[ModalityNote], features: DenseFeatures, settings: SegmentationSettings
) -> torch.Tensor:
    """``(h, w, k)``, on the grid of the details where the plane is worked on whole."""
    views = [m.scene.view for m in there]
    shape, device = views[0].shape, features.semantic.device
    if max(shape) <= settings.whole_up_to:
        grid = (int(features.detail.shape[0]), int(features.detail.shape[1]))
        return measured([v.squared(v.picture()) for v in views], notes, grid, device)
    layout = Layout(shape, settings.tile_size, settings.tile_overlap)
    height, width = layout.tile_shape
    grid = (max(1, _TILE_GRID * height // max(height, width)), max(1, _TILE_GRID * width // max(height, width)))
    mosaic = FeatureMosaic(layout)
    for tile in layout:
        values = measured([v.picture(tile.rows, tile.columns) for v in views], notes, grid, device)
        mosaic.add(tile, DenseFeatures(values, values, values[0, 0], (height, width), features.fingerprint))
    return mosaic.features().semantic


def _tiled(
    encoder: Encoder,
    tower: StagedTower,
    views: Sequence[View],
    grouping: Grouping,
    prompters: Prompters | None,
    settings: SegmentationSettings,
) -> list[DenseFeatures]:
    layout = Layout(views[0].shape, settings.tile_size, settings.tile_overlap)
    mosaics = [FeatureMosaic(layout) for _ in views]
    for tile in layout:
        pictures = [v.picture(tile.rows, tile.columns) for v in views]
        size = (int(pictures[0].shape[0]), int(pictures[0].shape[1]))
        found = look(encoder, tower, _shown(pictures, grouping.notes), prompters, size)
        for mosaic, features in zip(mosaics, found, strict=True):
            mosaic.add(tile, slimmed(features))
    return [m.features() for m in mosaics]


def _shown(pictures: Sequence[Picture], notes: Sequence[ModalityNote]) -> list[Picture]:
    first = pictures[0]
    return [first, *(beside(p, first, n, notes[0]) for p, n in zip(pictures[1:], notes[1:], strict=True))]


def _features(
    encoder: Encoder, tower: StagedTower, begun: Begun, shape: tuple[int, int], hook: object
) -> DenseFeatures:
    found = tower.finish(begun, hook)  # type: ignore[arg-type]
    pooled = found.semantic.mean(dim=(0, 1))
    return DenseFeatures(found.semantic, found.detail.half(), pooled, shape, encoder.fingerprint)

"""The one object that the widget, the command line and scripts segment with."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_promptseg.encoders.cache import FeatureCache, picture_hash
from napari_promptseg.encoders.encoder import Encoder, Familiarity, Quality
from napari_promptseg.encoders.features import DenseFeatures
from napari_promptseg.errors import InputError
from napari_promptseg.images.stack import ImageStack
from napari_promptseg.progress import Progress, silent
from napari_promptseg.prompts.embedding import embed_prompts
from napari_promptseg.prompts.multiview import learned_scores
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.prompts.text_free import image_vectors
from napari_promptseg.segmentation.background import with_fitting_background
from napari_promptseg.segmentation.calibration import probabilities
from napari_promptseg.segmentation.canvas import Canvas
from napari_promptseg.segmentation.decision import Rule, decide
from napari_promptseg.segmentation.label_map import LabelMap
from napari_promptseg.segmentation.learned_heads import student_of
from napari_promptseg.segmentation.live_heads import live_heads, narrowed, without_live
from napari_promptseg.segmentation.provenance import provenance
from napari_promptseg.segmentation.refinement import make_refiner
from napari_promptseg.segmentation.region_head import region_heads, with_region_heads
from napari_promptseg.segmentation.sampling import bilinear_matrix, centres, resample
from napari_promptseg.segmentation.scene import Scene, View
from napari_promptseg.segmentation.scoring import ScoreMaps, score
from napari_promptseg.segmentation.settings import SegmentationSettings
from napari_promptseg.segmentation.tiling import FeatureMosaic, Layout, slimmed, windows


class Segmenter:
    """Costly once per picture, cheap per question.

    Parameters
    ----------
    encoder : Encoder
        A frozen model.
    settings : SegmentationSettings
        May be replaced at any time through `settings`; only `quality` and the tile sizes need a new `set_image`.
    cache : FeatureCache, optional
        Keeps features in memory and on disk, so that a picture seen before is not encoded again.

    Examples
    --------
    >>> segmenter = Segmenter(load_encoder())                        # doctest: +SKIP
    >>> segmenter.set_image(read_image("cat.jpg"))                   # doctest: +SKIP
    >>> result = segmenter.segment(PromptSet.from_text("cat, sofa")) # doctest: +SKIP

    Notes
    -----
    `set_image` and `segment` may be called from different threads: a segmentation uses the picture that stood
    when it began, and of two pictures being encoded at once the one asked for last stays.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        settings: SegmentationSettings | None = None,
        cache: FeatureCache | None = None,
    ) -> None:
        self.encoder = encoder
        self.settings = settings or SegmentationSettings()
        self.cache = cache
        self._scene: Scene | None = None
        self._standing = 0
        self._tickets = itertools.count(1)
        self._lock = threading.Lock()
        # both by the model's fingerprint, since `encoder` may be replaced
        self._known: dict[tuple[str, str], Familiarity] = {}
        self._facts: dict[str, dict[str, Any]] = {}

    @property
    def features(self) -> DenseFeatures | None:
        """Features of the picture in hand; None before the first `set_image`."""
        scene = self._scene
        return scene.features if scene else None

    def set_image(
        self,
        stack: ImageStack,
        *,
        plane: int = 0,
        modality: int = 0,
        quality: Quality | None = None,
        progress: Progress = silent,
    ) -> DenseFeatures:
        """Encode one plane, or take its features from the cache.

        Parameters
        ----------
        stack : ImageStack
            Any size; read tile by tile where it is large.
        plane, modality : int
            Which plane of which modality.
        quality : {"fast", "fine"}, optional
            The settings' own where not given.
        progress : Progress
            Called between pieces of work; raising `CancelledError` in it leaves the picture before in place.

        Returns
        -------
        DenseFeatures
            Of the whole plane.

        Raises
        ------
        InputError
            For a plane or modality that does not exist, or values that are no picture.
        """
        if not 0 <= modality < len(stack.modalities):
            raise InputError(f"Modality {modality} does not exist: the image has {len(stack.modalities)}.")
        if not 0 <= plane < stack.n_planes:
            raise InputError(f"Plane {plane} does not exist: the image has {stack.n_planes}.")
        ticket = next(self._tickets)
        settings = self.settings
        quality = quality or settings.quality
        view = View(stack, plane, modality, stack.limits(modality))
        if max(view.shape) <= settings.whole_up_to:
            picture = view.picture()
            scene = Scene(view, quality, self._encode(picture, quality, progress), picture)
        else:
            scene = Scene(view, quality, self._encode_tiles(view, settings, quality, progress), None)
        with self._lock:
            if ticket > self._standing:
                self._scene, self._standing = scene, ticket
        return scene.features

    def segment(self, prompts: PromptSet, *, want_probabilities: bool = False, progress: Progress = silent) -> LabelMap:
        """Label every pixel of the picture in hand.

        Parameters
        ----------
        prompts : PromptSet
            At least one class.
        want_probabilities : bool
            Also give one float16 map per class.
        progress : Progress
            Called between the windows of a large plane.

        Returns
        -------
        LabelMap
            Hidden classes have their labels too: they compete, and the display leaves them out.

        Raises
        ------
        InputError
            If no picture was set or no class is named.
        """
        scene = self._scene
        if scene is None:
            raise InputError("No image is set: choose an image first.")
        if not len(prompts):
            raise InputError("No class is named: type at least one, for example: cat, sofa | couch.")
        settings = narrowed(self.settings, prompts, whole=scene.picture is not None)
        prompts = with_fitting_background(prompts, self.encoder)
        maps = self.coarse_probabilities(prompts, scene=scene)
        # after the scores, for which the names were embedded in one go with their sentences
        known = self.known(prompts)
        rule = Rule.make(
            [c.threshold for c in prompts.classes],
            unknown=[k == "unknown" for k in known],
            ceiling=settings.unknown_ceiling,
        )
        canvas = Canvas(scene.view.shape, [c.value for c in prompts.classes], want_probabilities)
        if scene.picture is not None:
            refined = scene.refiner(settings, maps.device)(maps)
            canvas.put(slice(None), slice(None), refined, decide(refined, rule))
        else:
            _decide_windows(scene, maps, rule, settings, canvas, progress)
        made_by = provenance(
            self._described(),
            self.encoder.fingerprint,
            prompts,
            known,
            settings,
            stack=scene.view.stack,
            plane=scene.view.plane,
            modality=scene.view.modality,
            quality=scene.quality,
        )
        return canvas.finish(made_by)

    def coarse_probabilities(self, prompts: PromptSet, *, scene: Scene | None = None) -> torch.Tensor:
        """Calibrated probabilities on the grid of `score_maps`, before refinement.

        Returns
        -------
        torch.Tensor
            ``(C + 1, h, w)`` float32: background, then the classes in order.
        """
        return self._chances(self.score_maps(prompts, scene=scene), self._capped(prompts))

    def score_maps(self, prompts: PromptSet, *, scene: Scene | None = None) -> ScoreMaps:
        """Logits before calibration.

        Returns
        -------
        ScoreMaps
            On the grid of the joint features; on the finer one of the details where a student or live weights were
            learned.

        Raises
        ------
        InputError
            If no picture was set, or what was learned belongs to another model.
        """
        scene = scene or self._scene
        if scene is None:
            raise InputError("No image is set: choose an image first.")
        # what strokes taught changes all the time, and the student under it does not
        learned = without_live(prompts).learned
        decoded = scene.features if learned is None else scene.decoded(learned)
        return self._scored(prompts, scene.features, decoded)

    def probabilities_of(self, features: DenseFeatures, prompts: PromptSet) -> torch.Tensor:
        """`coarse_probabilities` of another plane, from its features alone."""
        student = None if prompts.learned is None else student_of(prompts.learned)
        decoded = features if student is None else student.to(features.semantic.device).adapted(features)
        return self._chances(self._scored(prompts, features, decoded), self._capped(prompts))

    def _scored(self, prompts: PromptSet, features: DenseFeatures, decoded: DenseFeatures) -> ScoreMaps:
        """Score the features that a student made, or frozen ones, and add what live learning found."""
        prompts = with_fitting_background(prompts, self.encoder)
        embedded = embed_prompts(self.encoder, prompts)
        # presence is that of the frozen features, which the prompts were tuned on
        learned = learned_scores(prompts, features)
        scores = score(
            decoded,
            image_vectors(prompts, embedded.class_vectors, features),
            embedded.background,
            self.encoder,
            prompts.pooling,
            learned,
        )
        regions = region_heads(prompts)
        if regions:
            raw = self._chances(scores, ["known"] * len(prompts))
            logits = with_region_heads(prompts, regions, features, raw, scores)
            scores = ScoreMaps(logits[1:], logits[0])
        heads = live_heads(prompts)
        if not heads:
            return scores
        known = self.known(without_live(prompts))
        for head in heads:
            logits = head.logits(features, self._chances(scores, known).clamp_min(1e-4).log())
            scores, known = ScoreMaps(logits[1:], logits[0]), self._capped(prompts)
        return scores

    def _capped(self, prompts: PromptSet) -> list[Familiarity]:
        """As `known`, for calibration: under live weights the words of unknown names have been capped already."""
        return ["known"] * len(prompts) if live_heads(prompts) else self.known(prompts)

    def _chances(self, scores: ScoreMaps, known: Sequence[Familiarity]) -> torch.Tensor:
        return probabilities(
            scores,
            sigmoid=self.encoder.sigmoid,
            familiarity=known,
            unknown_ceiling=self.settings.unknown_ceiling,
        )

    def familiarity(self, names: Sequence[str]) -> list[Familiarity]:
        """How well the model knows each name; asked once per name."""
        model = self.encoder.fingerprint
        new = [n for n in dict.fromkeys(names) if (model, n) not in self._known]
        if new:
            for name, (known, _) in zip(new, self.encoder.familiarity(new), strict=True):
                self._known[model, name] = known
        return [self._known[model, n] for n in names]

    def _described(self) -> dict[str, Any]:
        """Facts about the model, asked once: counting its parameters takes as long as a mask."""
        model = self.encoder.fingerprint
        if model not in self._facts:
            self._facts[model] = self.encoder.describe()
        return dict(self._facts[model])

    def known(self, prompts: PromptSet) -> list[Familiarity]:
        """How well each class is known: a tuned one was shown, whatever its name."""
        taught = prompts.learned.taught if prompts.learned is not None else frozenset[int]()
        names = self.familiarity(prompts.names)
        return ["known" if c.value in taught else f for c, f in zip(prompts.classes, names, strict=True)]

    def _encode(
        self, picture: npt.NDArray[np.uint8], quality: Quality, progress: Progress, *, tile: bool = False
    ) -> DenseFeatures:
        """Features of a picture; of a tile, with `detail` brought to the coarse grid."""
        if self.cache is None:
            features = self.encoder.encode_plane(picture, quality=quality, progress=progress)
            return slimmed(features) if tile else features
        key = (picture_hash(picture), self.encoder.fingerprint, quality, "tile" if tile else "plane")
        kept = self.cache.get(key, self.encoder.device)
        if kept is None:
            kept = self.encoder.encode_plane(picture, quality=quality, progress=progress)
            kept = slimmed(kept) if tile else kept
            self.cache.put(key, kept)
        return kept

    def _encode_tiles(
        self, view: View, settings: SegmentationSettings, quality: Quality, progress: Progress
    ) -> DenseFeatures:
        layout = Layout(view.shape, settings.tile_size, settings.tile_overlap)
        mosaic = FeatureMosaic(layout)
        for i, tile in enumerate(layout):
            progress(i, len(layout), f"encoding tile {i + 1} of {len(layout)}")
            # the tile's own steps are not shown, but each is a chance to stop
            step = _quiet(progress, i, len(layout))
            picture = view.picture(tile.rows, tile.columns)
            mosaic.add(tile, self._encode(picture, quality, step, tile=True))
        progress(len(layout), len(layout), "encoded")
        return mosaic.features()


def _quiet(progress: Progress, done: int, total: int) -> Callable[[int, int, str], None]:
    """Pass steps within a tile on as the tile's own."""

    def step(_done: int, _total: int, description: str) -> None:
        progress(done, total, f"encoding tile {done + 1} of {total}")

    return step


def _decide_windows(
    scene: Scene,
    maps: torch.Tensor,
    rule: Rule,
    settings: SegmentationSettings,
    canvas: Canvas,
    progress: Progress,
) -> None:
    """Refine and decide a large plane window by window; each is read with a margin, so that no seam shows."""
    shape = scene.view.shape
    parts = list(windows(shape, settings.tile_size, settings.tile_overlap))
    for i, (inner, outer) in enumerate(parts):
        progress(i, len(parts), f"segmenting part {i + 1} of {len(parts)}")
        matrices = []
        for start, length, whole, cells in (
            (outer.top, outer.height, shape[0], maps.shape[-2]),
            (outer.left, outer.width, shape[1], maps.shape[-1]),
        ):
            # twice as fine as the map, since the window's cells do not line up with it
            n = max(1, min(length, round(2 * length * cells / whole)))
            matrices.append(bilinear_matrix(centres(n, start / whole, (start + length) / whole), cells))
        refiner = make_refiner(scene.view.picture(outer.rows, outer.columns), settings, maps.device)
        refined = refiner(resample(maps, *matrices))
        top, left = inner.top - outer.top, inner.left - outer.left
        inside = (slice(top, top + inner.height), slice(left, left + inner.width))
        canvas.put(inner.rows, inner.columns, refined, decide(refined, rule), inside)
    progress(len(parts), len(parts), "segmented")

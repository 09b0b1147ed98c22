"""The one object that the widget, the command line and scripts segment with."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

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
from napari_promptseg.prompts.modality_notes import modality_notes
from napari_promptseg.prompts.multiview import learned_scores
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.prompts.text_free import image_vectors
from napari_promptseg.segmentation.background import with_fitting_background
from napari_promptseg.segmentation.calibration import probabilities
from napari_promptseg.segmentation.canvas import Canvas
from napari_promptseg.segmentation.decision import Rule, decide
from napari_promptseg.segmentation.fine_head import with_pixels
from napari_promptseg.segmentation.fusion import (
    Counted,
    JointFeatures,
    counted,
    described,
    fitting,
    fused,
    guide_of,
    joint_features,
)
from napari_promptseg.segmentation.grouped import grouped_scores
from napari_promptseg.segmentation.grouping import grouping_of, without_grouping
from napari_promptseg.segmentation.label_map import LabelMap
from napari_promptseg.segmentation.learned_heads import student_of
from napari_promptseg.segmentation.live_heads import live_heads, narrowed, without_live
from napari_promptseg.segmentation.provenance import provenance
from napari_promptseg.segmentation.region_head import region_heads, with_region_heads
from napari_promptseg.segmentation.scene import Scene, View
from napari_promptseg.segmentation.scoring import ScoreMaps, score
from napari_promptseg.segmentation.settings import SegmentationSettings
from napari_promptseg.segmentation.tiling import FeatureMosaic, Layout, slimmed, steps_within
from napari_promptseg.segmentation.window_decision import decide_windows


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
    def scene(self) -> Scene | None:
        """The picture in hand with all its modalities; None before the first `set_image`."""
        return self._scene

    @property
    def features(self) -> DenseFeatures | None:
        """Features of the picture in hand, its first modality's; None before the first `set_image`."""
        scene = self._scene
        return scene.features if scene else None

    def set_image(
        self,
        stack: ImageStack,
        *,
        plane: int = 0,
        modality: int = 0,
        modalities: Sequence[int] | Literal["all"] | None = None,
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
        modalities : sequence of int or "all", optional
            Several modalities of the plane instead of one. Each is encoded as a picture of its own, and `segment`
            fuses their scores, see `segmentation.fusion`. Those that are absent are left out.
        quality : {"fast", "fine"}, optional
            The settings' own where not given.
        progress : Progress
            Called between pieces of work; raising `CancelledError` in it leaves the picture before in place.

        Returns
        -------
        DenseFeatures
            Of the whole plane; of several modalities those of the first that is there.

        Raises
        ------
        InputError
            For a plane or modality that does not exist, or values that are no picture.
        """
        wanted = [modality] if modalities is None else list(range(len(stack.modalities)))
        if modalities is not None and modalities != "all":
            wanted = list(dict.fromkeys(int(m) for m in modalities))
        for number in wanted:
            if not 0 <= number < len(stack.modalities):
                raise InputError(f"Modality {number} does not exist: the image has {len(stack.modalities)}.")
        if modalities is not None:
            wanted = [m for m in wanted if m in stack.present]
            if not wanted:
                raise InputError("None of the modalities is there: choose at least one that the image has.")
        if not 0 <= plane < stack.n_planes:
            raise InputError(f"Plane {plane} does not exist: the image has {stack.n_planes}.")
        ticket = next(self._tickets)
        quality = quality or self.settings.quality
        first, *others = (self._look(stack, plane, number, quality, progress) for number in wanted)
        scene = replace(first, beside=tuple(others)) if others else first
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
        standing = self._scene
        if standing is None:
            raise InputError("No image is set: choose an image first.")
        if not len(prompts):
            raise InputError("No class is named: type at least one, for example: cat, sofa | couch.")
        parts = counted(standing, prompts)
        scene = guide_of(parts)
        settings = narrowed(self.settings, prompts, whole=scene.picture is not None)
        prompts = with_fitting_background(prompts, self.encoder)
        maps = self.coarse_probabilities(prompts, scene=standing)
        # after the scores, for which the names were embedded in one go with their sentences
        known = self.known(prompts)
        unknown = [k == "unknown" for k in known]
        rule = Rule.make([c.threshold for c in prompts.classes], unknown=unknown, ceiling=settings.unknown_ceiling)
        canvas = Canvas(scene.view.shape, [c.value for c in prompts.classes], want_probabilities)
        if scene.picture is not None:
            refined = with_pixels(prompts, scene.refiner(settings, maps.device)(maps), parts)
            canvas.put(slice(None), slice(None), refined, decide(refined, rule))
        else:
            decide_windows(scene, maps, rule, settings, canvas, progress)
        made_by = provenance(
            self._described(),
            self.encoder.fingerprint,
            prompts,
            known,
            settings,
            stack=scene.view.stack,
            plane=scene.view.plane,
            modality=parts[0].scene.view.modality,
            quality=scene.quality,
            modalities=described(scene.view.stack, parts, modality_notes(prompts.metadata)) if standing.beside else (),
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
        parts = counted(scene, prompts)
        maps = [self._seen(prompts, part.scene) for part in parts]
        return self._with_live(prompts, self._grouped(prompts, self._together(prompts, parts, maps), parts), parts)

    def probabilities_of(self, features: DenseFeatures, prompts: PromptSet) -> torch.Tensor:
        """`coarse_probabilities` of another plane, from its features alone; joint ones are fused as a scene is."""
        if isinstance(features, JointFeatures):
            return self.coarse_probabilities(prompts, scene=features.scene)
        student = None if prompts.learned is None else student_of(prompts.learned)
        decoded = features if student is None else student.to(features.semantic.device).adapted(features)
        scores = self._before_live(prompts, features, decoded)
        return self._chances(self._strokes(prompts, scores, lambda _: features), self._capped(prompts))

    def joint_features(self, prompts: PromptSet) -> DenseFeatures | None:
        """What live learning learns on: features of the modality that counts, or of all side by side."""
        return None if self._scene is None else joint_features(counted(self._scene, prompts), prompts)

    def _seen(self, prompts: PromptSet, scene: Scene) -> ScoreMaps:
        """Scores of one modality before live learning."""
        # what strokes taught changes all the time, and the student under it does not
        learned = without_live(prompts).learned
        return self._before_live(prompts, scene.features, scene.features if learned is None else scene.decoded(learned))

    def _together(self, prompts: PromptSet, parts: Sequence[Counted], maps: Sequence[ScoreMaps]) -> ScoreMaps:
        """One set of scores from those of each modality; of one modality its own."""
        if len(maps) == 1:
            return maps[0]
        known = self.known(without_grouping(without_live(prompts)))
        return fused(
            [self._chances(m, ["known"] * len(prompts)) for m in maps],
            [p.weight for p in parts],
            [p.scene.shows.name for p in parts],
            trusted=[self._chances(m, known) for m in maps],
            sigmoid=self.encoder.sigmoid,
        )

    def _grouped(self, prompts: PromptSet, scores: ScoreMaps, parts: Sequence[Counted]) -> ScoreMaps:
        """Add what was tuned for several modalities, on top of the fused words."""
        grouping = grouping_of(prompts)
        if grouping is None:
            return scores
        words = without_grouping(without_live(prompts))
        prior = self._chances(scores, self.known(words)).clamp_min(1e-4).log()
        return grouped_scores(self.encoder, grouping, parts, prior, self.settings)

    def _before_live(self, prompts: PromptSet, features: DenseFeatures, decoded: DenseFeatures) -> ScoreMaps:
        """Score the features that a student made, or frozen ones."""
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
        if not regions:
            return scores
        raw = self._chances(scores, ["known"] * len(prompts))
        logits = with_region_heads(prompts, regions, features, raw, scores)
        return ScoreMaps(logits[1:], logits[0])

    def _with_live(self, prompts: PromptSet, scores: ScoreMaps, parts: Sequence[Counted]) -> ScoreMaps:
        """Add what live learning found, on top of the fused scores."""
        return self._strokes(prompts, scores, lambda width: fitting(width, parts, prompts))

    def _strokes(self, prompts: PromptSet, scores: ScoreMaps, features_of: Callable[[int], DenseFeatures]) -> ScoreMaps:
        """Layer upon layer of live weights; `features_of` gives those that weights of a width were learned on."""
        heads = live_heads(prompts)
        known = self.known(without_live(prompts)) if heads else []
        for head in heads:
            prior = self._chances(scores, known).clamp_min(1e-4).log()
            logits = head.logits(features_of(int(head.weights.shape[1])), prior)
            scores, known = ScoreMaps(logits[1:], logits[0]), self._capped(prompts)
        return scores

    def _capped(self, prompts: PromptSet) -> list[Familiarity]:
        """As `known`, for calibration: under learned weights the words of unknown names have been capped already."""
        return ["known"] * len(prompts) if live_heads(prompts) or grouping_of(prompts) else self.known(prompts)

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

    def _look(self, stack: ImageStack, plane: int, modality: int, quality: Quality, progress: Progress) -> Scene:
        """One modality of one plane, encoded whole or in tiles."""
        view = View(stack, plane, modality, stack.limits(modality))
        if max(view.shape) <= self.settings.whole_up_to:
            picture = view.picture()
            features = self._encode(view.squared(picture), quality, progress).covering(view.shape)
            return Scene(view, quality, features, picture)
        return Scene(view, quality, self._encode_tiles(view, self.settings, quality, progress), None)

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
            step = steps_within(progress, i, len(layout))
            picture = view.picture(tile.rows, tile.columns)
            mosaic.add(tile, self._encode(picture, quality, step, tile=True))
        progress(len(layout), len(layout), "encoded")
        return mosaic.features()

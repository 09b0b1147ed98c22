"""A few labelled images of a pack teach prompts, in any of the ways there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from napari_promptseg.evaluation.few_shot import encode_shots, modality_shots, unlabelled_planes
from napari_promptseg.evaluation.packs import DataPack, LabelledImage
from napari_promptseg.evaluation.region_shots import RegionParts, regions_from_labels, teach_regions
from napari_promptseg.images.stack import ModalityKind
from napari_promptseg.learning.live_across import AcrossSettings
from napari_promptseg.learning.modalities import ModalitySample, ModalitySettings, tune_modalities
from napari_promptseg.learning.regions import DrawnRegion, Inference, RegionSettings
from napari_promptseg.learning.student import StudentOptions
from napari_promptseg.learning.teaching import Taught, teach
from napari_promptseg.learning.tuning_data import TuningSample
from napari_promptseg.learning.tuning_options import TuningOptions
from napari_promptseg.progress import Progress, silent
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.segmentation.segmenter import Segmenter

Method = Literal["live", "prompts", "student", "roi", "modalities"]

#: Pixels drawn from each group of a class's pixels; a student has more to learn.
_PER_STROKE, _PER_STROKE_OF_STUDENT = 30, 60


@dataclass(frozen=True)
class MethodSettings:
    """Settings of every method; one uses its own.

    Parameters
    ----------
    live : AcrossSettings
    tuning : TuningOptions
    student : StudentOptions
    regions : RegionSettings
    grouping : ModalitySettings
    parts : {"whole", "parts"}
        What one region is.
    inference : Inference, optional
        How regions' things are looked for; the one that finds held-out regions best where not given.
    """

    live: AcrossSettings
    tuning: TuningOptions
    student: StudentOptions
    regions: RegionSettings
    grouping: ModalitySettings
    parts: RegionParts = "whole"
    inference: Inference | None = None

    @classmethod
    def of(
        cls,
        seed: int,
        *,
        steps: int | None = None,
        student_steps: int | None = None,
        parts: RegionParts = "whole",
        inference: Inference | None = None,
    ) -> MethodSettings:
        """The usual ones with a seed and, where given, other numbers of steps."""
        own: dict[str, Any] = {} if steps is None else {"steps": steps}
        student = StudentOptions(seed=seed)
        if student_steps is not None:
            student = replace(student, steps=student_steps, own_steps=max(1, 2 * student_steps // 3))
        return cls(
            AcrossSettings(seed=seed),
            TuningOptions(seed=seed, **own),
            student,
            RegionSettings(seed=seed, **own),
            ModalitySettings(seed=seed, **own),
            parts,
            inference,
        )

    def noted(self, method: Method) -> dict[str, Any]:
        """Plain values of a method's own, for provenance."""
        if method == "live":
            return {"live": asdict(self.live)}
        if method == "modalities":
            return {"grouping": self.grouping.as_dict()}
        if method == "roi":
            return {"regions": self.parts, "roi": asdict(self.regions)}
        student = {"student": asdict(self.student)} if method == "student" else {}
        return {"tuning": asdict(self.tuning), **student}


@dataclass(frozen=True, eq=False)
class PackTuning:
    """What is learned from, and how.

    Parameters
    ----------
    method : Method
    settings : MethodSettings
    pack : DataPack
    pairs : sequence of LabelledImage
        Of the pack; what is learned from.
    prompts : PromptSet
    seed : int
        Of the pixels drawn.
    zero_is_background : bool
        Whether the pixels of id 0 show background; otherwise they are not annotated.
    kind : ModalityKind
        What the images' values show.
    alone : sequence of pathlib.Path
        Images without labels, for a student.
    """

    method: Method
    settings: MethodSettings
    pack: DataPack
    pairs: Sequence[LabelledImage]
    prompts: PromptSet
    seed: int
    zero_is_background: bool
    kind: ModalityKind = "auto"
    alone: Sequence[Path] = ()

    def read(self, segmenter: Segmenter, progress: Progress = silent) -> Shots:
        """Read and, as far as the method needs it, encode the labelled images.

        Raises
        ------
        InputError
            If an image or mask cannot be used, or nothing is annotated.
        """
        if self.method == "roi":
            regions = regions_from_labels(
                segmenter,
                self.pack,
                self.pairs,
                self.prompts,
                parts=self.settings.parts,
                kind=self.kind,
                progress=progress,
            )
            return Shots(regions=regions)
        how: dict[str, Any] = {"zero_is_background": self.zero_is_background, "kind": self.kind, "seed": self.seed}
        if self.method == "modalities":
            return Shots(scenes=modality_shots(self.pack, self.pairs, progress=progress, **how))
        # live learning learns on all modalities side by side, the others on the images themselves
        joint = self.prompts if self.pack.modalities and self.method == "live" else None
        per_stroke = _PER_STROKE_OF_STUDENT if self.method == "student" else _PER_STROKE
        found = encode_shots(
            segmenter, self.pack, self.pairs, prompts=joint, per_stroke=per_stroke, progress=progress, **how
        )
        return Shots(samples=found)

    def learn(self, segmenter: Segmenter, shots: Shots, progress: Progress = silent) -> Taught:
        """Learn from what was read.

        Parameters
        ----------
        segmenter : Segmenter
        shots : Shots
            From `read`.
        progress : Progress
            `CancelledError` raised in it while prompts are trained ends with the best so far.
        """
        settings, prompts = self.settings, self.prompts
        if self.method == "roi":
            return teach_regions(
                segmenter,
                prompts,
                shots.regions,
                settings=settings.regions,
                inference=settings.inference,
                progress=progress,
            )
        if self.method == "modalities":
            found = tune_modalities(segmenter, shots.scenes, prompts, settings=settings.grouping, progress=progress)
            trained = f"Trained: {found.n_trained:,} numbers, {found.share:.2%} of the model."
            return Taught(found.prompts, found.kept, found.sentence, found.report(), found.cancelled, (trained,))
        return teach(
            segmenter,
            prompts,
            shots.samples,
            self.method,
            unlabelled=unlabelled_planes(
                self.pack, self.pairs, self.alone, zero_is_background=self.zero_is_background, kind=self.kind
            ),
            live=settings.live,
            tuning=settings.tuning,
            student=settings.student,
            progress=progress,
        )


@dataclass(frozen=True, eq=False)
class Shots:
    """Labelled images as one of the methods takes them; the others' are empty.

    Parameters
    ----------
    samples : sequence of TuningSample
    regions : sequence of DrawnRegion
    scenes : sequence of ModalitySample
    """

    samples: Sequence[TuningSample] = ()
    regions: Sequence[DrawnRegion] = ()
    scenes: Sequence[ModalitySample] = ()

    @property
    def values(self) -> set[int]:
        """Class values that they show."""
        pixels = [*self.samples, *(s.pixels for s in self.scenes)]
        return {r.value for r in self.regions} | {int(v) for s in pixels for v in set(s.values)}

"""Carries the classes, and what they learned, to more pictures: planes, open images, a folder of files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from qtpy.QtCore import QObject, Signal

from napari_promptseg.errors import InputError
from napari_promptseg.gui.layers import PlaneSource, View, plane_source, result_index, result_shape
from napari_promptseg.gui.volume_index import across, cut_of
from napari_promptseg.gui.work import Job
from napari_promptseg.progress import Progress

if TYPE_CHECKING:
    from napari_promptseg.gui.carrying import Carrying, Load
    from napari_promptseg.gui.engine import Outcome
    from napari_promptseg.gui.session import Session
    from napari_promptseg.prompts.prompt_set import PromptSet


@dataclass(frozen=True, eq=False)
class Target:
    """One plane of one layer."""

    image: Image
    view: View
    source: PlaneSource


class ApplyPrompts(QObject):
    """Segments more than the plane in sight, in the worker, one picture after the other.

    Parameters
    ----------
    session : Session
    carrying : Carrying, optional
        Decides whether what strokes taught goes along; without, nothing does.

    Attributes
    ----------
    found : mapping of int to int
        On how many pictures each class was found, of those segmented since `to_layers` was called.
    n_looked : int
        How many those are; 0 for a folder.

    Signals
    -------
    changed
        Work on planes, images or a folder began or ended.
    """

    changed = Signal()

    def __init__(self, session: Session, carrying: Carrying | None = None) -> None:
        super().__init__()
        self.session = session
        self.carrying = carrying
        self.folder_report = ""
        self.found: Counter[int] = Counter()
        self.n_looked = 0
        self._kind = f"apply {id(self)}"  # another one's waiting picture is not ours to replace
        self._left: list[Target] = []
        self._done = 0
        self._in_layers = False
        self._refused: list[str] = []
        self._written: list[Path] = []
        self._confirmed: set[Path] = set()
        self._in_folder = 0
        self._taught = False
        session.workbench.cancelled.connect(self._on_cancelled)

    def planes(self) -> list[Target]:
        """All planes of the image in hand, the one in sight first, then those next to it."""
        session = self.session
        source, image, view = session.picture.in_sight, session.picture.layer, session.picture.view
        if source is None or image is None:
            return []
        shape, here = result_shape(image, view), result_index(view, source.index)
        cut = cut_of(here)
        if cut:
            at = here[-1] or 0
            return [
                Target(image, view, source.at(across(cut, i)))
                for i in sorted(range(shape[cut]), key=lambda i: abs(i - at))
            ]
        middle = np.array(here, dtype=int)
        places = sorted(np.ndindex(*shape[:-2]), key=lambda at: int(np.abs(np.array(at, dtype=int) - middle).sum()))
        return [Target(image, view, source.at(at)) for at in places]

    def images(self) -> list[Target]:
        """The plane in sight of every open image layer."""
        session, found = self.session, []
        for image in session.picture.choices():
            view = session.view_of(image)
            try:
                # its own version is known of the image in hand only, which comes as it is
                source = session.picture.in_sight if image is session.picture.layer else None
                source = source or plane_source(image, view, session.viewer.dims.point)
            except InputError as error:
                session.say(str(error), "warning")
                continue
            found.append(Target(image, view, source))
        return found

    def to_layers(self, targets: Sequence[Target]) -> bool:
        """Segment one target after the other; False, and a sentence, if there is nothing to do."""
        session = self.session
        if not targets:
            session.say("There is no image: open one first.", "warning")
            return False
        if not self._has_classes():
            return False
        self._left, self._done, self._refused, self._in_layers = list(targets), 0, [], True
        self.found, self.n_looked = Counter(), 0
        others = [t.image for t in targets if t.image is not session.picture.layer]
        load = self._load() if others else None
        self._taught = load is not None
        if load is None or self.carrying is None:
            self._next()
        else:
            self._teach(load, self.carrying, others)
        self.changed.emit()
        return True

    @property
    def is_in_layers(self) -> bool:
        """Whether planes or images are being segmented."""
        return self._in_layers

    def _load(self) -> Load | None:
        return None if self.carrying is None else self.carrying.load()

    def _teach(self, load: Load, carrying: Carrying, others: list[Image]) -> None:
        """Let other images begin from what the strokes taught, then segment them."""
        session = self.session

        def done(prompts: PromptSet) -> None:
            carrying.give(prompts, load, others)
            self._next()

        def failed(sentence: str) -> None:
            self._left, self._in_layers = [], False
            session.say(sentence, "error")
            self.changed.emit()

        session.workbench.submit(Job(self._kind, lambda progress: carrying.taught(load, progress), done, failed))

    def to_folder(self, folder: Path, out: Path, *, kind: Any = None) -> bool:
        """Segment the image files of a folder into label files in another one.

        Label files that are there already are replaced at the second call only.
        """
        from napari_promptseg.label_jobs import find_images, plan

        session = self.session
        if not self._has_classes():
            return False
        try:
            if not folder.is_dir():
                raise InputError(f"There is no folder {str(folder)!r}: choose the one that holds the images.")
            jobs = plan(find_images([str(folder)], leave_out=out), out)
        except InputError as error:
            session.say(str(error), "warning")
            return False
        taken = {file for job in jobs for file in (job.labels, job.legend) if file.exists()}
        if not taken <= self._confirmed:
            self._confirmed = taken
            n = sum(job.labels in taken for job in jobs)
            are = "label file is" if n == 1 else "label files are"
            session.say(
                f"{n} {are} in {out.name} already: press again to replace, or choose another folder.", "warning"
            )
            return False
        self._confirmed = set()
        self._written, self._in_folder, self.n_looked = [], len(jobs), 0
        model, prompts, load, carrying = session.model, session.prompts, self._load(), self.carrying
        how = session.picture.view.kind if kind is None else kind

        def task(progress: Progress) -> list[str]:
            taught = prompts if load is None or carrying is None else carrying.taught(load, progress)
            return self._segment_files(jobs, model, taught, how, progress)

        def done(refused: list[str]) -> None:
            n, self._in_folder = len(self._written), 0
            text = f"Segmented {n} of {len(jobs)} images; the labels are in {out}."
            if refused:
                more = f" ({len(refused) - 1} more failed)" if len(refused) > 1 else ""
                text += f" {refused[0]}{more}"
            self.folder_report = text
            session.say(text, "warning" if refused else "info")
            self.changed.emit()

        def failed(sentence: str) -> None:
            self._in_folder = 0
            self.folder_report = sentence
            session.say(sentence, "error")
            self.changed.emit()

        session.workbench.submit(Job("folder", task, done, failed))
        self.changed.emit()
        return True

    @property
    def is_in_folder(self) -> bool:
        """Whether a folder is being segmented."""
        return self._in_folder > 0

    def _segment_files(self, jobs: Any, model: Any, prompts: Any, kind: Any, progress: Progress) -> list[str]:
        """In the worker: label files of a folder; gives a sentence for each image that failed."""
        from napari_promptseg.batch import segment_files

        segmenter = self.session.engine.another(model, progress)
        names = [job.image.name for job in jobs]
        refused = []

        def listener(job: Any) -> Progress:
            number = names.index(job.image.name)

            def step(done: int, total: int, description: str) -> None:
                progress(number, len(jobs), f"image {number + 1} of {len(jobs)}, {job.image.name}: {description}")

            return step

        for outcome in segment_files(segmenter, jobs, prompts, kind=kind, overwrite=True, progress=listener):
            if outcome.error is None:
                self._written.append(outcome.job.labels)
            else:
                refused.append(str(outcome.error))
        return refused

    def _next(self) -> None:
        session, target = self.session, self._left.pop(0)
        number, total = self._done + 1, self._done + 1 + len(self._left)
        request = session.request(target.source, target.image, target.view)

        def task(progress: Progress) -> Outcome:
            def step(done: int, steps: int, description: str) -> None:
                progress(number - 1, total, f"picture {number} of {total}, {target.source.name}: {description}")

            return session.engine.run(request, step)

        def done(outcome: Outcome) -> None:
            if target.image in session.viewer.layers:
                session.show(outcome, target.image, target.view)
                self.n_looked += 1
                self.found.update(value for value, share in outcome.shares.items() if share > 0)
            self._go_on(total)

        def failed(sentence: str) -> None:
            self._refused.append(sentence)
            self._go_on(total)

        session.workbench.submit(Job(self._kind, task, done, failed))

    def _go_on(self, total: int) -> None:
        self._done += 1
        if self._left:
            self._next()
            return
        self._in_layers = False
        with_what = "what the strokes taught" if self._taught else "the same classes"
        text = f"Segmented {total - len(self._refused)} of {total} pictures with {with_what}."
        self.session.say(" ".join([text, *self._refused[:1]]), "warning" if self._refused else "info")
        self.changed.emit()

    def _has_classes(self) -> bool:
        if not len(self.session.prompts):
            self.session.say("No class is named yet: type one, for example cat, and press Enter.", "warning")
            return False
        return True

    def _on_cancelled(self) -> None:
        if self._in_layers:
            self._left, self._in_layers = [], False
            self.session.say(f"Stopped after {self._done} pictures; their masks stay.")
            self.changed.emit()
        if self._in_folder:
            n, total, self._in_folder = len(self._written), self._in_folder, 0
            self.folder_report = f"Stopped: {n} of {total} label files are written."
            self.session.say(self.folder_report)
            self.changed.emit()

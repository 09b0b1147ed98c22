"""What each modality adds: the mask with all of them, with each alone, and with all but one; made in the worker."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QObject, Signal
from qtpy.QtGui import QColor

from napari_promptseg.gui.modality_layers import short_names
from napari_promptseg.gui.work import Job
from napari_promptseg.progress import Progress
from napari_promptseg.prompts.modality_notes import ModalityNote, with_modality_notes

if TYPE_CHECKING:
    from napari_promptseg.gui.engine import Request
    from napari_promptseg.gui.modalities import Modalities
    from napari_promptseg.prompts.prompt_set import PromptSet

#: Longer side of a thumbnail, in pixels.
_SIDE = 256


@dataclass(frozen=True, eq=False)
class Trial:
    """One mask of the strip.

    Parameters
    ----------
    caption : str
        ``"all"``, ``"only NIR"``, ``"without NIR"``.
    weights : tuple of float
        In the order of the modalities.
    picture : numpy.ndarray
        ``(Y, X, 3)`` uint8: the picture in hand with the mask over it.
    differs : float
        Share of pixels whose label is not that of the mask with all.
    labels : numpy.ndarray
        ``(Y, X)``, every few pixels.
    """

    caption: str
    weights: tuple[float, ...]
    picture: npt.NDArray[np.uint8]
    differs: float
    labels: npt.NDArray[Any]


def trials(names: list[str], weights: list[float]) -> list[tuple[str, tuple[float, ...]]]:
    """Captions and weights of the strip: all, each alone, and from three modalities on all but one.

    *All* has the weights that stand, or 1 for each where fewer than two count.
    """
    n = len(names)
    every = tuple(weights) if sum(w > 0 for w in weights) > 1 else (1.0,) * n
    found = [("all", every)]
    found += [(f"only {name}", tuple(1.0 if j == i else 0.0 for j in range(n))) for i, name in enumerate(names)]
    if n > 2:
        # what has been left out counts 1 here, so that "all but one" is what it says
        full = tuple(w or 1.0 for w in every)
        found += [
            (f"without {name}", tuple(0.0 if j == i else w for j, w in enumerate(full))) for i, name in enumerate(names)
        ]
    return found


class Ablation(QObject):
    """Makes the masks of the strip for the plane in sight.

    Signals
    -------
    changed
        The masks came, or went because something else is looked at.
    """

    changed = Signal()

    def __init__(self, modalities: Modalities) -> None:
        super().__init__(modalities)
        self.modalities = modalities
        self.session = modalities.session
        self.made: list[Trial] = []
        self.is_running = False
        self._of: Any = None
        self._from: Any = None
        self.session.workbench.cancelled.connect(self._on_cancelled)
        self.session.picture.plane_changed.connect(self._on_picture)
        self.session.image_changed.connect(self._on_picture)
        self.session.prompts_changed.connect(self._on_taught)
        self.session.corrector.strokes_changed.connect(self._on_taught)

    def start(self) -> bool:
        """Make them; False, and a sentence, if something is missing."""
        session, modalities = self.session, self.modalities
        source, image, view = session.picture.in_sight, session.picture.layer, session.picture.view
        if source is None or len(modalities.names) < 2:
            session.say("Tick at least one more modality: the strip compares what each adds.", "warning")
            return False
        if not len(session.prompts):
            session.say("No class is named yet: type one, for example cat, and press Enter.", "warning")
            return False
        names = short_names(modalities.names, modalities.kinds())
        wanted = [(c, modalities.noted(w)) for c, w in trials(names, modalities.weights())]
        request = session.request(source, image, view)

        def task(progress: Progress) -> list[Trial]:
            return self._make(request, wanted, progress)

        self.is_running, self._of, self._from = True, source.key, self._taught()
        session.workbench.submit(Job("ablation", task, self._on_done, self._on_failed))
        self.changed.emit()
        return True

    def forget(self) -> None:
        """Masks of another plane, or of other modalities, are no longer true."""
        if self.made:
            self.made = []
            self.changed.emit()

    def _on_picture(self) -> None:
        source = self.session.picture.in_sight
        if source is None or source.key != self._of:
            self.forget()

    def _taught(self) -> Any:
        """What the masks come from, beside the weights: sets that differ in those alone are equal."""
        strokes = self.session.corrector.strokes
        return self.session.prompts, () if strokes is None else tuple(s.id for s in strokes.corrections)

    def _on_taught(self) -> None:
        """Other classes, something new that was learned, or another stroke."""
        if self.made and self._taught() != self._from:
            self.forget()

    def _make(
        self,
        request: Request,
        wanted: list[tuple[str, tuple[ModalityNote, ...]]],
        progress: Progress,
    ) -> list[Trial]:
        """In the worker: one mask after the other; the modalities are encoded once."""
        engine, found = self.session.engine, list[Trial]()
        step = max(1, -(-max(request.source.plane_shape) // _SIDE))
        ground = request.source.stack().picture(0)[::step, ::step]
        for i, (caption, notes) in enumerate(wanted):
            progress(i, len(wanted), f"mask {i + 1} of {len(wanted)}: {caption}")
            prompts = replace(request.prompts, metadata=with_modality_notes(request.prompts.metadata, notes))
            made = engine.run(replace(request, prompts=prompts, want_scores=False), progress).label_map.labels
            labels = np.ascontiguousarray(made[::step, ::step])
            differs = float((labels != found[0].labels).mean()) if found else 0.0
            weights = tuple(note.weight for note in notes)
            found.append(Trial(caption, weights, painted(ground, labels, prompts), differs, labels))
        return found

    def _on_done(self, found: list[Trial]) -> None:
        self.is_running = False
        self.made = found
        self.changed.emit()
        self.session.say("Click a mask of the strip to take its weights.")

    def _on_failed(self, sentence: str) -> None:
        self.is_running = False
        self.changed.emit()
        self.session.say(sentence, "error")

    def _on_cancelled(self) -> None:
        if self.is_running:
            self.is_running = False
            self.changed.emit()


def painted(ground: npt.NDArray[np.uint8], labels: npt.NDArray[Any], prompts: PromptSet) -> npt.NDArray[np.uint8]:
    """A picture in grey under a mask in the classes' colours."""
    grey = ground.mean(axis=-1, keepdims=True).repeat(3, axis=-1)
    for c in prompts.classes:
        if c.visible:
            here = labels == c.value
            grey[here] = 0.35 * grey[here] + 0.65 * np.array(QColor(c.colour).getRgb()[:3], float)
    return np.clip(grey, 0, 255).astype(np.uint8)

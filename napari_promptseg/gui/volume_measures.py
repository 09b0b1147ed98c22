"""What is done to, and read from, the labels of a whole volume: clean-up and the table of sizes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Labels
from qtpy.QtCore import QObject, QTimer, Signal

from napari_promptseg.gui.volume_marks import drawn, filled_in, painted
from napari_promptseg.gui.volume_order import AXES, volume_of
from napari_promptseg.gui.work import Job
from napari_promptseg.progress import Progress

if TYPE_CHECKING:
    from napari_promptseg.gui.session import Session
    from napari_promptseg.segmentation.volumes.cleanup import Cleanup
    from napari_promptseg.segmentation.volumes.table import StructureRow

Labels3 = npt.NDArray[Any]

#: Pause after a change of labels before they are compared with those that were measured, in milliseconds.
LOOK_DELAY = 300


class VolumeMeasures(QObject):
    """Cleans up the result of a volume and measures it, in the worker.

    Parameters
    ----------
    session : Session

    Attributes
    ----------
    rows : list of StructureRow
        As last measured.
    is_outdated : bool
        Whether labels have changed since.

    Signals
    -------
    measured
        There are new rows, or none any more, or they are out of date.
    """

    measured = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.session = session
        self.rows: list[StructureRow] = []
        self.is_outdated = False
        self._of: Any = None
        self._labels: Labels3 | None = None  # as they were measured
        self._look = QTimer(self, singleShot=True, interval=LOOK_DELAY)
        self._look.timeout.connect(self._compare)
        session.image_changed.connect(self._on_image)
        session.result_changed.connect(self._on_labels)
        session.corrector.strokes_changed.connect(self._on_labels)

    @property
    def can_start(self) -> bool:
        """Whether there is a result of a volume."""
        return self.session.picture.is_stack and self.session.result_layer is not None

    def clean(self, cleanup: Cleanup) -> bool:
        """Clean up the whole volume; *Back* takes it back, and what was painted stays.

        False, and a sentence, where there is nothing to do.
        """
        session = self.session
        layer, image = self._layer(), session.picture.layer
        if layer is None or image is None:
            return False
        if cleanup.changes_nothing:
            session.say(
                "Choose what to clean up: a smoothing, a smallest size, or one of the ticks.",
                "warning",
            )
            return False
        if session.volume.work.is_running:
            session.say("Planes are still being segmented: clean up once they are done, or press Cancel.", "warning")
            return False
        session.corrector.look()
        mine: Any = layer
        view, source, axis = session.picture.view, session.picture.source(), session.picture.cut
        strokes = painted(session)
        marks = [*drawn(session), *strokes] if cleanup.keep_marked else []
        if cleanup.keep_marked and not any(mark.value for mark in marks):
            session.say(
                "No class has a stroke or a region here: draw one, or take “Only parts you marked” away.", "warning"
            )
            return False

        def task(progress: Progress) -> tuple[Labels3, Labels3, int]:
            from napari_promptseg.segmentation.volumes.cleanup import cleaned

            stack = volume_of(source, image)
            cell = None if stack.geometry is None else stack.geometry.voxel_volume
            while True:
                progress(0, 0, "cleaning up the volume")
                labels = np.array(mine.data)
                shape = labels.shape
                # where the background was painted too
                keep = filled_in(strokes, shape, bool)
                marked = filled_in(marks, shape, labels.dtype) if marks else None
                clean = cleaned(
                    labels, cleanup, spacing=stack.spacing, voxel_volume=cell, axis=axis, keep=keep, marks=marked
                )
                if np.array_equal(mine.data, labels):  # else planes came in meanwhile
                    return labels, clean, int(np.count_nonzero(clean != labels))

        def done(found: tuple[Labels3, Labels3, int]) -> None:
            labels, clean, changed = found
            result = session.result_of(image)
            if result is None or id(result.standing) != id(mine) or mine.data.shape != clean.shape:
                session.say("The labels were removed meanwhile; nothing was cleaned up.", "warning")
                return
            if not changed:
                session.say("There was nothing to clean up.")
                return
            session.remember((), labels)
            session.corrector.impose_all(image, view, clean)
            result.write((), clean, session.prompts)
            mine.refresh()
            session.result_changed.emit()
            session.states_changed.emit()
            session.say(f"Cleaned up: {changed} voxels changed. Back takes it back.")

        session.workbench.submit(Job("clean up", task, done, self._fail))
        return True

    def measure(self) -> bool:
        """Measure every class; False, and a sentence, where there is nothing to measure."""
        session = self.session
        layer, image = self._layer(), session.picture.layer
        if layer is None or image is None:
            return False
        session.corrector.look()
        mine, prompts, source = layer, session.prompts, session.picture.source()
        axis = AXES[session.picture.cut]

        def task(progress: Progress) -> tuple[Labels3, list[StructureRow]]:
            from napari_promptseg.segmentation.volumes.table import structure_rows

            progress(0, 0, "measuring the volume")
            labels = np.array(mine.data)
            return labels, structure_rows(labels, volume_of(source, image), prompts, axis=axis)

        def done(found: tuple[Labels3, list[StructureRow]]) -> None:
            if session.picture.layer is image:
                labels, self.rows = found
                self._of, self._labels, self.is_outdated = image, labels, False
                self.measured.emit()
                self._look.start()
                session.say("Measured the classes of the whole volume.")

        session.workbench.submit(Job("measure", task, done, self._fail))
        return True

    def save(self, path: Path, *, overwrite: bool) -> None:
        """Write the rows as a CSV file."""
        session, rows = self.session, list(self.rows)
        layer = session.picture.layer
        name = "" if layer is None else layer.name

        def task(progress: Progress) -> Path:
            from napari_promptseg.segmentation.volumes.table import write_table

            write_table(path, [(name, rows)], overwrite=overwrite)
            return path

        def done(file: Path) -> None:
            session.say(f"Saved {file.name} in {file.parent}.")

        session.workbench.submit(Job(f"save table {path}", task, done, self._fail))

    def text(self) -> str:
        """The rows as a spreadsheet takes them from the clipboard."""
        lines = [["structure", "mL", "voxels", "largest section", "planes", "mean", "standard deviation"]]
        for r in self.rows:
            sizes = ["" if r.millilitres is None else f"{r.millilitres:.6g}", str(r.voxels), f"{r.largest_area:.6g}"]
            means = ["" if v is None else f"{v:.6g}" for v in (r.mean, r.deviation)]
            lines.append([r.name, *sizes, str(planes_of(r)), *means])
        return "\n".join("\t".join(line) for line in lines)

    def _layer(self) -> Labels | None:
        session = self.session
        layer = session.result_layer
        if not session.picture.is_stack:
            session.say("The image in hand is no volume: choose one with planes under Image.", "warning")
            return None
        if layer is None:
            session.say("There is no mask of this volume yet: press Segment planes first.", "warning")
        return layer

    def _on_image(self) -> None:
        if self.rows and self._of is not self.session.picture.layer:
            self.rows, self._of, self._labels = [], None, None
            self.measured.emit()

    def close(self) -> None:
        """Look no more."""
        self._look.stop()

    def _on_labels(self) -> None:
        if self.rows:
            self._look.start()

    def _compare(self) -> None:
        """Find out in the worker whether the figures are those of the labels that stand."""
        layer, measured = self.session.result_layer, self._labels
        if measured is None:
            return

        def done(outdated: bool) -> None:
            if self._labels is measured and outdated != self.is_outdated:
                self.is_outdated = outdated
                self.measured.emit()

        def task(progress: Progress) -> bool:
            return layer is None or not np.array_equal(layer.data, measured)

        self.session.workbench.submit(Job("compare figures", task, done, self._fail, quiet=True))

    def _fail(self, sentence: str) -> None:
        self.session.say(sentence, "error")


def planes_of(row: StructureRow) -> int:
    """From the first plane that shows a class to the last."""
    return 0 if row.first_plane is None or row.last_plane is None else row.last_plane - row.first_plane + 1

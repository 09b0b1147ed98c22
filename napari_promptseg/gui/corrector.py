"""Watches the result layer and keeps what a person changes in it as strokes, which teach the next mask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Image, Labels
from qtpy.QtCore import QObject, QTimer, Signal

from napari_promptseg.errors import OutputError
from napari_promptseg.gui.edits import Edit
from napari_promptseg.gui.labels_watch import LabelsWatch
from napari_promptseg.gui.layers import View, result_index, result_shape
from napari_promptseg.gui.live_masks import Carried, Lesson, LiveMasks, as_painted
from napari_promptseg.gui.strokes_kept import KeptStrokes, default_folder
from napari_promptseg.gui.volume_index import Place
from napari_promptseg.learning.corrections import Corrections, Stroke

if TYPE_CHECKING:
    from napari_promptseg.gui.engine import Request
    from napari_promptseg.gui.layers import PlaneSource
    from napari_promptseg.gui.session import Session
    from napari_promptseg.segmentation.label_map import LabelMap
    from napari_promptseg.segmentation.segmenter import Segmenter


class Corrector(QObject):
    """Turns edits of the result layer into strokes.

    Parameters
    ----------
    session : Session
    folder : path, optional
        Where strokes are kept safe; the user's own where not given.

    Signals
    -------
    strokes_changed
        Strokes of the image in hand came or went.
    offer_changed
        Strokes that an earlier process left were found, taken up or discarded.

    Notes
    -----
    Whatever may have been drawn leads to one comparison with what stood there before.
    """

    strokes_changed = Signal()
    offer_changed = Signal()

    def __init__(self, session: Session, folder: Path | None = None) -> None:
        super().__init__(session)
        self.session = session
        self.folder = folder or default_folder()
        self.masks = LiveMasks()
        self.carried: dict[int, Carried] = {}  # by the identity of an image layer: what strokes on others taught
        self._kept: dict[tuple[int, tuple[int, ...]], KeptStrokes] = {}
        self._told = ""
        self._watch = LabelsWatch(self)
        self._watch.drawn.connect(self._on_drawn)
        self._others: list[int] = []
        self._others_timer = QTimer(self, singleShot=True, interval=0)
        self._others_timer.timeout.connect(self._look_elsewhere)
        session.result_changed.connect(self._on_result)
        session.image_changed.connect(self._on_image)
        session.prompts_changed.connect(self._on_prompts)
        self._on_image()

    # ---- what the section shows

    @property
    def strokes(self) -> KeptStrokes | None:
        """Those of the image in hand; None without one."""
        layer = self.session.picture.layer
        return None if layer is None else self._of(layer, self.session.picture.view)

    @property
    def corrections(self) -> Corrections:
        """Strokes of the image in hand."""
        return Corrections() if self.strokes is None else self.strokes.corrections

    @property
    def plane(self) -> int | None:
        """Number of the plane in sight."""
        source = self.session.picture.in_sight
        if source is None or self.strokes is None:
            return None
        return self.strokes.number(result_index(source.view, source.index))

    @property
    def n_left(self) -> int:
        """Strokes of this image that an earlier process left."""
        return 0 if self.strokes is None else self.strokes.n_left

    def plane_index(self, plane: int) -> Place:
        """Index of a plane among all of the result's data."""
        return () if self.strokes is None else self.strokes.index(plane)

    # ---- what the user does

    def delete(self, ids: Sequence[str]) -> None:
        """Delete strokes; what stood under them comes back."""
        strokes, layer = self.strokes, self.session.result_layer
        if strokes is None:
            return
        self.look()
        planes = {s.plane for s in strokes.corrections if s.id in ids}
        if planes and layer is not None:
            plane = min(planes)
            self._remember(strokes, plane, np.array(strokes.plane(layer.data, plane)), strokes.corrections)
        for plane in planes or {0}:
            mine = [s.id for s in strokes.corrections if s.id in ids and s.plane == plane]
            empty = np.zeros(strokes.shape_of(plane), np.uint8)
            standing = empty if layer is None else np.ascontiguousarray(strokes.plane(layer.data, plane))
            before = strokes.log.delete(mine, standing, plane)
            if layer is not None:
                strokes.plane(layer.data, plane)[...] = before = strokes.on_plane(plane).impose(before, plane)
                strokes.seen[plane] = before
        if layer is not None:
            layer.refresh()
        self._changed(strokes)

    def add_point(self, value: int, at: tuple[int, int], plane: int | None = None) -> bool:
        """Say what one pixel is, painting no more than it; a label that is right already is confirmed.

        Gives False where there is no mask, or the same point already.

        Parameters
        ----------
        value : int
            Of a class; 0 for background.
        at : tuple of int
            ``(row, column)``.
        plane : int, optional
            That in sight where not given.
        """
        self.look()
        strokes, layer = self.strokes, self._watch.layer
        plane = self.plane if plane is None else plane
        if strokes is None or layer is None or plane is None or layer.data.shape != strokes.shape:
            return False
        if any(s.kind == "point" and (s.plane, s.value, s.corner) == (plane, value, at) for s in strokes.corrections):
            return False
        place = strokes.voxel(plane, *at)
        labels = np.array(strokes.plane(layer.data, plane))
        self._remember(strokes, plane, labels, strokes.corrections)
        before = labels[at]
        stroke = Stroke.from_pixels([at[0]], [at[1]], value, plane=plane, kind="point")
        # as napari's own tools write, so that its undo takes the point back
        layer.data_setitem(tuple(np.array([i]) for i in place), value)
        self._see(strokes, plane, layer)
        flat = np.array([at[0] * labels.shape[1] + at[1]], dtype=np.int64)
        strokes.log.add(Edit(plane, flat, np.array([before]), np.array([value], dtype=labels.dtype), (stroke,)))
        self._changed(strokes)
        return True

    def restore(self) -> None:
        """Take up the strokes that an earlier process left."""
        strokes, session = self.strokes, self.session
        if strokes is None or not strokes.left:
            return
        number = strokes.n_left
        try:
            prompts = strokes.restore(session.prompts)
        except OutputError as error:
            session.say(str(error), "error")
            return
        session.set_prompts(prompts)
        layer = session.result_layer
        if layer is not None:
            for plane in strokes.corrections.planes:
                standing = strokes.plane(layer.data, plane)
                standing[...] = strokes.corrections.impose(standing, plane)
                self._see(strokes, plane, layer)
            layer.refresh()
        self.offer_changed.emit()
        self._changed(strokes)
        session.say(f"Restored {number} strokes." + ("" if layer is not None else " Press Segment to see them."))

    def discard(self) -> None:
        """Delete the strokes that an earlier process left."""
        if self.strokes is not None:
            self.strokes.discard()
            self.offer_changed.emit()

    def name(self, value: int) -> str:
        """Name of a class value."""
        names = {0: "background", **{c.value: c.name for c in self.session.prompts.classes}}
        return names.get(value, f"label {value} (no class)")

    # ---- what the session asks

    def learner(self, source: PlaneSource, image: Image, view: View) -> Callable[[Segmenter, Request], Any] | None:
        """What makes the mask in the worker where there are strokes; None where words and prompts alone do."""
        lesson = self.lesson(source, image, view)
        return None if lesson is None else partial(self.masks.make, lesson=lesson)

    def lesson(self, source: PlaneSource, image: Image, view: View) -> Lesson | None:
        """What strokes teach for a plane of an image, as they stand now; None where there are none."""
        self.look()
        strokes, carried = self._of(image, view), self.carried.get(id(image))
        if not len(strokes.corrections) and carried is None:
            return None
        return Lesson(strokes.corrections, strokes.key, strokes.number(result_index(view, source.index)), carried)

    def impose(self, image: Image, view: View, index: Place, label_map: LabelMap) -> LabelMap:
        """A prediction as it is about to be shown: the user's own pixels are as painted, now and later."""
        strokes, plane = self._up_to_date(image, view, index)
        label_map = as_painted(label_map, strokes.on_plane(plane), plane)
        strokes.seen[plane] = label_map.labels
        return label_map

    def imposed(self, image: Image, view: View, index: Place, labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """As `impose`, for labels of a plane without more than that."""
        strokes, plane = self._up_to_date(image, view, index)
        strokes.seen[plane] = labels = strokes.on_plane(plane).impose(labels, plane)
        return labels

    def impose_all(self, image: Image, view: View, labels: npt.NDArray[Any]) -> None:
        """As `impose`, for the labels of all planes, in place."""
        strokes = self._of(image, view)
        self.look()
        strokes.impose_all(labels)
        strokes.seen.set_all(labels)

    def _up_to_date(self, image: Image, view: View, index: Place) -> tuple[KeptStrokes, int]:
        """Strokes of an image, those of this very moment included, and the number of a plane."""
        strokes = self._of(image, view)
        plane = strokes.number(result_index(view, index))
        layer, picture = self._watch.layer, self.session.picture
        in_hand = image is picture.layer and view.shares_result(picture.view) and layer is self.session.result_layer
        if in_hand and layer is not None and layer.data.shape == strokes.shape:
            self._compare(strokes, plane, layer)
        return strokes, plane

    def kept(self, image: Image, view: View) -> Corrections:
        """Strokes of an image, to go into a state."""
        return self._of(image, view).corrections

    def stepped(self, index: Place, labels: npt.NDArray[Any], corrections: Any) -> None:
        """A state before or after stands in the layer: its strokes are the strokes now."""
        strokes = self.strokes
        if strokes is None:
            return
        if index or labels.ndim == 2:
            strokes.seen[strokes.number(result_index(self.session.picture.view, index))] = labels
        else:  # all planes of a volume
            strokes.seen.set_all(labels)
        if isinstance(corrections, Corrections):
            strokes.log.reset(corrections)
        self._changed(strokes, follow=False)

    def look(self) -> None:
        """Account at once for edits of the plane in sight."""
        strokes, layer, plane = self.strokes, self._watch.layer, self.plane
        if strokes is None or layer is None or plane is None:
            return
        in_hand = layer is self.session.result_layer
        if in_hand and layer.data.shape == strokes.shape:  # not when the picture has just got another size
            self._compare(strokes, plane, layer)

    def close(self) -> None:
        """Stop watching; the journals stay where there are strokes."""
        self._others_timer.stop()
        self._watch.stop()
        for strokes in self._kept.values():
            strokes.close()
        self._kept.clear()

    # ---- inside

    def _of(self, image: Image, view: View) -> KeptStrokes:
        shape = result_shape(image, view)
        key = (id(image), shape)
        if key not in self._kept:
            self._kept[key] = KeptStrokes(image, shape, self.folder)
        return self._kept[key]

    def _on_image(self) -> None:
        standing = {id(layer) for layer in self.session.picture.choices()}
        for key in [k for k in self._kept if k[0] not in standing]:
            self._kept.pop(key).close()
        self.carried = {key: carried for key, carried in self.carried.items() if key in standing}
        self._on_result()
        self.offer_changed.emit()
        self.strokes_changed.emit()

    def _on_result(self) -> None:
        self._watch.watch(self.session.result_layer)

    def _on_prompts(self) -> None:
        strokes = self.strokes
        if strokes is not None and len(strokes.corrections):
            self._write(strokes)  # the names go along
        self.strokes_changed.emit()

    def _on_drawn(self) -> None:
        strokes, layer, plane = self.strokes, self._watch.layer, self.plane
        if strokes is None or layer is None or plane is None or layer.data.shape != strokes.shape:
            return
        if self._compare(strokes, plane, layer):
            self._changed(strokes)
        else:
            self._others = [p for p in strokes.seen.planes if p != plane]
            self._others_timer.start()

    def _look_elsewhere(self) -> None:
        """Look at one plane out of sight after the other: an undo may have reached it."""
        strokes, layer = self.strokes, self._watch.layer
        if strokes is None or layer is None or layer.data.shape != strokes.shape or not self._others:
            return
        if self._compare(strokes, self._others.pop(), layer):
            self._changed(strokes)
        self._others_timer.start()

    def _compare(self, strokes: KeptStrokes, plane: int, layer: Labels) -> bool:
        """Bring strokes up to what stands in a plane; gives whether anything changed."""
        now, seen = np.ascontiguousarray(strokes.plane(layer.data, plane)), strokes.seen[plane]
        kind = self._watch.take_kind()
        before = strokes.corrections
        if kind is None and not np.array_equal(now, seen) and strokes.stepped_across(plane, layer.data):
            self._compare(strokes, plane, layer)
            self._write(strokes)
            return True
        taken = strokes.log.take(plane, seen, now, kind=kind)
        if taken is None:
            return False
        if taken == "edit":  # napari itself brings back what was undone
            self._remember(strokes, plane, seen, before)
        self._see(strokes, plane, layer)
        self._write(strokes)
        return True

    def _remember(self, strokes: KeptStrokes, plane: int, labels: npt.NDArray[Any], before: Corrections) -> None:
        """Keep the state before an edit, so that *Back* comes to it."""
        axis = self.session.picture.view.channel_axis
        index = tuple(i for a, i in enumerate(strokes.index(plane)) if a != axis)
        self.session.remember(index, labels, before)

    def _see(self, strokes: KeptStrokes, plane: int, layer: Labels) -> None:
        strokes.seen[plane] = strokes.plane(layer.data, plane)

    def _write(self, strokes: KeptStrokes) -> None:
        try:
            strokes.save(self.session.prompts)
        except OutputError as error:
            if str(error) != self._told:  # once is enough
                self._told = str(error)
                self.session.say(str(error), "error")

    def _changed(self, strokes: KeptStrokes, *, follow: bool = True) -> None:
        self._write(strokes)
        self.strokes_changed.emit()
        if follow:
            self.session.follow()

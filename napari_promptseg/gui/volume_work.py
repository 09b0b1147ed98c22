"""Segments many planes of a volume in the background; the layer fills as they come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Qt, QTimer, Signal

from napari_promptseg.errors import PromptSegError
from napari_promptseg.gui.volume_index import Place, across, cut_of
from napari_promptseg.gui.volume_order import AXES, Arrival, Order, in_array, learned, volume_of, what_is_followed
from napari_promptseg.gui.work import Job
from napari_promptseg.learning.corrections import Corrections
from napari_promptseg.progress import Progress

if TYPE_CHECKING:
    from napari_promptseg.gui.live_masks import Lesson
    from napari_promptseg.gui.session import Session
    from napari_promptseg.segmentation.volumes.planes import PlaneAxis
    from napari_promptseg.segmentation.volumes.prior import CorrectedPlane

#: The layer is drawn anew at most so often while planes come in, in milliseconds.
REDRAW = 300

#: Pause after a stroke before the whole volume follows, in milliseconds.
CARRY_DELAY = 1500


class VolumeWork(QObject):
    """Segments ranges of planes; what the user painted stays as painted.

    Parameters
    ----------
    session : Session

    Attributes
    ----------
    carries : bool
        Whether the whole volume follows strokes in the background.
    trusts_planes : bool
        Whether planes with strokes count as right everywhere.
    doing : str
        What goes on while the volume follows strokes, and how long it will take.

    Signals
    -------
    changed
        Work began or ended.
    arrived
        Planes came in; not more often than the layer is drawn.
    """

    changed = Signal()
    arrived = Signal()
    _sent = Signal(object)
    _said = Signal(object, str)

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.session = session
        self.carries = True
        self.trusts_planes = True
        self.doing = ""
        self._numbers = count(1)
        self._order: Order | None = None
        self._came: set[int] = set()  # planes that the last order brought, with three axes each of them twice
        self._found: set[int] = set()  # labels that it brought
        self._whole: dict[int, tuple[PlaneAxis, ...]] = {}  # images whose volume has a mask, with the axes that made it
        self._followed: dict[int, tuple[Any, ...]] = {}  # classes, strokes and window that those masks follow
        self._sent.connect(self._on_arrival, Qt.ConnectionType.QueuedConnection)
        self._said.connect(self._on_said, Qt.ConnectionType.QueuedConnection)
        self._redraw = QTimer(self, singleShot=True, interval=REDRAW)
        self._redraw.timeout.connect(self._draw)
        self._carry = QTimer(self, singleShot=True, interval=CARRY_DELAY)
        self._carry.timeout.connect(self.carry)
        session.workbench.cancelled.connect(self._on_cancelled)
        session.corrector.strokes_changed.connect(self._on_strokes)
        session.image_changed.connect(self._on_image)

    def set_carries(self, on: bool) -> None:
        """Let the whole volume follow strokes, or no more."""
        self.carries = on
        if on:
            self._on_strokes()
        else:
            self.stop()
        self.changed.emit()

    def set_trusts_planes(self, on: bool) -> None:
        """Take planes with strokes as right everywhere, or only the strokes."""
        self.trusts_planes = on
        self._followed.clear()
        self.stop()
        self._on_strokes()

    @property
    def is_running(self) -> bool:
        """Whether planes that the user asked for are being segmented."""
        return self._order is not None and not self._order.quiet

    @property
    def is_carrying(self) -> bool:
        """Whether the whole volume follows strokes just now."""
        return self._order is not None and self._order.quiet

    @property
    def finished(self) -> int:
        """How many planes the last order brought."""
        return len(self._came)

    @property
    def has_whole(self) -> bool:
        """Whether all planes of the image in hand have been segmented."""
        return id(self.session.picture.layer) in self._whole

    def has_mask_at(self, index: Place) -> bool:
        """Whether a plane of the image in hand got its mask together with others, not by itself."""
        result = self.session.result
        return self.has_whole or (result is not None and result.is_plain(index))

    def segment(self, planes: Sequence[int] | None = None, *, mean_of_three: bool = False) -> bool:
        """Segment planes across the axis in sight, all where not given; False, and a sentence, if something is missing.

        Parameters
        ----------
        planes : sequence of int, optional
        mean_of_three : bool
            Look along all three axes and average what they say.
        """
        session = self.session
        if not len(session.prompts):
            session.say("No class is named yet: type one, for example liver, and press Enter.", "warning")
            return False
        try:
            order = self._made(planes, mean_of_three=mean_of_three, quiet=False)
        except PromptSegError as error:
            session.say(str(error), "warning")
            return False
        session.rest()
        if session.result_layer is not None:
            session.remember(())
        session.result_for(order.image, order.view).stand(session.prompts)
        session.result_changed.emit()
        self._start(order)
        return True

    def carry(self) -> bool:
        """Let the strokes teach the whole volume, in the background; False where there is nothing to do."""
        session, image = self.session, self.session.picture.layer
        axes = self._whole.get(id(image))
        if axes is None or session.result_layer is None or not len(session.prompts):
            return False
        try:
            order = self._made(None, mean_of_three=len(axes) > 1, quiet=True)
        except PromptSegError as error:
            session.say(str(error), "warning")
            return False
        self._start(order)
        return True

    def stop(self) -> None:
        """Bring no further planes of what follows strokes."""
        self._carry.stop()
        if self.is_carrying:
            self._end()

    def close(self) -> None:
        """Bring nothing any more."""
        self._carry.stop()
        self._redraw.stop()
        self._order = None

    # ---- the order

    def _made(self, planes: Sequence[int] | None, *, mean_of_three: bool, quiet: bool) -> Order:
        session = self.session
        source, image, view = session.picture.source(), session.picture.layer, session.picture.view
        assert image is not None  # source has raised otherwise
        cut = session.picture.cut
        axis = AXES[cut]
        others = tuple(a for a in AXES if a != axis) if mean_of_three else ()
        wanted = range(source.pixels.shape[cut]) if planes is None else planes
        request = replace(session.request(source, image, view), look_again=False)
        lesson = session.corrector.lesson(source, image, view)
        corrected, corrections = self._taught(lesson)
        return Order(
            next(self._numbers),
            request,
            image,
            view,
            (axis, *others),
            tuple(wanted),
            lesson,
            corrected,
            corrections,
            quiet,
        )

    def _taught(self, lesson: Lesson | None) -> tuple[tuple[CorrectedPlane, ...], dict[PlaneAxis, Corrections]]:
        """What strokes say, in voxels as they lie in the array."""
        from napari_promptseg.segmentation.volumes.prior import CorrectedPlane

        strokes, layer, prompts = self.session.corrector.strokes, self.session.result_layer, self.session.prompts
        if lesson is None or strokes is None:
            return (), {}
        known = lesson.known(prompts)
        corrections: dict[PlaneAxis, Corrections] = {}
        corrected = []
        for plane in known.planes:
            place = strokes.index(plane)
            axis, number = AXES[cut_of(place)], int(place[-1] or 0)
            own = [in_array(s, number, strokes.shape_of(plane), place) for s in known.on_plane(plane)]
            corrections[axis] = corrections.get(axis, Corrections()).with_added(own)
            if self.trusts_planes and layer is not None and layer.data.shape == strokes.shape:
                labels = strokes.plane(layer.data, plane)
                corrected.append(CorrectedPlane(axis, number, np.array(labels[::-1] if cut_of(place) else labels)))
        return tuple(corrected), corrections

    def _start(self, order: Order) -> None:
        session = self.session
        self._carry.stop()
        self._order, self._came, self._found, self.doing = order, set(), set(), ""

        def done(finished: int) -> None:
            if self._order is order:
                self._finish(order, finished)

        def failed(sentence: str) -> None:
            if self._order is order:
                self._end()
            session.say(sentence, "error")

        kind = "carry to the volume" if order.quiet else "segment planes"
        session.workbench.submit(Job(kind, lambda p: self._run(order, p), done, failed, quiet=order.quiet))
        self.changed.emit()

    def _run(self, order: Order, progress: Progress) -> int:
        """In the worker: send every plane as it is finished; gives how many there were."""
        from napari_promptseg.errors import CancelledError
        from napari_promptseg.segmentation.volumes.run import segment_volume

        engine, request = self.session.engine, order.request
        here = request.source.index[-1]
        stack = volume_of(request.source, order.image)
        several = len(stack.modalities) > 1
        if here in order.planes:
            self._sent.emit(Arrival(order, int(here or 0), outcome=engine.run(request, progress)))
        elif several and order.corrections:
            engine.run(request, progress)  # strokes teach several modalities on the plane in sight
        else:
            engine.prepare(request, progress)

        def step(done: int, total: int, description: str) -> None:
            progress(done, total, description)
            self._said.emit(order, description)
            if self._order is not order:  # strokes were made meanwhile, or the image is gone
                raise CancelledError("Stopped at your request.")

        beside = engine.another(request.model, progress)
        in_hand = engine.segmenter
        assert in_hand is not None  # prepare has raised otherwise
        prompts, prior = learned(order, self.session.corrector.masks, in_hand, beside, stack, step)
        run = segment_volume(
            beside,
            stack,
            prompts,
            axes=order.axes,
            planes=order.planes,
            first=int(here or 0) if here in order.planes else None,
            prior=prior,
            modalities="all" if several else (0,),
            progress=step,
        )
        try:
            for _, plane, labels in run:
                self._sent.emit(Arrival(order, plane, labels))
        finally:
            run.close()
        return len(order.planes)

    # ---- in the window's thread

    def _on_arrival(self, arrival: Arrival) -> None:
        order, session = arrival.order, self.session
        if order.image not in session.viewer.layers or (order.quiet and self._order is not order):
            return
        index = across(AXES.index(order.axes[0]), arrival.plane)
        if arrival.outcome is not None:
            session.show(arrival.outcome, order.image, order.view, live=True)
            return
        assert arrival.labels is not None
        result = session.result_for(order.image, order.view)
        if result.standing is None:
            self._end()  # the user removed the layer meanwhile
            return
        shown = arrival.labels[::-1] if order.axes[0] != "axial" else arrival.labels
        labels = session.corrector.imposed(order.image, order.view, index, shown)
        result.write(index, labels, order.request.prompts)
        self._came.add(arrival.plane)
        if self._followed.get(id(order.image)) != order.follows:
            self._followed.pop(id(order.image), None)  # some planes follow something else now
        self._found |= {int(v) for v in np.unique(labels)}
        if not self._redraw.isActive():
            self._redraw.start()

    def _on_said(self, order: Order, description: str) -> None:
        if self._order is order:
            self.doing = description

    def _draw(self) -> None:
        layer = self.session.result_layer
        if layer is not None:
            layer.refresh()
        self.arrived.emit()

    def _finish(self, order: Order, finished: int) -> None:
        layer = order.image
        source = order.request.source
        if set(order.planes) == set(range(source.pixels.shape[AXES.index(order.axes[0])])):
            self._whole[id(layer)], self._followed[id(layer)] = order.axes, order.follows
        # what is still on its way comes before this
        QTimer.singleShot(0, lambda: self._told(order, finished))

    def _told(self, order: Order, finished: int) -> None:
        if self._order is not order:
            return
        self._end()
        how = ", mean of three axes" if len(order.axes) > 1 else ""
        axis = self.session.volume.view.titles[AXES.index(order.axes[0])]
        planes = f"{finished} {axis} plane{'s' if finished != 1 else ''}{how}"
        found = [c.name for c in self.session.prompts.classes if c.value in self._found]
        if order.quiet:
            n = 0 if order.lesson is None else len(order.lesson.corrections)
            what = f"{n} stroke{'s' if n != 1 else ''}" if n else "change"
            self.session.say(f"The whole volume follows your {what}: {planes}.")
        elif found:
            more = " …" if len(found) > 4 else ""
            self.session.say(f"Segmented {planes}: found {', '.join(found[:4])}{more}.")
        else:
            self.session.say(
                f"Segmented {planes}: none of the classes was found. Draw a region, or correct one plane.", "warning"
            )

    def _end(self) -> None:
        self._order = None
        self._draw()
        self.session.result_changed.emit()
        self.changed.emit()

    def _on_cancelled(self) -> None:
        if self.is_running:
            n, total = self.finished, len(self._order.planes) if self._order is not None else 0
            self._end()
            self.session.say(f"Stopped after {n} of {total} planes; their masks stay.")

    def _on_strokes(self) -> None:
        """A stroke, a class or the window came or changed: what follows those before is out of date."""
        session = self.session
        now = what_is_followed(session.prompts, session.corrector.corrections, session.picture.view)
        if self._order is not None and self._order.follows == now:
            return
        if self.is_carrying:
            self._end()
        if self._followed.get(id(session.picture.layer)) == now:
            self._carry.stop()  # by Back and Forward, or only colours have changed: a clean-up stays
        elif self.carries and session.live and self.has_whole and not self.is_running:
            self._carry.start()

    def _on_image(self) -> None:
        standing = {id(layer) for layer in self.session.picture.choices()}
        self._whole = {key: axes for key, axes in self._whole.items() if key in standing}
        self._followed = {key: what for key, what in self._followed.items() if key in standing}
        if self._order is not None and id(self._order.image) not in standing:
            self._order = None
            self.changed.emit()

"""Which planes of a volume the viewer shows, the right way up, and which side of the patient is where."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from qtpy.QtCore import QObject, Signal

from napari_promptseg.gui.volume_index import cut_of
from napari_promptseg.images.geometry import PLANES, Geometry

if TYPE_CHECKING:
    from napari_promptseg.gui.session import Session

#: Where the axes of napari's camera point for planes across z, y and x: into the screen, down it and along it. Then
#: coronal and sagittal planes have the head up, the patient's right is on the left, and in three dimensions nothing is
#: mirrored: z, y and x run to the head, the back and the left, which is right-handed as ``(x, y, z)``.
ORIENTATIONS = (("away", "down", "right"), ("away", "up", "right"), ("towards", "up", "right"))

#: In three dimensions, where one looks to and what is up, as ``(z, y, x)``, to see the same sides as on the planes.
DIRECTIONS = (((1, 0, 0), (0, -1, 0)), ((0, 1, 0), (1, 0, 0)), ((0, 0, -1), (1, 0, 0)))

#: Sides of the patient towards the start and the end of z, y and x.
SIDES = (("F", "H"), ("A", "P"), ("R", "L"))

SIDE_NAMES = {"F": "feet", "H": "head", "A": "front", "P": "back", "R": "patient's right", "L": "patient's left"}


def geometry_of(layer: Image | None) -> Geometry | None:
    """Where a layer's voxels lie in a patient; None where nothing, or something else, is known."""
    found = None if layer is None else layer.metadata.get("geometry")
    return found if isinstance(found, Geometry) else None


def edges(cut: int) -> tuple[str, str, str, str]:
    """Letters of the sides at the left, right, top and bottom of a plane across an axis."""
    rows, columns = (SIDES[axis] for axis in range(3) if axis != cut)
    top, bottom = rows if not cut else rows[::-1]
    return (*columns, top, bottom)


class VolumeView(QObject):
    """Turns the viewer to planes across another axis and tells the picture which they are.

    Parameters
    ----------
    session : Session

    Signals
    -------
    changed
        Other planes are in sight, or another image.

    Notes
    -----
    The viewer's own button that rolls the axes is followed for volumes in a patient, and for other stacks once planes
    across another axis have been chosen here: elsewhere the last two axes stay rows and columns.
    """

    changed = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.session = session
        self.letters = True
        self._seen: set[int] = set()  # images that were turned to their own planes
        self._asked: set[int] = set()
        self._turning = False
        self._text = ""
        self._orientation: Any = None
        viewer = session.viewer
        viewer.dims.events.order.connect(self._on_order)
        viewer.dims.events.ndisplay.connect(self._on_ndisplay)
        session.picture.plane_changed.connect(self._on_plane)
        session.image_changed.connect(self._on_image)
        self._on_image()

    @property
    def geometry(self) -> Geometry | None:
        """Of the image in hand."""
        geometry, picture = geometry_of(self.session.picture.layer), self.session.picture
        return geometry if picture.is_stack else None

    @property
    def titles(self) -> tuple[str, str, str]:
        """What planes across the three axes are called."""
        if self.geometry is not None:
            return PLANES
        layer = self.session.picture.layer
        names = ("z", "y", "x") if layer is None else tuple(str(a) for a in layer.axis_labels)
        letters = names if len(names) == 3 and all(n.isalpha() for n in names) else ("z", "y", "x")
        return (letters[0], letters[1], letters[2])

    @property
    def at(self) -> tuple[int, int]:
        """Number of the plane in sight, and how many there are across its axis; ``(0, 0)`` without a stack."""
        picture = self.session.picture
        source = picture.in_sight
        if source is None or not picture.is_stack:
            return (0, 0)
        return int(source.index[-1] or 0), int(source.pixels.shape[cut_of(source.index)])

    def show(self, cut: int) -> None:
        """Show planes across an axis: 0 axial (z), 1 coronal (y), 2 sagittal (x)."""
        picture, dims = self.session.picture, self.session.viewer.dims
        if not picture.is_stack:
            return
        self._asked.add(id(picture.layer))
        with self._turn():
            picture.look_across(cut)
            self._arrange()
        # planes across another axis have another size: all of them is brought into view
        if dims.ndisplay == 2:
            self.session.viewer.reset_view()
        self._tell()

    def show_solid(self, on: bool) -> None:
        """Show the volume in three dimensions, or its planes again."""
        self.session.viewer.dims.ndisplay = 3 if on else 2

    def close(self) -> None:
        """Let go of the viewer."""
        dims = self.session.viewer.dims.events
        dims.order.disconnect(self._on_order)
        dims.ndisplay.disconnect(self._on_ndisplay)
        self.letters = False
        self._write()

    # ---- inside

    @contextmanager
    def _turn(self) -> Iterator[None]:
        self._turning = True
        try:
            yield
        finally:
            self._turning = False

    def _on_image(self) -> None:
        layer = self.session.picture.layer
        standing = {id(image) for image in self.session.picture.choices()}
        self._seen &= standing
        self._asked &= standing
        geometry = self.geometry
        if layer is not None and geometry is not None and id(layer) not in self._seen:
            self._seen.add(id(layer))
            acquired = PLANES.index(geometry.acquired)
            if acquired and tuple(self.session.viewer.dims.order) == tuple(range(self.session.viewer.dims.ndim)):
                self.show(acquired)
        self._on_order()

    def _on_order(self, event: Any = None) -> None:
        """The axes were rolled, by whomever."""
        picture, dims = self.session.picture, self.session.viewer.dims
        if self._turning or dims.ndisplay != 2:
            return
        if not picture.is_stack and self._orientation is not None:
            with self._turn():
                dims.order = tuple(range(dims.ndim))
            self._orient(0)
        if picture.is_stack and (self.geometry is not None or id(picture.layer) in self._asked):
            first = dims.ndim - 3
            away = {0, 1, 2} - {axis - first for axis in dims.order[-2:]}
            if len(away) == 1:
                cut = away.pop()
                picture.look_across(cut)
                self._orient(cut)
        self._tell()

    def _on_ndisplay(self, event: Any = None) -> None:
        """The viewer turned to three dimensions, or back to planes."""
        if self.session.picture.is_stack and (self.geometry is not None or self._orientation is not None):
            with self._turn():
                self._arrange()
        self._tell()

    def _arrange(self) -> None:
        """Order the viewer's axes and point its camera for the planes in hand."""
        viewer, cut = self.session.viewer, self.session.picture.cut
        dims, solid = viewer.dims, viewer.dims.ndisplay == 3
        first = dims.ndim - 3
        # in three dimensions napari draws surfaces in their place only where the axes have their own order
        own = (0, 1, 2) if solid else (cut, *(axis for axis in range(3) if axis != cut))
        order = (*range(first), *(first + axis for axis in own))
        if tuple(dims.order) != order:
            dims.order = order
        self._orient(0 if solid else cut)
        if solid:
            camera = getattr(viewer, "scene", viewer).camera
            camera.set_view_direction(*DIRECTIONS[cut])

    def _orient(self, cut: int) -> None:
        """Point the camera's axes; as they were before for all that is no volume."""
        camera = getattr(self.session.viewer, "scene", self.session.viewer).camera
        wanted = ORIENTATIONS[cut]
        if self.geometry is None and not cut:
            wanted, self._orientation = self._orientation, None
        elif self._orientation is None:
            self._orientation = camera.orientation
        if wanted is not None and tuple(str(o) for o in camera.orientation) != tuple(str(o) for o in wanted):
            camera.orientation = wanted

    def _on_plane(self) -> None:
        if not self._turning:
            self._tell()

    def _tell(self) -> None:
        self._write()
        self.changed.emit()

    def _write(self) -> None:
        """The plane and its sides as the viewer's text; a text of the user's own is left alone."""
        overlay = text_overlay(self.session.viewer)
        if overlay.text != self._text:
            if overlay.text:
                return
            self._text = ""
        wanted = ""
        if self.letters and self.geometry is not None and self.session.viewer.dims.ndisplay == 2:
            cut = self.session.picture.cut
            left, right, top, bottom = edges(cut)
            number, n = self.at
            wanted = f"{PLANES[cut]} {number + 1} / {n}\n{left} \u2190 \u2192 {right}    {top} \u2191 \u2193 {bottom}"
        if wanted != self._text:
            overlay.text, self._text = wanted, wanted
            overlay.visible = bool(wanted)
            if wanted:
                overlay.position = "top_left"


def text_overlay(viewer: Any) -> Any:
    """The viewer's text; napari moved it to the canvas in 0.9."""
    canvas = getattr(viewer, "canvas", None)
    return viewer.text_overlay if canvas is None else canvas.overlays.text

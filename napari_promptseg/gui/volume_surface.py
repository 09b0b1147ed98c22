"""The classes of a volume as surfaces, where their voxels lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Image, Surface
from napari.utils import Colormap
from qtpy.QtCore import QObject, Signal

from napari_promptseg.gui.layers import View, geometry
from napari_promptseg.gui.work import Job
from napari_promptseg.progress import Progress

if TYPE_CHECKING:
    from napari_promptseg.gui.session import Session

#: Voxels of a class's box from which on its surface is made of every second one.
_MANY = 40_000_000

#: Where light comes from, as ``(z, y, x)``: above, in front and from the patient's left. It is part of the surface,
#: since napari's own light leaves the side towards the viewer dark in every view that shows a patient unmirrored.
_LIGHT = np.array([0.5, -0.7, 0.5]) / np.linalg.norm([0.5, -0.7, 0.5])

#: How bright the side away from the light is.
_DARKEST = 0.35

#: Standard deviation of the smoothing that takes the steps of the voxels away, in voxels.
_SMOOTH = 0.7

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Mesh:
    """A closed surface.

    Parameters
    ----------
    vertices : numpy.ndarray
        ``(n, 3)`` in voxels ``(z, y, x)``; a voxel's centre has whole numbers.
    faces : numpy.ndarray
        ``(m, 3)`` numbers of vertices.
    light : numpy.ndarray
        ``(n,)`` in 0 to 1: how bright each vertex is.
    """

    vertices: Floats
    faces: npt.NDArray[np.int64]
    light: Floats


def mesh_of(mask: npt.NDArray[np.bool_]) -> Mesh | None:
    """The surface around the voxels of a mask ``(z, y, x)``; None where there are none.

    Notes
    -----
    Marching cubes of scikit-image (Lewiner et al., Journal of Graphics Tools 2003) on the mask smoothed by less than
    a voxel; a mask too thin for that as it is. Closed at the sides of the volume too.
    """
    from scipy import ndimage
    from skimage.measure import marching_cubes

    if not mask.any():
        return None
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    inside = np.pad(mask[box], 2).astype(np.float32)
    soft = ndimage.gaussian_filter(inside, _SMOOTH)
    if soft.max() <= 0.55:
        soft = inside
    step = 2 if inside.size > _MANY else 1
    vertices, faces, normals, _ = marching_cubes(soft, 0.5, step_size=step)
    towards = (normals @ _LIGHT + 1) / 2
    light = (_DARKEST + (1 - _DARKEST) * towards).astype(np.float32)
    corner = np.array([side.start - 2 for side in box], np.float32)
    return Mesh((vertices + corner).astype(np.float32), faces.astype(np.int64), light)


class VolumeSurfaces(QObject):
    """One napari Surface layer per class, made when asked for and made anew when asked again.

    Parameters
    ----------
    session : Session

    Signals
    -------
    changed
        Surfaces came or went.
    """

    changed = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.session = session
        self._layers: dict[int, Surface] = {}
        self._hidden: Any = None
        session.viewer.layers.events.removed.connect(self._on_removed)
        session.viewer.dims.events.ndisplay.connect(self._on_ndisplay)
        session.prompts_changed.connect(self._dress)

    @property
    def standing(self) -> list[Surface]:
        """Surfaces in the viewer."""
        return list(self._layers.values())

    def show(self) -> bool:
        """Make the surfaces of all visible classes; False, and a sentence, where there is no mask."""
        session = self.session
        layer, image = session.result_layer, session.picture.layer
        if layer is None or image is None or not session.picture.is_stack:
            session.say("There is no mask of a volume yet: press Segment planes first.", "warning")
            return False
        mine, view = layer, session.picture.view
        values = [c.value for c in session.prompts.classes if c.visible]

        def task(progress: Progress) -> dict[int, Mesh]:
            found = {}
            labels = np.array(mine.data)  # while it may still be written to
            for i, value in enumerate(values):
                progress(i, len(values), f"making surface {i + 1} of {len(values)}")
                mesh = mesh_of(labels == value)
                if mesh is not None:
                    found[value] = mesh
            return found

        def done(meshes: dict[int, Mesh]) -> None:
            if image in session.viewer.layers:
                self._put(meshes, image, view)

        session.workbench.submit(Job("surface", task, done, lambda text: session.say(text, "error")))
        return True

    def remove(self) -> None:
        """Take all surfaces away."""
        for layer in list(self._layers.values()):
            self.session.viewer.layers.remove(layer)

    def close(self) -> None:
        """Let go of the viewer; the surfaces stay, as any other layers."""
        self.session.viewer.layers.events.removed.disconnect(self._on_removed)
        self.session.viewer.dims.events.ndisplay.disconnect(self._on_ndisplay)
        self._layers.clear()

    def _put(self, meshes: dict[int, Mesh], image: Image, view: View) -> None:
        session, viewer = self.session, self.session.viewer
        self.remove()
        if not meshes:
            session.say("None of the classes has a voxel to show a surface of.", "warning")
            return
        selected = set(viewer.layers.selection)
        names = {c.value: c.name for c in session.prompts.classes}
        for value, mesh in meshes.items():
            layer = Surface(
                (mesh.vertices, mesh.faces, mesh.light),
                name=f"{names.get(value, value)} surface",
                contrast_limits=(0, 1),
                shading="none",
                metadata={"napari-promptseg": {"image": image.name, "role": "surface", "value": value}},
                **geometry(image, view),
            )
            self._layers[value] = viewer.add_layer(layer)
        self._dress()
        viewer.layers.selection = {layer for layer in selected if layer in viewer.layers}
        self._on_ndisplay()
        n = len(meshes)
        where = "" if viewer.dims.ndisplay == 3 else "; press 3-D to see them"
        session.say(f"{n} surface{'s' if n != 1 else ''} made{where}.")
        self.changed.emit()

    def _dress(self) -> None:
        """In the classes' colours."""
        colours = {c.value: c.colour for c in self.session.prompts.classes}
        for value, layer in self._layers.items():
            colour = colours.get(value, "#808080")
            layer.colormap = Colormap(["black", colour], name=f"surface {colour}")

    def _on_removed(self, event: Any) -> None:
        gone = [value for value, layer in self._layers.items() if layer is event.value]
        for value in gone:
            del self._layers[value]
        if gone:
            self._on_ndisplay()
            self.changed.emit()

    def _on_ndisplay(self, event: Any = None) -> None:
        """In three dimensions surfaces take the labels' place; on planes the labels are shown again."""
        labels = self.session.result_layer
        solid = self.session.viewer.dims.ndisplay == 3 and bool(self._layers)
        if solid and labels is not None and labels.visible:
            labels.visible, self._hidden = False, labels
        elif not solid and self._hidden is not None:
            self._hidden.visible, self._hidden = True, None

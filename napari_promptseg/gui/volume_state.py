"""What the dock knows of the volume in hand, in one place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_promptseg.gui.volume_measures import VolumeMeasures
from napari_promptseg.gui.volume_surface import VolumeSurfaces
from napari_promptseg.gui.volume_view import VolumeView
from napari_promptseg.gui.volume_work import VolumeWork

if TYPE_CHECKING:
    from napari_promptseg.gui.session import Session


class Volume:
    """A session's view of a volume, and the work on it.

    Attributes
    ----------
    view : VolumeView
    work : VolumeWork
    measures : VolumeMeasures
    surfaces : VolumeSurfaces
    """

    def __init__(self, session: Session) -> None:
        self.view = VolumeView(session)
        self.work = VolumeWork(session)
        self.measures = VolumeMeasures(session)
        self.surfaces = VolumeSurfaces(session)

    def close(self) -> None:
        """Let go of the viewer."""
        self.work.close()
        self.measures.close()
        self.surfaces.close()
        self.view.close()

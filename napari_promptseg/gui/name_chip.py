"""A name that a region may have: a click takes it."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QSizePolicy, QToolButton

from napari_promptseg.concepts.concept import Candidate
from napari_promptseg.gui.theme import colour
from napari_promptseg.gui.word_chip import chip_style

#: Signs of how well the model knows a name, so that colour is not all that tells.
SIGNS = {"known": "✓", "related": "≈", "unknown": "?", "not judged": "–"}


class NameChip(QToolButton):
    """One candidate.

    Signals
    -------
    chosen : str
    """

    chosen = Signal(str)

    def __init__(self, viewer: Any, candidate: Candidate, *, taken: bool) -> None:
        super().__init__()
        self.candidate = candidate
        self.setText(f"{candidate.name}  {candidate.confidence:.0%} {SIGNS[candidate.familiarity]}")
        self.setAccessibleName(f"Name {candidate.name}, {candidate.familiarity}")
        by = f"Offered by {candidate.source}" if candidate.source else "Offered by the image-text model"
        self.setToolTip(
            f"{by}: {candidate.confidence:.0%} among the names offered and “none of them”; "
            f"the word itself is {candidate.familiarity} to the model.\nClick to call the region “{candidate.name}”"
        )
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setStyleSheet(chip_style(viewer, on=taken))
        self.clicked.connect(lambda: self.chosen.emit(candidate.name))


def badge(viewer: Any, level: str) -> tuple[str, str, str]:
    """Text, colour and tip of how well the model knows a name; empty texts while that is not asked."""
    if not level:
        return "", colour(viewer, "text").name(), ""
    role = {"known": "text", "related": "warning", "unknown": "error"}.get(level, "secondary")
    tips = {
        "known": "The model knows this name",
        "related": "The model learned words near this name; look at the mask",
        "unknown": "The model does not know this name: the region and the other words speak for it",
        "not judged": "Nobody measured whether this model knows the name",
    }
    return f"{SIGNS[level]} {level}", colour(viewer, role).name(), tips[level]

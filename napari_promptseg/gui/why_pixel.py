"""The answer to “Why this pixel”: a bar per class, who spoke for it, and what the user's strokes have to do with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QRectF, Qt
from qtpy.QtGui import QColor, QPainter
from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from napari_promptseg.gui.controls import push_button, wrapped_label
from napari_promptseg.gui.modality_layers import short_names
from napari_promptseg.gui.pixel_reasons import STAGES, PixelReason, PixelReasons
from napari_promptseg.gui.theme import colour, cross_icon, swatch_icon

if TYPE_CHECKING:
    from napari_promptseg.gui.session import Session
    from napari_promptseg.segmentation.explanation import ClassReason, Voice
    from napari_promptseg.segmentation.label_map import LabelMap

#: Classes that are shown; the others are counted.
SHOWN = 4

#: Under this similarity a pixel looks like no stroke.
_ALIKE = 0.3


class Bar(QWidget):
    """A share from 0 to 1 as a bar of a class's colour, with a notch at another share."""

    def __init__(self, viewer: Any, share: float, ink: str, notch: float | None = None) -> None:
        super().__init__()
        self.viewer, self.share, self.ink = viewer, min(max(share, 0.0), 1.0), ink
        self.notch = notch
        self.setFixedHeight(10)
        self.setMinimumWidth(40)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def paintEvent(self, event: Any) -> None:
        """Draw the whole length faintly, the share in full, the notch across both."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colour(self.viewer, "secondary"))
        painter.drawRoundedRect(QRectF(0, 0, self.width(), self.height()), 3, 3)
        painter.setBrush(QColor(self.ink))
        painter.drawRoundedRect(QRectF(0, 0, max(2.0, self.width() * self.share), self.height()), 3, 3)
        if self.notch is not None:
            painter.setBrush(colour(self.viewer, "text"))
            painter.drawRect(QRectF((self.width() - 2) * min(max(self.notch, 0.0), 1.0), 0, 2, self.height()))
        painter.end()


class WhyPixel(QWidget):
    """Shows one pixel's reasons; hidden until there are some."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.reasons = PixelReasons(session)
        self.reason: PixelReason | None = None
        self._mask: LabelMap | None = None
        self.title = QLabel()
        self.title.setAccessibleName("Pixel explained")
        self.maps_button = push_button(
            "Show maps",
            "Add image layers with the scores of the two best classes, and the maps of the views or texts behind the "
            "best; press again to take them away",
        )
        self.close_button = QToolButton()
        self.close_button.setAutoRaise(True)
        self.close_button.setAccessibleName("Close the explanation")
        self.close_button.setToolTip("Close, and take the maps away")
        self.sentence = wrapped_label("Why this label")
        self.strokes = wrapped_label("Your strokes at this pixel")
        head = QHBoxLayout()
        head.addWidget(self.title, 1)
        head.addWidget(self.maps_button)
        head.addWidget(self.close_button)
        self._rows = QWidget()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 2, 0, 4)
        layout.setSpacing(3)
        layout.addLayout(head)
        layout.addWidget(self.sentence)
        layout.addWidget(self._rows)
        layout.addWidget(self.strokes)
        self.maps_button.clicked.connect(self._toggle_maps)
        self.close_button.clicked.connect(self.dismiss)
        self.reasons.answered.connect(self._on_answer)
        self.reasons.maps_changed.connect(self._on_maps)
        session.picture.changed.connect(self.dismiss)
        session.result_changed.connect(self._on_mask)
        self.on_theme()
        self.hide()

    def show_reason(self, reason: PixelReason) -> None:
        """Show why a pixel has its label."""
        self.reason = reason
        found = reason.explanation
        self.title.setText(f"Row {found.at[0]}, column {found.at[1]}")
        self.title.setToolTip("The pixel that is explained")
        self.sentence.setText(self._sentence(reason))
        grid_parent = QWidget()
        grid = QGridLayout(grid_parent)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(6)
        grid.setVerticalSpacing(1)
        grid.setColumnStretch(1, 1)
        colours = {c.value: c.colour for c in self.session.prompts.classes}
        for number, r in enumerate(found.reasons[:SHOWN]):
            name = QLabel(_short(r.name))
            name.setToolTip(r.name)
            swatch = QLabel()
            swatch.setPixmap(swatch_icon(colours.get(r.value, "#808080")).pixmap(12, 12))
            bar = Bar(self.session.viewer, r.probability, colours.get(r.value, "#808080"), r.earlier.get("words"))
            bar.setToolTip("The notch is where words alone would have it" if r.earlier else "Probability")
            figure = QLabel(f"{r.probability:.2f}")
            figure.setAccessibleName(f"Score of {r.name}")
            cell = QHBoxLayout()
            cell.setSpacing(4)
            cell.addWidget(swatch)
            cell.addWidget(name)
            cell.addStretch(1)
            grid.addLayout(cell, 2 * number, 0)
            grid.addWidget(bar, 2 * number, 1)
            grid.addWidget(figure, 2 * number, 2)
            spoke = wrapped_label(f"What spoke for {r.name}")
            spoke.setText("\n".join(line for line in (spoken(r), learned(r, found.last), apart(r)) if line))
            spoke.setToolTip("\n".join(_line(v) for v in r.voices[:8]))
            faint = colour(self.session.viewer, "text")
            faint.setAlpha(170)
            spoke.setStyleSheet(f"QLabel {{ color: {faint.name(QColor.NameFormat.HexArgb)}; padding-left: 16px; }}")
            grid.addWidget(spoke, 2 * number + 1, 0, 1, 3)
        rest = len(found.reasons) - SHOWN
        if rest > 0:
            more = QLabel(f"{rest} more, each under {found.reasons[SHOWN - 1].probability:.2f}")
            grid.addWidget(more, 2 * SHOWN, 0, 1, 3)
        self.layout().replaceWidget(self._rows, grid_parent)
        self._rows.deleteLater()
        self._rows = grid_parent
        self.strokes.setText(self._about_strokes(reason))
        self.strokes.setVisible(bool(self.strokes.text()))
        self.show()
        self._on_maps()

    def dismiss(self) -> None:
        """Close, and take the maps away."""
        self.reason = None
        self.hide()
        self.reasons.forget()

    def on_theme(self) -> None:
        """Draw again in the theme's colours."""
        self.close_button.setIcon(cross_icon(colour(self.session.viewer, "icon")))
        if self.reason is not None:
            self.show_reason(self.reason)

    def _on_answer(self, reason: PixelReason) -> None:
        self._mask = self.session.label_map
        self.show_reason(reason)
        self.session.say(f"{self.title.text()}: {self.sentence.text()}")

    def _on_mask(self) -> None:
        """Say so when the mask has changed since."""
        if self.reason is not None and self.session.label_map is not self._mask:
            row, column = self.reason.explanation.at
            self.title.setText(f"Row {row}, column {column} (earlier mask)")
            self.title.setToolTip("The mask has changed since: ask again for the pixel as it is now")

    def _sentence(self, reason: PixelReason) -> str:
        found, name = reason.explanation, self.session.corrector.name
        if reason.painted is not None:
            return f"You painted it: {name(reason.painted)}. By itself the mask would have {found.sentence}"
        text = found.sentence[:1].upper() + found.sentence[1:]
        if reason.standing != found.label:
            return f"{name(reason.standing)} stands here; with the strokes of now it would be: {text}"
        return text

    def _about_strokes(self, reason: PixelReason) -> str:
        alike = reason.likeness
        if alike is None:
            return ""
        if alike.similarity < _ALIKE:
            return f"Your strokes: it looks like none of them (similarity at most {alike.similarity:.2f})."
        name, stroke = self.session.corrector.name(alike.stroke.value), alike.stroke
        kind = "point" if stroke.kind == "point" else f"{stroke.kind} stroke of {stroke.size} pixels"
        return f"Your strokes: it looks most like your {kind} of {name} (similarity {alike.similarity:.2f})."

    def _toggle_maps(self) -> None:
        if self.reasons.has_maps:
            self.reasons.hide_maps()
        elif self.reason is not None:
            self.reasons.show_maps(self.reason)

    def _on_maps(self) -> None:
        self.maps_button.setText("Hide maps" if self.reasons.has_maps else "Show maps")


def spoken(r: ClassReason) -> str:
    """Who spoke for a class, in a few words: ``"“couch” in “a photo of a couch”, 0.31"``."""
    parts = [_line(r.voices[0])] if r.voices else []
    if r.presence is not None:
        parts.append(f"in the picture at all: {r.presence:.2f}")
    if r.value and r.known != "known":
        parts.append(f"name {r.known}")
    return "; ".join(parts)


def learned(r: ClassReason, last: str) -> str:
    """What was learned did to a class, step by step: ``"Words alone 0.12, with strokes 0.93"``."""
    if not r.earlier:
        return ""
    steps = [*r.earlier.items(), (last, r.probability)]
    first, *rest = (f"{STAGES[name]} {chance:.2f}" for name, chance in steps)
    return ", ".join([first[:1].upper() + first[1:], *(f"with {step}" for step in rest)])


def apart(r: ClassReason) -> str:
    """What each modality would make of a class: ``"By itself: RGB 0.83, near infrared 0.40"``."""
    names = short_names(list(r.apart))
    each = (f"{name} {chance:.2f}" for name, chance in zip(names, r.apart.values(), strict=True))
    return f"By itself: {', '.join(each)}" if r.apart else ""


def _line(voice: Voice) -> str:
    if voice.kind == "view":
        return f"learned {voice.label}, {voice.similarity:.2f}"
    if voice.kind == "model":
        return f"the model's own “{voice.label}”, {voice.similarity:.2f}"
    asked = "" if voice.sentence in ("", voice.label) else f" in “{voice.sentence}”"
    return f"“{voice.label}”{asked}, {voice.similarity:.2f}"


def _short(name: str, most: int = 18) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"

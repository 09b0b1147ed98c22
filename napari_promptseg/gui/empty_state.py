"""The next step, for a person who sees the dock for the first time."""

from __future__ import annotations

from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QWidget

from napari_promptseg.gui.session import Session


class EmptyState(QWidget):
    """Says what comes next until there is a mask."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.text = QLabel()
        self.text.setWordWrap(True)
        self.text.setAccessibleName("Next step")
        self.text.setToolTip("The next step on the way to a mask")
        self.sample_button = QPushButton("Open a sample")
        self.sample_button.setAccessibleName("Open a sample")
        self.sample_button.setToolTip("Open a photograph of a cat that comes with the plugin")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 2)
        layout.addWidget(self.text, 1)
        layout.addWidget(self.sample_button)
        self.sample_button.clicked.connect(self._open_sample)
        for signal in (session.image_changed, session.prompts_changed, session.result_changed):
            signal.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Find out which step is next."""
        session = self.session
        has_image = session.picture.layer is not None
        if not has_image:
            text = "1. Open an image: File > Open, drop a file on the canvas, or try a sample."
        elif not len(session.prompts):
            text = "2. Type what to look for, for example “cat”, and press Enter; or draw a region around it."
        elif session.result_layer is None:
            text = "3. Press Segment."
        else:
            text = ""
        self.text.setText(text)
        self.sample_button.setVisible(not has_image)
        self.setVisible(bool(text))

    def _open_sample(self) -> None:
        from napari_promptseg.samples import cat

        for data, keywords, kind in cat():
            getattr(self.session.viewer, f"add_{kind}")(data, **keywords)

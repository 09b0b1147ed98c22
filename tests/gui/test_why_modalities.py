"""Why a pixel has its label where several modalities had a say, before and after strokes taught them."""

from __future__ import annotations

import pytest
from correcting import segmented, settle
from pixel_encoder import PixelEncoder
from qtpy.QtWidgets import QLabel

from napari_promptseg import samples

pytestmark = [pytest.mark.gui, pytest.mark.dock(encoder=PixelEncoder)]

#: Metres per pixel of the sample.
STEP = 0.6


@pytest.fixture
def pair(viewer, dock, qtbot):
    """The RGB and near infrared sample, segmented with both ticked."""
    for pixels, keywords, _ in samples.farmland():
        viewer.add_image(pixels, **keywords)
    section = dock.sections["modalities"]
    section.header.setChecked(True)
    assert dock.session.picture.layer.name == "farmland", "of a dock that stood before, too"
    segmented(dock.session, qtbot, "green, red", live=True)
    section.row("farmland near infrared").box.click()
    settle(dock.session, qtbot)
    return section


def asked(dock, qtbot, row, column):
    why = dock.sections["learn"].why
    why.reason = None
    why.reasons.ask((row * STEP, column * STEP))
    qtbot.waitUntil(lambda: why.reason is not None)
    return why.reason.explanation


def test_each_modality_says_what_it_would_make_of_the_pixel(pair, dock, qtbot):
    found = asked(dock, qtbot, 20, 20)
    for reason in found.reasons:
        assert list(reason.apart) == ["farmland", "farmland near infrared"]
    alone = found.of(found.label).apart
    assert alone["farmland"] != pytest.approx(alone["farmland near infrared"], abs=0.02)
    shown = " ".join(x.text() for x in dock.sections["learn"].why.findChildren(QLabel))
    assert f"By itself: farmland {alone['farmland']:.2f}, near infrared {alone['farmland near infrared']:.2f}" in shown
    # weight 0 leaves one modality, which needs no more words
    pair.row("farmland near infrared").slider.setValue(0)
    settle(dock.session, qtbot)
    single = asked(dock, qtbot, 20, 20).of(found.label)
    assert single.apart == {}
    assert single.probability == pytest.approx(alone["farmland"], abs=0.1)  # edges are refined


def test_strokes_on_several_modalities_are_explained_too(pair, dock, qtbot):
    for at, value in (((20, 20), 1), ((200, 40), 2), ((120, 200), 1), ((60, 150), 2)):
        assert dock.sections["learn"].points.add((at[0] * STEP, at[1] * STEP), value)
    settle(dock.session, qtbot)
    found = asked(dock, qtbot, 22, 22)
    assert found.last == "strokes"
    assert list(found.of(1).earlier) == ["words"]
    assert list(found.of(1).apart) == ["farmland", "farmland near infrared"]
    assert "most like your point of" in dock.sections["learn"].why.strokes.text()
    dock.sections["learn"].why.maps_button.click()
    qtbot.waitUntil(lambda: any(layer.name.endswith("added by strokes") for layer in dock.session.viewer.layers))

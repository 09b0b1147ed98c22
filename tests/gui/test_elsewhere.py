"""A drawn region's concept is looked for in one of three ways, on other planes, in other images and in a folder."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from correcting import picture, settle
from PIL import Image as Picture
from qtpy.QtWidgets import QApplication
from tower_encoder import TowerEncoder

from napari_promptseg.learning.regions import RegionSettings
from napari_promptseg.prompts.region_concepts import inference_of

pytestmark = pytest.mark.gui


@pytest.fixture
def dock(viewer, dock_in):
    widget = dock_in(viewer, TowerEncoder)
    widget.session.regions.learning.settings = RegionSettings(steps=1, distil_steps=1)
    return widget


@pytest.fixture
def session(dock):
    return dock.session


@pytest.fixture
def panel(dock):
    return dock.sections["regions"].elsewhere


def ready(session, qtbot):
    QApplication.processEvents()
    qtbot.waitUntil(
        lambda: session.workbench.is_idle and not session.regions.learning.is_running and session.workbench.is_idle,
    )
    settle(session, qtbot)


def with_concept(session, qtbot, plane=None):
    """The blue square on the left is a region of the class "blue"."""
    mask = np.zeros((64, 96), bool)
    mask[10:30, 10:30] = True
    card = session.regions.put(session.picture.source(), mask)
    ready(session, qtbot)
    assert session.regions.edit(card.id, lambda concept: replace(concept, name="blue"))
    assert session.regions.use_as_class(card.id)
    ready(session, qtbot)


def stack():
    """The squares, then nothing, then the squares upside down, then nothing."""
    empty = picture()
    empty[10:30, 10:30], empty[10:30, 60:80] = empty[40, 10], empty[40, 60]
    return np.stack([empty, picture(), picture()[::-1], empty])


def test_without_a_region_there_is_nothing_to_look_for(session, panel, viewer, qtbot):
    assert panel.isHidden()
    viewer.add_image(picture(), rgb=True)
    session.add_classes("red")
    assert panel.isHidden()
    with_concept(session, qtbot)
    assert not panel.isHidden()
    assert panel.planes_button.isHidden(), "there is one plane"
    assert not panel.images_button.isEnabled(), "there is one image"


def test_ways_are_offered_with_their_figures_and_switched(session, panel, viewer, qtbot):
    viewer.add_image(picture(), rgb=True)
    with_concept(session, qtbot)
    result = session.regions.learning.result
    assert result is not None
    assert dict(panel.inference.scores) == pytest.approx(dict(result.scores))
    for way, score in result.scores.items():
        assert panel.ways[way].text() == f"{way}  {score:.2f}"
    assert panel.ways[None].isChecked()
    assert "held out" in panel.judged.text()
    (value,) = (c.value for c in session.prompts.classes)
    learned = list(result.scores)
    assert {"words", "pseudo-text"} <= set(learned)
    assert [w for w, button in panel.ways.items() if w and not button.isEnabled()] == [
        w for w in panel.ways if w and w not in learned
    ]
    for way in reversed(learned):
        panel.ways[way].click()
        ready(session, qtbot)
        assert inference_of(session.prompts, value) == way
        assert panel.ways[way].isChecked()
        assert not panel.ways[None].isChecked()
        assert session.label_map is not None
    panel.ways[None].click()
    ready(session, qtbot)
    best = max(result.scores, key=result.scores.get) if result.kept else "words"
    assert inference_of(session.prompts, value) == best
    assert panel.ways[None].text() == f"automatic: {best}"


def test_what_was_no_better_than_the_words_can_still_be_chosen(session, panel, viewer, qtbot, monkeypatch):
    from napari_promptseg.learning.validation import Verdict

    monkeypatch.setattr(Verdict, "kept", property(lambda self: False))
    viewer.add_image(picture(), rgb=True)
    with_concept(session, qtbot)
    (value,) = (c.value for c in session.prompts.classes)
    assert inference_of(session.prompts, value) is None
    assert panel.ways[None].text() == "automatic: words"
    panel.ways["pseudo-text"].click()
    ready(session, qtbot)
    assert inference_of(session.prompts, value) == "pseudo-text"
    panel.ways[None].click()
    ready(session, qtbot)
    assert inference_of(session.prompts, value) == "words"


def test_all_planes_from_the_one_in_sight_on(session, panel, viewer, qtbot):
    viewer.add_image(stack(), rgb=True)
    viewer.dims.set_current_step(0, 1)
    with_concept(session, qtbot)
    order, run = [], session.engine.run

    def noted(request, progress):
        order.append(request.source.index)
        return run(request, progress)

    session.engine.run = noted
    panel.planes_button.click()
    assert not panel.planes_button.isEnabled(), "one at a time"
    qtbot.waitUntil(lambda: not panel.apply.is_in_layers)
    ready(session, qtbot)
    assert order[0] == (1,)
    assert sorted(order) == [(0,), (1,), (2,), (3,)]
    assert order[-1] == (3,)
    labels = session.result_layer.data
    blue = (stack() == (0, 0, 255)).all(axis=-1)
    assert (labels[blue] == 1).mean() > 0.9
    n = sum(bool((plane == 1).any()) for plane in labels)
    assert panel.report.text() == f"blue: found on {n} of 4."
    assert panel.planes_button.isEnabled()


def test_stopped_the_planes_that_are_finished_stay(session, panel, viewer, qtbot):
    viewer.add_image(stack(), rgb=True)
    viewer.dims.set_current_step(0, 1)
    with_concept(session, qtbot)
    run = session.engine.run

    def slow(request, progress):
        outcome = run(request, progress)
        if request.source.index == (2,):
            session.workbench.cancel()  # as the button does, while a plane is worked on
        return outcome

    session.engine.run = slow
    panel.planes_button.click()
    qtbot.waitUntil(lambda: not panel.apply.is_in_layers)
    ready(session, qtbot)
    assert session.result_layer.data[1].any()
    assert not session.result_layer.data[3].any()
    assert panel.apply.n_looked < 4
    assert f"of {panel.apply.n_looked}" in panel.report.text()


def test_other_images_without_the_one_in_hand(session, panel, viewer, qtbot):
    viewer.add_image(picture()[:, ::-1].copy(), rgb=True, name="other")
    first = viewer.add_image(picture(), rgb=True, name="first")
    session.picture.choose(first)
    with_concept(session, qtbot)
    panel.images_button.click()
    qtbot.waitUntil(lambda: not panel.apply.is_in_layers)
    ready(session, qtbot)
    assert panel.apply.n_looked == 1
    found = viewer.layers["other classes"].data
    assert (found[10:30, 66:86] == 1).mean() > 0.9
    assert panel.report.text() == "blue: found on 1 of 1."


def test_a_folder_of_the_next_patients(session, panel, viewer, qtbot, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for i in range(2):
        Picture.fromarray(np.roll(picture(), 8 * i, axis=1)).save(images / f"p{i}.png")
    viewer.add_image(picture(), rgb=True)
    with_concept(session, qtbot)
    panel.folder_button.click()
    assert not panel.form.isHidden()
    assert not panel.form.start_button.isEnabled()
    panel.form.folder_edit.setText(str(images))
    panel.form.start_button.click()
    qtbot.waitUntil(lambda: "2 of 2 images" in panel.report.text())
    ready(session, qtbot)
    assert len(list((images / "labels").glob("*_labels.tif"))) == 2

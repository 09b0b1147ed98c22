"""Every kind of image a person may have open, segmented in the dock and read back from the label layer."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from pixel_encoder import PixelEncoder

from napari_promptseg.encoders.loading import load_encoder
from napari_promptseg.gui.dock import PromptSegmentationWidget
from napari_promptseg.gui.engine import Engine
from napari_promptseg.gui.session import Session
from napari_promptseg.segmentation.segmenter import Segmenter

pytestmark = pytest.mark.gui

SHAPE = (40, 48)
WHERE = np.zeros(SHAPE, bool)
WHERE[4:20, 6:30] = True


@pytest.fixture
def real_dock(viewer, qtbot):
    """The dock on the real segmenter, with a model to which bright pixels are “red” and dark ones background."""
    engine = Engine(lambda spec, device: PixelEncoder(), Segmenter, list)
    widget = PromptSegmentationWidget(viewer, Session(viewer, engine=engine, warm_up=False))
    widget.session.refinement = "none"  # exactly the pixels that the model sees
    viewer.window.add_dock_widget(widget, name="Prompt segmentation")
    yield widget
    widget.let_go()
    qtbot.waitUntil(lambda: widget.session.workbench.is_idle)


@pytest.fixture
def segment(real_dock, qtbot):
    """Name classes if need be, segment, and give the label layer."""
    session = real_dock.session

    def act(names="red"):
        said = []
        session.message.connect(lambda text, tone: said.append((tone, text)))
        if names and not len(session.prompts):
            assert session.add_classes(names)
        assert session.segment(), said
        qtbot.waitUntil(lambda: session.workbench.is_idle and not session._live_timer.isActive())
        assert not [text for tone, text in said if tone == "error"]
        return session.result_layer

    return act


def grey(dtype=np.uint8, low=0, high=200):
    return np.where(WHERE, high, low).astype(dtype)


def with_holes():
    picture = grey(np.float32, -3.0, 7.5)
    picture[0, :5], picture[-1, 0], picture[5, 8] = np.nan, -np.inf, np.inf  # inf is as bright as can be
    return picture


@pytest.mark.parametrize(
    ("data", "keywords"),
    [
        pytest.param(np.stack([grey()] * 3, axis=-1), {"rgb": True}, id="rgb"),
        pytest.param(np.stack([*[grey()] * 3, np.full(SHAPE, 255, np.uint8)], -1), {"rgb": True}, id="rgba"),
        pytest.param(grey(), {}, id="grey8"),
        pytest.param(grey(np.uint16, 300, 4095), {}, id="grey16"),
        pytest.param(grey(np.int32, -1000, 500), {}, id="signed"),
        pytest.param(grey(bool, 0, 1), {}, id="bool"),
        pytest.param(grey(np.float64, 0, 1), {}, id="float"),
        pytest.param(with_holes(), {"contrast_limits": (-3, 8)}, id="float with nan and inf"),
        pytest.param(da.from_array(grey(), chunks=16), {}, id="dask"),
        pytest.param([grey(), grey()[::2, ::2]], {"multiscale": True}, id="multiscale"),
        pytest.param(
            [da.from_array(grey(), chunks=16), da.from_array(grey()[::2, ::2])], {"multiscale": True}, id="lazy pyramid"
        ),
    ],
)
def test_bright_pixels_are_found_in_any_kind_of_picture(viewer, segment, data, keywords):
    layer = segment_of(viewer, segment, data, keywords)
    np.testing.assert_array_equal(layer.data == 1, WHERE)


def segment_of(viewer, segment, data, keywords):
    viewer.add_image(data, **keywords)
    return segment()


@pytest.mark.parametrize("value", [0, 7.5, np.nan])
def test_a_constant_picture_is_one_class_or_nothing(viewer, segment, value):
    layer = segment_of(viewer, segment, np.full(SHAPE, value, np.float32), {"contrast_limits": (0, 8)})
    assert layer.data.shape == SHAPE
    assert len(np.unique(layer.data)) == 1


@pytest.mark.parametrize("shape", [(8, 8), (64, 4000), (4000, 64), (1, 9)])
def test_tiny_and_long_pictures(viewer, segment, shape):
    data = np.zeros(shape, np.uint8)
    data[:, : shape[1] // 2] = 255
    np.testing.assert_array_equal(segment_of(viewer, segment, data, {}).data == 1, data > 0)


@pytest.mark.parametrize("shape", [(8, 8), (64, 4000)])
def test_tiny_and_long_pictures_through_the_embedded_model(viewer, qtbot, shape):
    engine = Engine(lambda spec, device: load_encoder("embedded", device="cpu"), Segmenter, list)
    widget = PromptSegmentationWidget(viewer, Session(viewer, engine=engine, warm_up=False))
    viewer.add_image(np.random.default_rng(0).integers(0, 65535, shape, dtype=np.uint16))
    session = widget.session
    session.add_classes("cat, sky")
    assert session.segment()
    qtbot.waitUntil(lambda: session.workbench.is_idle)
    assert session.result_layer.data.shape == shape
    assert np.isfinite(session.label_map.confidence).all()
    widget.let_go()


def test_channels_are_one_picture_and_its_mask_shows_at_every_one_of_them(viewer, segment):
    data = np.zeros((3, *SHAPE), np.uint8)
    data[0, WHERE] = 255
    data[1, 25:35, 30:44] = 255
    viewer.add_image(data, axis_labels=("c", "y", "x"), scale=(1, 2, 2))
    layer = segment("red, green")
    assert layer.data.shape == (1, *SHAPE)
    np.testing.assert_array_equal(layer.data[0] == 1, WHERE)
    np.testing.assert_array_equal(layer.data[0] == 2, data[1] > 0)
    for channel in range(3):
        viewer.dims.set_current_step(0, channel)
        assert layer.get_value(np.array([channel, 20.0, 20.0]), world=True) == 1


def test_the_plane_in_sight_of_a_time_series_of_stacks(viewer, segment):
    data = np.zeros((2, 3, *SHAPE), np.uint8)
    data[1, 2] = grey()
    viewer.add_image(data, axis_labels=("t", "z", "y", "x"), scale=(1, 2.5, 1, 1))
    viewer.dims.set_current_step((0, 1), (1, 2))
    layer = segment()
    np.testing.assert_array_equal(layer.data == 1, data > 0)
    viewer.dims.set_current_step((0, 1), (0, 0))
    segment()
    np.testing.assert_array_equal(layer.data == 1, data > 0)


ANGLE = np.deg2rad(20)
AFFINE = np.array([[np.cos(ANGLE), -np.sin(ANGLE), 11.0], [np.sin(ANGLE), np.cos(ANGLE), -4.0], [0.0, 0.0, 1.0]])


@pytest.mark.parametrize(
    "place",
    [
        {"scale": (0.5, 2.0), "translate": (10, -3), "units": ("mm", "mm")},
        {"scale": (2.0, 3.0), "rotate": 30},
        {"scale": (2.0, 3.0), "shear": [0.4], "rotate": -15, "translate": (1, 2)},
        {"scale": (0.25, 0.25), "affine": AFFINE, "units": ("um", "um"), "axis_labels": ("row", "column")},
    ],
)
@pytest.mark.parametrize("level", [None, 1])
def test_the_mask_lies_exactly_over_the_picture(viewer, segment, real_dock, place, level):
    data = grey() if level is None else [grey(), grey()[::2, ::2]]
    image = viewer.add_image(data, **place)
    if level is not None:
        real_dock.session.picture.look(level=level)
    layer = segment()
    step = 1 if level is None else 2
    assert layer.data.shape == (SHAPE[0] // step, SHAPE[1] // step)
    np.testing.assert_array_equal(layer.data == 1, WHERE[::step, ::step])
    corners = np.array([[0, 0], [4, 6], [20, 30], [40, 0], [0, 48], [40, 48]], float)  # of pixels, not their centres
    for corner in corners:
        np.testing.assert_allclose(
            layer.data_to_world(corner / step - 0.5), image.data_to_world(corner - 0.5), atol=1e-9
        )
    assert layer.units == image.units
    assert layer.axis_labels == image.axis_labels


def test_a_mask_removed_while_it_is_made_comes_again(viewer, segment, real_dock, qtbot):
    viewer.add_image(grey())
    viewer.layers.remove(segment())
    assert real_dock.session.result_layer is None
    layer = segment()
    assert layer in viewer.layers
    np.testing.assert_array_equal(layer.data == 1, WHERE)


def test_a_picture_whose_pixels_change_is_encoded_again(viewer, segment):
    image = viewer.add_image(grey())
    segment()
    image.data = np.ascontiguousarray(grey()[::-1])
    np.testing.assert_array_equal(segment().data == 1, WHERE[::-1])
    image.data = np.zeros((12, 10), np.uint8)
    assert segment().data.shape == (12, 10)


def test_two_pictures_of_one_name_have_masks_of_their_own(viewer, segment, real_dock):
    first, second = viewer.add_image(grey(), name="cell"), viewer.add_image(grey()[::-1], name="cell")
    before = segment()
    real_dock.session.picture.choose(second)
    after = segment()
    assert before is not after
    np.testing.assert_array_equal(before.data, after.data[::-1])
    real_dock.session.picture.choose(first)
    assert real_dock.session.result_layer is before


@pytest.mark.parametrize("text", ["", "  ", " | ", "green", "GREEN"])
def test_a_name_that_is_empty_or_taken_is_refused_and_the_old_one_stays(viewer, real_dock, text):
    session = real_dock.session
    session.add_classes("red, green")
    said = []
    session.message.connect(lambda sentence, tone: said.append((tone, sentence)))
    assert not session.rename(1, text)
    assert session.prompts.names == ("red", "green")
    assert len(said) == 1
    assert said[0][0] == "warning"
    table = real_dock.sections["classes"].table.model()
    assert table.index(0, 1).data() == "red"


@pytest.mark.parametrize(
    "name", ['"red, or so"', "красный", "赤い", "l'œil “rouge”", "<b>red</b> & co", "🍎", "%s {0}"]
)
def test_names_are_shown_as_they_were_typed(viewer, segment, real_dock, name):
    viewer.add_image(grey())
    layer = segment(name)
    shown = name.strip('"')
    assert list(layer.features["class"]) == ["background", shown]
    assert real_dock.sections["classes"].table.model().index(0, 1).data() == shown

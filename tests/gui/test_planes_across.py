"""Planes across any axis of a volume: the viewer shows them the right way up, and what is painted lands where it is."""

from __future__ import annotations

import numpy as np
import pytest
from correcting import segmented, settle
from pixel_encoder import PixelEncoder
from volumes import SHAPE, add_volume, is_right_handed, volume

from napari_promptseg.gui.volume_index import (
    across,
    indexer,
    lifted,
    n_numbers,
    number_of,
    pixel_at,
    place_of,
    shape_at,
    title_of,
    voxels_at,
)
from napari_promptseg.gui.volume_view import edges, text_overlay

pytestmark = [pytest.mark.gui, pytest.mark.dock(encoder=PixelEncoder)]


@pytest.fixture
def labels():
    return np.arange(np.prod(SHAPE)).reshape(SHAPE)


@pytest.mark.parametrize("place", [(3,), (None, 5), (None, None, 7)])
def test_a_planes_pixels_are_the_voxels_that_are_seen(labels, place):
    plane = labels[indexer(place)]
    assert plane.shape == shape_at(SHAPE, place)
    rows, columns = np.indices(plane.shape)
    assert np.array_equal(labels[voxels_at(SHAPE, place, rows, columns)], plane)
    voxel = voxels_at(SHAPE, place, 2, 6)
    assert labels[voxel] == plane[2, 6]
    assert pixel_at(SHAPE, place, voxel) == (2, 6)
    thick = lifted(plane, place, 3)
    assert thick.shape == tuple(1 if axis == len(place) - 1 else n for axis, n in enumerate(SHAPE))
    assert np.array_equal(thick.squeeze(len(place) - 1)[::-1] if len(place) > 1 else thick[0], plane)


def test_numbers_of_planes_are_unique_and_lead_back():
    places = [across(cut, i) if cut else (i,) for cut in range(3) for i in range(SHAPE[cut])]
    numbers = [number_of(SHAPE, place) for place in places]
    assert numbers == list(range(n_numbers(SHAPE)))
    assert [place_of(SHAPE, n) for n in numbers] == places
    assert number_of((2, 3, 8, 9), (1, 2)) == 5
    assert place_of((2, 3, 8, 9), 5) == (1, 2)
    assert place_of((8, 9), 0) == ()
    with pytest.raises(ValueError, match="no plane"):
        place_of((8, 9), 1)
    assert [title_of(p) for p in ((4,), (None, 4), (None, None, 4))] == ["5", "y 5", "x 5"]
    assert title_of((2, 4)) == "3, 5"


def test_the_head_is_up_and_the_patients_right_on_the_left():
    assert edges(0) == ("R", "L", "A", "P")
    assert edges(1) == ("R", "L", "H", "F")
    assert edges(2) == ("A", "P", "H", "F")


@pytest.mark.parametrize("cut", [0, 1, 2])
@pytest.mark.parametrize("solid", [False, True])
def test_every_view_shows_space_and_not_its_mirror_image(viewer, dock, cut, solid):
    add_volume(viewer)
    dock.session.volume.view.show(cut)
    dock.session.volume.view.show_solid(solid)
    assert is_right_handed(viewer)
    camera = viewer.scene.camera
    if solid:
        # napari draws surfaces in their place only so
        assert tuple(viewer.dims.order) == (0, 1, 2)
        assert np.allclose(camera.up_direction, ((0, -1, 0), (1, 0, 0), (1, 0, 0))[cut], atol=1e-6)
        assert np.allclose(camera.view_direction, ((1, 0, 0), (0, 1, 0), (0, 0, -1))[cut], atol=1e-6)
        dock.session.volume.view.show_solid(False)
    vertical, horizontal = (str(o) for o in camera.orientation[1:])
    assert (vertical, horizontal) == (("down", "right") if cut == 0 else ("up", "right"))
    assert tuple(viewer.dims.order) == ((0, 1, 2), (1, 0, 2), (2, 0, 1))[cut]
    assert dock.session.picture.cut == cut


def test_the_view_goes_back_to_naparis_own_for_a_photograph(viewer, dock):
    before = tuple(viewer.scene.camera.orientation)
    add_volume(viewer)
    dock.session.volume.view.show(1)
    photo = viewer.add_image(np.zeros((30, 40, 3), np.uint8), rgb=True)
    dock.session.picture.choose(photo)
    assert dock.session.picture.cut == 0
    assert tuple(viewer.scene.camera.orientation) == before


def test_switching_axes_keeps_the_place_in_the_world(viewer, dock):
    session = dock.session
    add_volume(viewer)
    point = (30.0 + 3 * 4, -20.0 + 2 * 7, -10.0 + 9)
    viewer.dims.set_point(range(3), point)
    found = []
    for cut in (0, 1, 2):
        session.volume.view.show(cut)
        assert np.allclose(viewer.dims.point, point)
        found.append(session.picture.source().index)
    assert found == [(4,), (None, 7), (None, None, 9)]
    assert "sagittal 10 / 28" in text_overlay(viewer).text
    session.picture.show_plane((None, 3))
    assert session.picture.source().index == (None, 3)


def test_rolling_napari_s_own_button_is_followed_for_a_volume_only(viewer, dock):
    session = dock.session
    add_volume(viewer)
    viewer.dims.order = (1, 0, 2)
    assert session.picture.cut == 1
    viewer.dims.order = (0, 1, 2)
    stack = viewer.add_image(np.zeros(SHAPE, np.uint8))
    session.picture.choose(stack)
    viewer.dims.order = (1, 0, 2)
    assert session.picture.cut == 0, "of a stack of anything the last two axes are the plane"


def test_a_text_of_the_users_own_is_left_alone(viewer, dock):
    add_volume(viewer)
    assert "axial" in text_overlay(viewer).text
    text_overlay(viewer).text = "mine"
    dock.session.volume.view.show(2)
    assert text_overlay(viewer).text == "mine"


def test_a_sagittal_acquisition_is_shown_as_it_was_acquired(viewer, dock):
    # slices from the patient's right to the left: the file's third axis is x
    affine = np.array([[0, 0, 3.0, 0], [2.0, 0, 0, 0], [0, -1.0, 0, 0], [0, 0, 0, 1]])
    from napari_promptseg.images.geometry import Geometry

    placed = Geometry.of_file((20, 30, 8), affine)
    assert placed.acquired == "sagittal"
    add_volume(viewer, np.zeros(placed.shape, np.int16), placed=placed)
    assert dock.session.picture.cut == 2
    assert tuple(viewer.dims.order) == (2, 0, 1)


def test_the_encoder_sees_the_head_up_and_the_true_proportions(viewer, dock):
    add_volume(viewer)
    pixels = volume()
    dock.session.volume.view.show(1)
    dock.session.picture.show_plane((None, 6))
    source = dock.session.picture.source()
    stack = source.stack()
    assert source.plane_shape == (12, 28)
    assert np.array_equal(stack.region(), pixels[::-1, 6])
    assert stack.modalities[0].square.shape == (36, 28, 3), "steps of 3 and 1 mm"
    assert np.allclose(stack.modalities[0].square[1::3], pixels[::-1, 6])


@pytest.mark.parametrize("cut", [1, 2])
def test_a_mask_and_strokes_on_another_plane_land_in_the_right_voxels(viewer, dock, qtbot, cut):
    session = dock.session
    add_volume(viewer)
    session.volume.view.show(cut)
    session.picture.show_plane(across(cut, 8))
    layer = segmented(session, qtbot, "red, green, blue")
    truth = np.where(volume()[..., 0] > 0, 1, np.where(volume()[..., 1] > 0, 2, 3))
    plane = tuple(8 if axis == cut else slice(None) for axis in range(3))
    expected = np.zeros(SHAPE, int)
    expected[plane] = truth[plane]
    agree = (layer.data == expected).mean()
    assert agree > 0.995, agree
    others = np.delete(layer.data, 8, axis=cut)
    assert not others.any(), "only the plane in sight"
    before = layer.data.copy()
    layer.brush_size, layer.mode = 1, "paint"
    at = [2, 15, 20]
    at[cut] = 8
    layer.paint(tuple(at), 3)
    settle(session, qtbot)
    (stroke,) = session.corrector.corrections
    changed = np.argwhere(layer.data != before)
    assert [tuple(c) for c in changed] == [tuple(at)]
    assert session.corrector.strokes.voxel(stroke.plane, *stroke.corner) == tuple(at)
    assert session.result.value_at(session.picture.source().index, layer.data_to_world(at))[0] == 3


def test_a_coronal_stroke_is_no_edit_of_the_axial_planes_it_crosses_and_stays(viewer, dock, qtbot):
    session = dock.session
    add_volume(viewer)
    viewer.dims.set_point(range(3), (30.0 + 3 * 4, -20.0 + 2 * 7, 0))
    layer = segmented(session, qtbot, "red, green")
    session.volume.view.show(1)
    assert session.segment()
    settle(session, qtbot)
    before = layer.data.copy()
    layer.brush_size, layer.mode = 5, "paint"
    layer.paint((4, 7, 20), 1)
    settle(session, qtbot)
    painted = np.argwhere(layer.data != before)
    assert len(painted) > 4
    assert set(painted[:, 1]) == {7}
    session.volume.view.show(0)
    settle(session, qtbot)
    assert len(session.corrector.corrections) == 1
    assert session.segment()
    settle(session, qtbot)
    assert (layer.data[4, 7][painted[painted[:, 0] == 4][:, 2]] == 1).all(), "what was painted stays"
    assert len(session.corrector.corrections) == 1
    layer.undo()
    settle(session, qtbot)
    assert len(session.corrector.corrections) == 0, "undone from another plane"


def test_points_on_a_sagittal_plane(viewer, dock, qtbot):
    session = dock.session
    add_volume(viewer)
    session.volume.view.show(2)
    session.picture.show_plane((None, None, 9))
    layer = segmented(session, qtbot, "red, green")
    assert session.corrector.add_point(2, (1, 5))
    settle(session, qtbot)
    assert layer.data[10, 5, 9] == 2
    markers = viewer.layers["head points"]
    assert np.allclose(markers.data, [[10, 5, 9]])
    assert np.allclose(markers.data_to_world(markers.data[0]), layer.data_to_world((10, 5, 9)))


def test_back_takes_a_coronal_edit_back(viewer, dock, qtbot):
    session = dock.session
    add_volume(viewer)
    session.volume.view.show(1)
    layer = segmented(session, qtbot, "red, green")
    before = layer.data.copy()
    layer.brush_size, layer.mode = 5, "paint"
    layer.paint((4, viewer.dims.current_step[1], 20), 1)
    settle(session, qtbot)
    assert not np.array_equal(layer.data, before)
    session.step()
    settle(session, qtbot)
    assert np.array_equal(layer.data, before)
    assert len(session.corrector.corrections) == 0


def test_strokes_on_coronal_planes_survive_a_killed_process(viewer, dock, qtbot, tmp_path):
    from napari_promptseg.gui.strokes_kept import KeptStrokes

    session = dock.session
    image = add_volume(viewer)
    session.volume.view.show(1)
    layer = segmented(session, qtbot, "red, green")
    layer.brush_size, layer.mode = 3, "paint"
    layer.paint((4, viewer.dims.current_step[1], 20), 1)
    settle(session, qtbot)
    (stroke,) = session.corrector.corrections
    session.corrector.strokes.close()
    again = KeptStrokes(image, SHAPE, tmp_path / "strokes")
    again.restore(session.prompts)
    (found,) = again.corrections
    again.close()
    assert again.index(found.plane) == session.picture.source().index
    assert np.array_equal(found.mask, stroke.mask)


def test_a_region_drawn_on_a_coronal_plane(viewer, dock, qtbot):
    session = dock.session
    image = add_volume(viewer)
    session.volume.view.show(1)
    session.picture.show_plane((None, 6))
    regions = dock.sections["regions"].tools.layer
    assert regions.add_tool("polygon")
    shapes = regions.layer
    shapes.add(np.array([[3, 6, 6], [3, 6, 12], [8, 6, 12], [8, 6, 6]], float), shape_type="polygon")
    settle(session, qtbot)
    (shape,) = regions.shapes()
    assert regions.plane_index(shape.plane) == (None, 6)
    voxels = np.zeros(SHAPE, bool)
    voxels[voxels_at(SHAPE, (None, 6), *np.nonzero(shape.mask))] = True
    assert set(np.argwhere(voxels)[:, 1]) == {6}
    assert voxels[5, 6, 9]
    assert not voxels[10, 6, 9]
    assert abs(int(voxels.sum()) - 30) <= 12
    assert image.data[voxels].reshape(-1, 3)[:, 2].mean() > 150


def test_the_sample_ct_is_a_volume_in_a_patient(viewer, dock):
    from napari_promptseg.samples import abdomen_ct

    session = dock.session
    pixels, keywords, _ = abdomen_ct()[0]
    image = viewer.add_image(pixels, **keywords)
    session.picture.choose(image)
    assert session.picture.view.kind == "ct"
    assert session.prompts.image_kind == "ct"
    world = []
    for cut, n in enumerate(pixels.shape):
        session.volume.view.show(cut)
        assert session.volume.view.at[1] == n
        source = session.picture.source()
        world.append(viewer.dims.point)
        assert np.array_equal(source.stack().region(), pixels[indexer(source.index)])
    assert np.allclose(world, world[0])
    # bone is behind: on the sagittal plane through the middle the spine is on the right
    middle = pixels[indexer((None, None, pixels.shape[2] // 2))]
    assert (middle > 300)[:, middle.shape[1] // 2 :].sum() > 5 * (middle > 300)[:, : middle.shape[1] // 2].sum()

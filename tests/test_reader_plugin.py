"""What napari opens through the plugin: the right place in millimetres, and layers that show something."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import tifffile
import zarr
from dicom_samples import MR, PERSONAL, enhanced_mr, save, upright_affine, write_series
from napari.components import ViewerModel
from npe2 import PluginManager
from PIL import Image
from pydicom.data import get_testdata_file

from napari_promptseg.errors import InputError
from napari_promptseg.images.dicom_series import list_series
from napari_promptseg.images.geometry import Geometry
from napari_promptseg.images.normalisation import SOFT_TISSUE_WINDOW
from napari_promptseg.images.readers import read_image
from napari_promptseg.images.stack import ImageStack, Modality
from napari_promptseg.reader_plugin import get_reader, layers_of, read_layers

RNG = np.random.default_rng(0)
HEAD = RNG.integers(0, 900, (6, 5, 4), dtype=np.int16)


@pytest.fixture
def viewer():
    PluginManager.instance().discover()
    return ViewerModel()


def opened(viewer, path):
    """Through napari's own way to readers."""
    return viewer.open(path, plugin="napari-promptseg")


def write_nifti(path, values=HEAD, affine=None, **header):
    affine = np.diag([0.5, 0.75, 3.0, 1.0]) if affine is None else affine
    image = nibabel.Nifti1Image(values, affine)
    for key, value in header.items():
        image.header[key] = value
    nibabel.save(image, path)
    return path


def extent_mm(layer):
    """First and last voxel's centre of each axis in the world."""
    low = np.asarray(layer.data_to_world([0] * layer.ndim))
    high = np.asarray(layer.data_to_world([n - 1 for n in layer.data.shape[: layer.ndim]]))
    return low, high


def test_every_kind_of_file_is_taken(tmp_path):
    Image.fromarray(np.zeros((4, 5), np.uint8)).save(tmp_path / "flair.png")
    assert get_reader(str(write_nifti(tmp_path / "ä b.nii.gz"))) is not None
    assert get_reader(str(tmp_path / "missing.nii.gz")) is None
    assert get_reader(str(tmp_path)) is None
    (tmp_path / "a.txt").write_text("x")
    assert get_reader(str(tmp_path / "a.txt")) is None
    assert get_reader([str(tmp_path / "ä b.nii.gz")]) is not None
    assert get_reader([str(tmp_path / "ä b.nii.gz"), str(tmp_path / "b.nii")]) is None
    assert get_reader("https://example.org/a.nii.gz") is None


def test_the_manifest_names_the_patterns_and_folders(tmp_path):
    manager = PluginManager.instance()
    manager.discover()
    folder = tmp_path / "a b.dcm"
    folder.mkdir()
    names = ["x.nii.gz", "x.NII", "x.nrrd", "x.nhdr", "x.mha", "x.mhd", "x.dcm", "x.IMA", "x.ome.tif", "x.ome.tiff"]
    for name in (*names, folder):
        found = [r.plugin_name for r in manager.iter_compatible_readers([str(name)])]
        assert "napari-promptseg" in found, name


@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIR", "SAL"])
def test_a_volume_lies_where_its_geometry_says(tmp_path, viewer, codes):
    affine = np.diag([0.5, 0.75, 3.0, 1.0])
    affine[:3, 3] = (-7, 8, 9)
    turn = nibabel.orientations.ornt_transform(
        nibabel.orientations.axcodes2ornt("RAS"), nibabel.orientations.axcodes2ornt(codes)
    )
    image = nibabel.Nifti1Image(HEAD, affine).as_reoriented(turn)
    nibabel.save(image, tmp_path / "kopf 1.nii.gz")
    (layer,) = opened(viewer, tmp_path / "kopf 1.nii.gz")
    geometry = layer.metadata["geometry"]
    assert isinstance(geometry, Geometry)
    low, high = extent_mm(layer)
    # RAS to LPS turns x and y round: the first voxel is the leftmost of the two in LPS
    np.testing.assert_allclose(low, [9, -8 - 4 * 0.75, 7 - 5 * 0.5])
    np.testing.assert_allclose(high, [9 + 3 * 3.0, -8, 7])
    np.testing.assert_allclose(low, (geometry.affine @ [0, 0, 0, 1])[2::-1])
    np.testing.assert_allclose(high, (geometry.affine @ [*(n - 1 for n in geometry.shape), 1])[2::-1])
    assert [str(u) for u in layer.units] == ["millimeter"] * 3
    assert layer.axis_labels == ("z", "y", "x")
    np.testing.assert_array_equal(layer.data, HEAD.transpose(2, 1, 0)[:, ::-1, ::-1])
    about = layer.metadata
    assert (about["format"], about["source"], about["notes"]) == ("nifti", "kopf 1.nii.gz", [])
    assert about["plane"] == {"RAS": "axial", "LPS": "axial", "PIR": "sagittal", "SAL": "sagittal"}[codes]
    # what is needed to write it back
    np.testing.assert_allclose(about["nifti"]["affine"], image.affine)


def test_an_oblique_volume_is_straightened_about_its_middle_and_says_so(tmp_path, viewer):
    turn = np.deg2rad(20)
    affine = np.diag([0.5, 0.75, 3.0, 1.0])
    rotation = np.eye(4)
    rotation[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    (layer,) = opened(viewer, write_nifti(tmp_path / "a.nii", affine=rotation @ affine))
    geometry = layer.metadata["geometry"]
    middle = (np.asarray(layer.data.shape) - 1) / 2
    np.testing.assert_allclose(layer.data_to_world(middle), (geometry.affine @ [*middle, 1])[2::-1], atol=1e-6)
    assert not layer.rotate[0, 1]
    assert any("obliquely" in note for note in layer.metadata["notes"])


def test_contrast_of_ct_and_mr(tmp_path, viewer):
    ct = np.full((20, 20, 8), -1000, np.int16)
    ct[5:15, 5:15] = 40
    ct[8:10, 8:10] = 900
    (layer,) = opened(viewer, write_nifti(tmp_path / "volume.nii.gz", ct))
    assert (tuple(layer.contrast_limits), layer.metadata["kind"]) == (SOFT_TISSUE_WINDOW, "ct")
    (layer,) = opened(viewer, write_nifti(tmp_path / "nan.nii", np.where(ct[:1] == 40, np.nan, ct).astype(np.float32)))
    assert layer.metadata["kind"] == "ct"
    mr = np.zeros((20, 20, 8), np.int16)
    mr[5:15, 5:15] = RNG.integers(100, 1000, (10, 10, 8))
    mr[5, 5, 5] = 30000
    (layer,) = opened(viewer, write_nifti(tmp_path / "p_t1.nii.gz", mr))
    assert layer.metadata["kind"] == "t1"
    low, high = layer.contrast_limits
    assert 100 <= low < 120
    assert 950 < high <= 1000
    (layer,) = opened(viewer, write_nifti(tmp_path / "flat.nii.gz", np.zeros((4, 5, 6), np.float32)))
    assert layer.contrast_limits[0] < layer.contrast_limits[1]


def test_values_that_are_no_numbers_do_not_spoil_the_contrast(tmp_path, viewer):
    values = RNG.random((6, 5, 4)).astype(np.float32)
    values[0, 0, 0], values[1, 1, 1] = np.nan, np.inf
    (layer,) = opened(viewer, write_nifti(tmp_path / "a.nii", values))
    assert np.isfinite(layer.contrast_limits).all()
    assert layer.metadata["notes"] == ["2 voxels hold no finite number; they are shown black."]


def test_a_few_volumes_are_layers_and_many_are_one_with_a_slider(tmp_path, viewer):
    few = RNG.integers(0, 9, (6, 5, 4, 3), dtype=np.int16)
    layers = opened(viewer, write_nifti(tmp_path / "few.nii", few))
    assert [layer.name for layer in layers] == ["few volume 1", "few volume 2", "few volume 3"]
    many = RNG.integers(0, 9, (6, 5, 4, 7), dtype=np.int16)
    image = nibabel.Nifti1Image(many, np.diag([0.5, 0.75, 3.0, 1.0]))
    image.header.set_xyzt_units("mm", "msec")
    image.header["pixdim"][4] = 2500
    nibabel.save(image, tmp_path / "bold.nii")
    (layer,) = opened(viewer, tmp_path / "bold.nii")
    assert layer.axis_labels == ("t", "z", "y", "x")
    np.testing.assert_allclose(layer.scale, (2.5, 3.0, 0.75, 0.5))
    assert [str(u) for u in layer.units] == ["second", *["millimeter"] * 3]
    np.testing.assert_array_equal(np.asarray(layer.data[4]), many[..., 4].transpose(2, 1, 0)[:, ::-1, ::-1])


def test_every_series_of_a_dicom_folder_is_a_layer(tmp_path, viewer):
    folder = tmp_path / "Größe 1"
    values = HEAD.transpose(2, 1, 0)
    write_series(folder / "ct", values, SeriesDescription="Thorax", SeriesNumber=2)
    shifted = upright_affine(origin=(0, 0, 50))
    write_series(
        folder / "mr", values[:2], shifted, sop_class=MR, SeriesNumber=5, SeriesDescription="T1 Mustermann",
        SeriesInstanceUID="1.2.9", name="M{}".format,
    )  # fmt: skip
    layers = opened(viewer, folder)
    assert [(layer.name, layer.visible) for layer in layers] == [("Thorax (series 2)", True), ("MR (series 5)", False)]
    np.testing.assert_array_equal(layers[0].data, values)
    np.testing.assert_allclose(extent_mm(layers[0])[0], [100, -30, -20])
    np.testing.assert_allclose(extent_mm(layers[1])[0], [50, 0, 0])
    assert layers[0].metadata["dicom"]["series_uid"] == "1.2.3.2"
    assert layers[0].metadata["kind"] == "ct"
    said = repr([(layer.name, layer.metadata) for layer in layers]).casefold()
    assert not [word for word in PERSONAL if word in said]
    # one file by itself, and several that were opened as one
    assert read_layers(str(folder / "mr" / "M0"))[0][0].shape == (1, 5, 6)
    files = sorted(str(p) for p in (folder / "ct").iterdir())
    assert [keywords["name"] for _, keywords, _ in read_layers(files)] == ["Thorax (series 2)"]


def test_one_file_of_two_volumes_is_two_layers(tmp_path, viewer):
    """There is nobody to say which one is wanted."""
    stored = np.arange(6 * 4, dtype=np.uint16).reshape(6, 2, 2)
    path = save(enhanced_mr(stored, upright_affine(), [1.0] * 6, times=[1, 1, 1, 2, 2, 2]), tmp_path / "a b.dcm")
    layers = opened(viewer, path)
    assert [layer.name for layer in layers] == ["MR (series 3:1)", "MR (series 3:2)"]
    np.testing.assert_array_equal(layers[1].data, stored[3:] + 5)


def test_a_dicomdir_is_opened_by_itself():
    directory = get_testdata_file("DICOMDIR", download=False)
    if directory is None:
        pytest.skip("this pydicom ships no DICOMDIR")
    assert get_reader(directory) is not None
    assert len(read_layers(directory)) == len(list_series(directory)) > 3


def test_whatever_a_reader_stumbles_over_is_one_sentence(tmp_path, monkeypatch):
    write_series(tmp_path, HEAD.transpose(2, 1, 0))

    def stumble(*arguments):
        raise ArithmeticError("did not converge. At all")

    monkeypatch.setattr("napari_promptseg.images.dicom_series.grid_of", stumble)
    with pytest.raises(InputError, match=rf"^'{tmp_path.name}' cannot be read.*did not converge; At all\)\.$"):
        read_layers(str(tmp_path))


def test_a_series_that_cannot_be_read_is_told_by_the_others(tmp_path):
    values = HEAD.transpose(2, 1, 0)
    write_series(tmp_path / "a", values, SeriesNumber=1)
    for file in write_series(tmp_path / "b", values, SeriesNumber=2, SeriesInstanceUID="1.2.9"):
        file.write_bytes(file.read_bytes()[:-30])
    ((_, keywords, _),) = read_layers(str(tmp_path))
    assert keywords["name"] == "CT (series 1)"
    assert len(keywords["metadata"]["notes"]) == 1


def test_a_folder_of_modalities(tmp_path, viewer):
    folder = tmp_path / "pat 1"
    folder.mkdir()
    for name in ("flair", "t1c", "seg"):
        write_nifti(folder / f"{name}.nii.gz")
    assert get_reader(str(folder)) is not None
    layers = opened(viewer, folder)
    assert [(layer.name, layer.metadata["kind"]) for layer in layers] == [("flair", "flair"), ("t1c", "t1c")]


def test_modalities_on_different_grids_are_layers_where_they_lie(tmp_path, viewer):
    """They can be laid onto one grid in napari, when asked to."""
    write_nifti(tmp_path / "flair.nii.gz")
    write_nifti(tmp_path / "t1c.nii.gz", HEAD[:4, :, 1:], np.diag([1.0, 0.75, 2.0, 1.0]), descrip=b"x")
    layers = opened(viewer, tmp_path)
    assert [(layer.name, layer.visible, tuple(layer.scale)) for layer in layers] == [
        ("flair", True, (3.0, 0.75, 0.5)),
        ("t1c", True, (2.0, 0.75, 1.0)),
    ]
    assert [layer.metadata["source"] for layer in layers] == ["flair.nii.gz", "t1c.nii.gz"]
    assert not layers[0].metadata["geometry"].lies_like(layers[1].metadata["geometry"])


def test_a_pyramid_is_a_multiscale_layer_in_micrometres(tmp_path, viewer):
    pixels = RNG.integers(0, 256, (600, 800, 3), dtype=np.uint8)
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as tif:
        about = {"axes": "YXS", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25}
        tif.write(pixels, subifds=1, photometric="rgb", tile=(256, 256), metadata=about)
        tif.write(pixels[::2, ::2], subfiletype=1, photometric="rgb", tile=(256, 256))
    (layer,) = opened(viewer, tmp_path / "a.ome.tif")
    assert layer.multiscale
    assert layer.rgb
    assert [level.shape for level in layer.data] == [(600, 800, 3), (300, 400, 3)]
    np.testing.assert_allclose(layer.scale, (0.25, 0.5))
    assert [str(u) for u in layer.units] == ["micrometer"] * 2
    np.testing.assert_array_equal(np.asarray(layer.data[1]), pixels[::2, ::2])


def test_channels_with_names_are_layers_in_their_colours(tmp_path, viewer):
    pixels = RNG.integers(0, 4000, (2, 20, 30), dtype=np.uint16)
    group = zarr.open_group(tmp_path / "cells.ome.zarr", mode="w", zarr_format=2)
    group.create_array("0", data=pixels)
    axes = [{"name": "c", "type": "channel"}, {"name": "y", "type": "space"}, {"name": "x", "type": "space"}]
    scales = {"version": "0.4", "axes": axes, "datasets": [{"path": "0"}]}
    group.attrs["multiscales"] = [scales]
    (layer,) = opened(viewer, tmp_path / "cells.ome.zarr")
    assert (layer.axis_labels, layer.data.shape, layer.rgb) == (("c", "y", "x"), (2, 20, 30), False)
    window = {"start": 10, "end": 500}
    group.attrs["omero"] = {"channels": [{"label": "DAPI", "color": "0000FF", "window": window}, {"label": "GFP"}]}
    layers = opened(viewer, tmp_path / "cells.ome.zarr")
    assert [layer.name for layer in layers] == ["cells DAPI", "cells GFP"]
    np.testing.assert_array_equal(np.asarray(layers[1].data), pixels[1])
    assert tuple(layers[0].contrast_limits) == (10, 500)
    np.testing.assert_allclose(layers[0].colormap.colors[-1], [0, 0, 1, 1])


def test_a_shifted_zarr_lies_where_it_says(tmp_path, viewer):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    group.create_array("0", data=RNG.integers(0, 4000, (2, 40, 30), dtype=np.uint16))
    axes = [
        {"name": "z", "type": "space", "unit": "millimeter"},
        *({"name": n, "type": "space", "unit": "micrometer"} for n in "yx"),
    ]
    place = [{"type": "scale", "scale": [0.002, 0.5, 0.25]}, {"type": "translation", "translation": [0.1, 7.0, 8.0]}]
    scales = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": place}]}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [scales]}
    (layer,) = opened(viewer, tmp_path / "a.zarr")
    np.testing.assert_allclose(layer.translate, (100.0, 7.0, 8.0))
    np.testing.assert_allclose(layer.scale, (2.0, 0.5, 0.25))
    assert [str(u) for u in layer.units] == ["micrometer"] * 3
    assert read_image(tmp_path / "a.zarr").picture(1).shape == (40, 30, 3)


def test_keywords_of_the_caller_count_and_metadata_are_added():
    stack = ImageStack((Modality("a", HEAD),), units="furlong", spacing=(1.0, 2.0, 3.0), metadata={"format": "x"})
    ((pixels, keywords, kind),) = layers_of(stack, name="mine", metadata={"credit": "me"}, visible=False)
    assert (kind, keywords["name"], keywords["visible"], keywords["units"]) == ("image", "mine", False, ("pixel",) * 3)
    assert pixels is HEAD
    assert (keywords["metadata"]["format"], keywords["metadata"]["credit"]) == ("x", "me")


def test_a_broken_file_gives_one_sentence(tmp_path, viewer):
    (tmp_path / "broken.nii.gz").write_bytes(b"nonsense")
    with pytest.raises(InputError, match=r"^'broken\.nii\.gz' cannot be read, it may be damaged"):
        opened(viewer, tmp_path / "broken.nii.gz")
    assert len(viewer.layers) == 0


def test_saved_geometry_round_trips_through_a_layer(tmp_path, viewer):
    """A layer's metadata suffice to write labels on the source's exact grid."""
    from napari_promptseg.images.nifti_files import encode_nifti

    path = write_nifti(tmp_path / "a.nii.gz", affine=np.diag([-0.5, 0.75, 3.0, 1.0]))
    (layer,) = opened(viewer, path)
    labels = (np.asarray(layer.data) > 450).astype(np.uint8)
    content = encode_nifti(labels, layer.metadata["geometry"], layer.metadata["nifti"], compress=False)
    written = nibabel.Nifti1Image.from_bytes(content)
    np.testing.assert_array_equal(np.asarray(written.dataobj), HEAD > 450)
    np.testing.assert_allclose(written.affine, nibabel.load(path).affine)
    assert read_image(path).geometry.lies_like(layer.metadata["geometry"])

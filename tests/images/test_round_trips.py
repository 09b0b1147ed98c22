"""The proof that left and right never swap.

A volume with a marked, asymmetric corner goes through every pair of reader and writer, in every orientation that a
grid can have in the patient and in oblique ones. Where each voxel of the source lies is known from how the source was
made; where each label of the written file lies is what the format's own reference library says. Nothing of this
program takes part in either.
"""

from __future__ import annotations

import gzip
import itertools
import json

import nibabel
import numpy as np
import pytest
import tifffile
import zarr
from dicom_samples import MR, PERSONAL, write_series

from napari_promptseg.images.readers import read_image
from napari_promptseg.images.writers import write_labels
from napari_promptseg.prompts.prompt_set import PromptSet

sitk = pytest.importorskip("SimpleITK")
highdicom = pytest.importorskip("highdicom")

PROMPTS = PromptSet.from_text("left kidney, Geschwür")
SHAPE = (6, 5, 4)
STEPS = (0.5, 0.75, 3.0)
ORIGIN = (-20.25, 33.5, 410.0)
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
STRAIGHT = [
    (order, signs) for order in itertools.permutations(range(3)) for signs in itertools.product((1, -1), repeat=3)
]
#: Each in five readers; the slower ones take every fourth orientation, all of which begin at another of the 48.
READERS = ("nifti", "nrrd", "mha", "dicom", "ome-zarr")


def affine_of(order, signs, tilt=0.0):
    """``(i, j, k, 1)`` to mm in LPS: axes in any order and direction, turned by `tilt` about two of them."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, (target, sign) in enumerate(zip(order, signs, strict=True)):
        affine[target, axis] = sign * STEPS[axis]
    c, s = np.cos(tilt), np.sin(tilt)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    affine[:3, :3] = turn @ affine[:3, :3]
    affine[:3, 3] = ORIGIN
    return affine


def marked():
    """``(i, j, k)`` labels: an L of the first class in one corner, the second class on top of its end."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[0:3, 0, 0] = 1
    labels[0, 1, 0] = 1
    labels[0, 0, 1] = 2
    labels[5, 4, 3] = 2
    return labels


def places(labels, affine):
    """``(n, 4)``: where in the patient every voxel of ``(i, j, k)`` lies, and its label."""
    index = np.indices(labels.shape).reshape(3, -1)
    at = (affine @ np.vstack([index, np.ones(index.shape[1])]))[:3]
    return np.vstack([at, labels.reshape(1, -1)]).T


def same_places(found, expected):
    """Whether both hold the same voxels in the same places with the same labels."""
    assert len(found) == len(expected)

    def ordered(rows):
        return rows[np.lexsort(np.round(rows[:, :3] / 0.05).T)]

    found, expected = ordered(found), ordered(expected)
    np.testing.assert_allclose(found[:, :3], expected[:, :3], atol=2e-3)
    np.testing.assert_array_equal(found[:, 3], expected[:, 3])


# ---- sources, as the reference libraries write them


def make_source(form, folder, labels, affine):
    """A file or folder of that format whose values are 500 times the labels; gives its path."""
    values = labels.astype(np.int16) * 500
    if form == "nifti":
        image = nibabel.Nifti1Image(values, LPS @ affine)
        image.header["descrip"] = b"Erika Mustermann"
        image.header.set_xyzt_units("mm")
        nibabel.save(image, folder / "source.nii.gz")
        return folder / "source.nii.gz"
    if form in ("nrrd", "mha"):
        image = sitk.GetImageFromArray(values.transpose(2, 1, 0))
        steps = np.linalg.norm(affine[:3, :3], axis=0)
        image.SetSpacing(steps.tolist())
        image.SetDirection((affine[:3, :3] / steps).ravel().tolist())
        image.SetOrigin(affine[:3, 3].tolist())
        image.SetMetaData("PatientName", "Erika Mustermann")
        sitk.WriteImage(image, str(folder / f"source.{form}"))
        return folder / f"source.{form}"
    if form == "dicom":
        write_series(folder / "source", values.transpose(2, 1, 0), affine, sop_class=MR, SeriesDescription="T1")
        return folder / "source"
    # the array's axes are called z, y, x whatever they are in the patient
    group = zarr.open_group(folder / "source.zarr", mode="w")
    group["0"] = values.transpose(2, 1, 0)
    names = [("right-to-left", "left-to-right"), ("anterior-to-posterior", "posterior-to-anterior")]
    names.append(("inferior-to-superior", "superior-to-inferior"))
    axes, shift = [], []
    for name, column in zip("zyx", (2, 1, 0), strict=True):
        row = int(np.argmax(np.abs(affine[:3, column])))
        backward = bool(affine[row, column] < 0)
        way = {"type": "anatomical", "value": names[row][backward]}
        axes.append({"name": name, "type": "space", "unit": "millimeter", "orientation": way})
        shift.append(float(affine[row, 3]) * (-1 if backward else 1))
    scale = np.linalg.norm(affine[:3, :3], axis=0)[::-1].tolist()
    moves = [{"type": "scale", "scale": scale}, {"type": "translation", "translation": shift}]
    datasets = [{"path": "0", "coordinateTransformations": moves}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    return folder / "source.zarr"


# ---- written labels, as the reference libraries read them


def read_nifti(path):
    image = nibabel.load(path)
    return places(np.asarray(image.dataobj), LPS @ image.affine)


def read_itk(path):
    image = sitk.ReadImage(str(path))
    values = sitk.GetArrayFromImage(image)
    rows = [
        (*image.TransformIndexToPhysicalPoint((int(i), int(j), int(k))), values[k, j, i])
        for k, j, i in np.ndindex(values.shape)
    ]
    return np.array(rows, dtype=float)


def read_zarr_labels(path):
    attributes = dict(zarr.open_group(path, mode="r").attrs)
    scales = attributes["ome"]["multiscales"][0]
    values = zarr.open_group(path, mode="r")[scales["datasets"][0]["path"]][...]
    exact = np.asarray(attributes["napari-promptseg"]["index_to_lps_mm"])
    found = places(values, exact)
    # whoever knows the specification only has the scale, the translation and the names of the axes
    ways = [axis["orientation"]["value"] for axis in scales["axes"]]
    assert ways == ["inferior-to-superior", "anterior-to-posterior", "right-to-left"]
    moves = {t["type"]: t[t["type"]] for t in scales["datasets"][0]["coordinateTransformations"]}
    plain = np.zeros((4, 4))
    plain[[2, 1, 0], [0, 1, 2]], plain[[2, 1, 0], 3], plain[3, 3] = moves["scale"], moves["translation"], 1
    if np.allclose(np.abs(exact[:3, :3]).max(axis=0), np.linalg.norm(exact[:3, :3], axis=0)):
        np.testing.assert_allclose(plain, exact, atol=1e-6)
    return found


def check_dicom_seg(path, expected, *, sheared):
    """By highdicom as a volume, and again frame by frame by the letter of the standard."""
    segmentation = highdicom.seg.segread(path)
    readings = []
    if not sheared:  # highdicom makes no volume of these
        with_labels = segmentation.get_volume(combine_segments=True, allow_missing_positions=True)
        # an affine of highdicom's volume goes from (slice, row, column) to mm in LPS
        readings.append(places(with_labels.array, with_labels.affine))
    data = {tuple(np.round(row[:3], 2)): 0.0 for row in expected}
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    rows, columns = (float(v) for v in shared.PixelMeasuresSequence[0].PixelSpacing)
    way = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, dtype=float)
    pixels = segmentation.pixel_array.reshape(-1, segmentation.Rows, segmentation.Columns)
    for frame, groups in zip(pixels, segmentation.PerFrameFunctionalGroupsSequence, strict=True):
        number = (groups if "SegmentIdentificationSequence" in groups else shared).SegmentIdentificationSequence[0]
        first = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, dtype=float)
        for row, column in np.argwhere(frame):
            at = first + way[:3] * columns * column + way[3:] * rows * row
            key = min(data, key=lambda p: np.linalg.norm(np.subtract(p, at)))
            assert np.linalg.norm(np.subtract(key, at)) < 0.02
            data[key] = float(number.ReferencedSegmentNumber)
    readings.append(np.array([(*key, value) for key, value in data.items()]))
    for reading in readings:
        labelled = reading[reading[:, 3] > 0]
        wanted = expected[expected[:, 3] > 0]
        assert len(labelled) == len(wanted)
        order = [r[np.lexsort(np.round(r[:, :3] / 0.05).T)] for r in (labelled, wanted)]
        np.testing.assert_allclose(order[0], order[1], atol=0.01)


def check_tiff(path, expected):
    """A TIFF has no place but the order of its voxels: planes to the head, rows to the back, columns to the left."""
    values = tifffile.imread(path)
    at = [np.unique(np.round(expected[:, axis], 3)) for axis in (2, 1, 0)]
    assert values.shape == tuple(map(len, at))
    for x, y, z, label in np.round(expected, 3):
        index = tuple(int(np.argmin(np.abs(a - v))) for a, v in zip(at, (z, y, x), strict=True))
        assert values[index] == label


def check_all(form, folder, affine, writers):
    labels = marked()
    source = make_source(form, folder, labels, affine)
    expected = places(labels, affine)
    across = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    sheared = not np.allclose(across.T @ across, np.eye(3), atol=1e-6)
    stack = read_image(source)
    upright = (np.asarray(stack.modalities[0].pixels) // 500).astype(np.uint8)
    for writer in writers:
        path, _ = write_labels(
            folder / f"labels{writer.replace('.', '_')}{writer}", upright, PROMPTS, source=stack, source_path=source
        )
        if writer.startswith(".nii"):
            same_places(read_nifti(path), expected)
        elif writer.endswith((".nrrd", ".mha")):
            same_places(read_itk(path), expected)
        elif writer == ".dcm":
            check_dicom_seg(path, expected, sheared=sheared)
        elif writer == ".zarr":
            same_places(read_zarr_labels(path), expected)
        elif writer == ".tif":
            check_tiff(path, expected)
        # and this program's own readers bring the labels back as they were, upright
        if writer not in (".dcm", ".tif"):
            back = read_image(path)
            np.testing.assert_array_equal(np.asarray(back.modalities[0].pixels), upright)
            assert back.geometry is not None
            assert back.geometry.lies_like(stack.geometry)
        # ITK refuses sheared NIfTI, and some that is left-handed; what it takes lies where nibabel says
        if writer == ".nii.gz" and np.linalg.det(affine[:3, :3]) > 0 and not sheared:
            same_places(read_itk(path), expected)


QUICK = (".nii.gz", ".seg.nrrd", ".mha", ".tif")


@pytest.mark.parametrize("form", READERS)
@pytest.mark.parametrize("number", range(0, 48, 6))
def test_every_pair_of_reader_and_writer_keeps_every_voxel_in_its_place(tmp_path, form, number):
    """All 48 orientations, six in a test; each sixth also through the formats that take longer."""
    for turn, (order, signs) in enumerate(STRAIGHT[number : number + 6]):
        folder = tmp_path / str(turn)
        folder.mkdir()
        slow = (number // 6 + READERS.index(form)) % 6 == turn
        more = (".zarr", *((".dcm",) if form == "dicom" else ())) if slow else ()
        check_all(form, folder, affine_of(order, signs), (*QUICK, *more))


@pytest.mark.parametrize("form", [f for f in READERS if f != "ome-zarr"])
@pytest.mark.parametrize("tilt", [0.05, -0.4])
def test_oblique_volumes_too(tmp_path, form, tilt):
    for turn, (order, signs) in enumerate(STRAIGHT[3::13]):
        folder = tmp_path / str(turn)
        folder.mkdir()
        affine = affine_of(order, signs, tilt)
        check_all(form, folder, affine, (".nii", ".nrrd", ".mha", ".zarr", *((".dcm",) if form == "dicom" else ())))


def test_a_tilted_gantry_too(tmp_path):
    """Slices shifted against each other: NIfTI says so in its sform alone, NRRD and MetaImage in their directions."""
    affine = affine_of((0, 1, 2), (1, 1, 1))
    affine[1, 2] = 0.8
    for form in ("dicom", "nrrd"):
        folder = tmp_path / form
        folder.mkdir()
        check_all(form, folder, affine, (".nii.gz", ".nrrd", ".mha", *((".dcm",) if form == "dicom" else ())))


@pytest.mark.parametrize("number", range(0, 48, 5))
def test_labels_inside_an_ome_zarr_lie_on_its_own_voxels(tmp_path, number):
    """Whatever way the image's axes run in the patient: label and marked voxel have the same index."""
    labels = marked()
    source = make_source("ome-zarr", tmp_path, labels, affine_of(*STRAIGHT[number]))
    stack = read_image(source)
    upright = (np.asarray(stack.modalities[0].pixels) // 500).astype(np.uint8)
    write_labels(source / "labels" / "kidney", upright, PROMPTS, source=stack)
    np.testing.assert_array_equal(zarr.open_group(source, mode="r")["labels/kidney/0"][...], labels.transpose(2, 1, 0))
    both = [dict(zarr.open_group(place).attrs)["ome"]["multiscales"][0] for place in (source, source / "labels/kidney")]
    assert both[0]["axes"] == both[1]["axes"]


def test_a_marked_tiff_keeps_its_place(tmp_path):
    labels = marked().transpose(2, 1, 0)
    path = tmp_path / "source.tif"
    tifffile.imwrite(
        path,
        labels.astype(np.uint16) * 500,
        imagej=True,
        resolution=(1 / 0.5, 1 / 0.75),
        metadata={"axes": "ZYX", "unit": "um", "spacing": 3.0},
    )
    stack = read_image(path)
    for name in ("labels.tif", "other labels.zarr"):
        upright = (np.asarray(stack.modalities[0].pixels) // 500).astype(np.uint8)
        written, _ = write_labels(tmp_path / "out" / name, upright, PROMPTS, source=stack)
        back = read_image(written)
        np.testing.assert_array_equal(np.asarray(back.modalities[0].pixels), labels)
        np.testing.assert_allclose(back.spacing, (3.0, 0.75, 0.5))
        assert back.units == "um"


@pytest.mark.parametrize(("folder", "image"), [("ct_torso", "ct"), ("mr_torso", "mr")])
def test_labels_of_a_real_torso_lie_on_its_image(tmp_path, data_pack, folder, image):
    """Anatomists' labels, read and written again: on the image's own grid, as ITK reads both."""
    place = data_pack("vol_torso_ct_mr") / folder
    stack, labels = read_image(place / f"{image}.nii.gz"), read_image(place / "label.nii.gz")
    upright = np.asarray(labels.modalities[0].pixels).astype(np.uint8)
    own, wanted = (sitk.ReadImage(str(place / name)) for name in (f"{image}.nii.gz", "label.nii.gz"))
    for ending in (".nii.gz", ".nrrd", ".mha"):
        path, _ = write_labels(tmp_path / ending[1:] / f"a{ending}", upright, PROMPTS, source=stack)
        written = sitk.ReadImage(str(path))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(written), sitk.GetArrayFromImage(wanted))
        assert written.GetSize() == own.GetSize()
        for corner in itertools.product(*[(0, n - 1) for n in own.GetSize()]):
            np.testing.assert_allclose(
                written.TransformIndexToPhysicalPoint(corner), own.TransformIndexToPhysicalPoint(corner), atol=1e-3
            )


@pytest.mark.parametrize("form", READERS)
def test_nobody_is_named_but_in_the_dicom_segmentation(tmp_path, form):
    source = make_source(form, tmp_path, marked(), affine_of((0, 1, 2), (1, 1, 1)))
    stack = read_image(source)
    upright = (np.asarray(stack.modalities[0].pixels) // 500).astype(np.uint8)
    endings = [".nii", ".nii.gz", ".nrrd", ".mha", ".tif", ".zarr", *([".dcm"] if form == "dicom" else [])]
    for ending in endings:
        out = tmp_path / f"out{ending}"
        write_labels(
            out / f"labels{ending}",
            upright,
            PROMPTS,
            source=stack,
            source_path=source,
            provenance={"model": "embedded"},
        )
        for file in (p for p in out.rglob("*") if p.is_file() and p.suffix != ".dcm"):
            content = file.read_bytes()
            content = gzip.decompress(content) if file.suffix == ".gz" else content
            for word in PERSONAL:
                assert word.encode() not in content.lower(), (file.name, word)
                assert word not in file.name.lower()
        legend = json.loads((out / "labels.json").read_text(encoding="utf-8"))
        assert legend["provenance"]["model"] == "embedded"
    if form == "dicom":
        written = highdicom.seg.segread(tmp_path / "out.dcm" / "labels.dcm")
        assert str(written.PatientName) == "Mustermann^Erika"
        assert (written.PatientID, written.PatientBirthDate) == ("PID4711", "19640812")

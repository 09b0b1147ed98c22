"""NRRD and MetaImage: SimpleITK's own values, each in the place SimpleITK says it has."""

from __future__ import annotations

import builtins
import itertools
import re

import numpy as np
import pytest

from napari_promptseg.errors import InputError
from napari_promptseg.images.readers import read_image

sitk = pytest.importorskip("SimpleITK")

RNG = np.random.default_rng(0)
TURNS = [
    np.eye(3)[list(order)].T * signs
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1.0, -1.0), repeat=3)
]


def volume(direction, dtype=np.int16):
    """``(i, j, k)`` of 6 x 5 x 4 with a marked corner."""
    values = RNG.integers(0, 100, (4, 5, 6)).astype(dtype)
    values[3, 0, 5] = 120
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((0.5, 0.75, 3.0))
    image.SetOrigin((-11.0, 23.0, 300.0))
    image.SetDirection(np.asarray(direction).ravel())
    return image


# ITK's NIfTI writer has no left-handed grids
@pytest.mark.parametrize(
    ("ending", "turn"),
    [
        (ending, turn)
        for ending in (".nrrd", ".nhdr", ".mha", ".mhd", ".nii.gz")
        for turn in TURNS
        if ending != ".nii.gz" or np.linalg.det(turn) > 0
    ],
)
def test_every_orientation_is_where_simpleitk_says(tmp_path, ending, turn):
    image = volume(turn)
    path = tmp_path / f"Schädel 1{ending}"
    sitk.WriteImage(image, str(path))
    stack = read_image(path)
    upright = np.asarray(stack.modalities[0].pixels)
    assert (stack.units, stack.source) == ("mm", path.name)
    # upright: to the head, the back and the left
    np.testing.assert_allclose(stack.geometry.affine[:3, :3], np.fliplr(np.diag(stack.spacing[::-1])), atol=1e-5)
    corner = np.argwhere(upright == 120)
    assert len(corner) == 1
    place = (stack.geometry.affine @ [*corner[0], 1])[:3]
    np.testing.assert_allclose(place, image.TransformIndexToPhysicalPoint((5, 0, 3)), atol=1e-4)
    # and every other value, as SimpleITK finds it at that place
    reference = sitk.ReadImage(str(path))
    for index in itertools.product(*map(range, upright.shape)):
        at = (stack.geometry.affine @ [*index, 1])[:3]
        assert upright[index] == reference.GetPixel(reference.TransformPhysicalPointToIndex(at))
    # back in the file's order bit for bit
    np.testing.assert_array_equal(stack.geometry.to_file(upright).T, sitk.GetArrayFromImage(reference))


def test_oblique_and_anisotropic(tmp_path):
    turn = np.deg2rad(25)
    direction = np.array([[1, 0, 0], [0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)]])
    image = volume(direction)
    image.SetSpacing((0.3, 0.3, 3.0))
    sitk.WriteImage(image, str(tmp_path / "a.mha"))
    stack = read_image(tmp_path / "a.mha")
    assert not stack.geometry.is_straight
    assert stack.spacing == pytest.approx((3.0, 0.3, 0.3))
    corner = np.argwhere(np.asarray(stack.modalities[0].pixels) == 120)[0]
    place = (stack.geometry.affine @ [*corner, 1])[:3]
    np.testing.assert_allclose(place, image.TransformIndexToPhysicalPoint((5, 0, 3)), atol=1e-4)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "int64", "float32", "float64"])
@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_values_of_every_type_come_bit_for_bit(tmp_path, ending, dtype):
    image = volume(np.eye(3), dtype)
    sitk.WriteImage(image, str(tmp_path / f"a{ending}"), useCompression=True)
    stack = read_image(tmp_path / f"a{ending}")
    pixels = np.asarray(stack.modalities[0].pixels)
    assert pixels.dtype == dtype
    np.testing.assert_array_equal(pixels, sitk.GetArrayFromImage(image))
    assert stack.metadata["format"] == ending[1:]


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_colours_and_components(tmp_path, ending):
    values = RNG.integers(0, 255, (4, 5, 6, 3), dtype=np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(values, isVector=True), str(tmp_path / f"a{ending}"))
    stack = read_image(tmp_path / f"a{ending}")
    assert [(m.channels, m.kind) for m in stack.modalities] == [(True, "rgb")]
    np.testing.assert_array_equal(stack.modalities[0].pixels, values)
    field = RNG.random((4, 5, 6, 2)).astype(np.float32)
    sitk.WriteImage(sitk.GetImageFromArray(field, isVector=True), str(tmp_path / f"b{ending}"))
    stack = read_image(tmp_path / f"b{ending}")
    assert [m.name for m in stack.modalities] == ["b component 1", "b component 2"]
    np.testing.assert_array_equal(stack.modalities[1].pixels, field[..., 1])


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_four_axes_and_two(tmp_path, ending):
    parts = [volume(np.diag([-1.0, -1.0, 1.0])) for _ in range(3)]
    sitk.WriteImage(sitk.JoinSeries(parts), str(tmp_path / f"a{ending}"))
    stack = read_image(tmp_path / f"a{ending}")
    assert [m.name for m in stack.modalities] == ["a volume 1", "a volume 2", "a volume 3"]
    for modality, part in zip(stack.modalities, parts, strict=True):
        np.testing.assert_array_equal(modality.pixels, sitk.GetArrayFromImage(part)[:, ::-1, ::-1])
    plane = RNG.integers(0, 255, (5, 6), dtype=np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(plane), str(tmp_path / f"b{ending}"))
    stack = read_image(tmp_path / f"b{ending}")
    assert stack.grid == (1, 5, 6)
    np.testing.assert_array_equal(stack.region(), plane)


@pytest.mark.parametrize(
    ("space", "note"),
    [
        ("space: RAS", ""),
        ("space: left-anterior-superior", ""),
        ("space: scanner-xyz", "'scanner-xyz'"),
        ("", "does not say how it lies"),
    ],
)
def test_spaces_of_nrrd(tmp_path, space, note):
    grid = "space directions: (1,0,0) (0,2,0) (0,0,3)\nspace origin: (5,6,7)\n" if space else "spacings: 1 2 3\n"
    values = np.arange(24, dtype="<i2")
    head = f"NRRD0004\ntype: short\ndimension: 3\n{space}\nsizes: 4 3 2\n{grid}endian: little\nencoding: raw\n\n"
    (tmp_path / "a.nrrd").write_bytes(head.replace("\n\nsizes", "\nsizes").encode() + values.tobytes())
    stack = read_image(tmp_path / "a.nrrd")
    notes = " ".join(stack.metadata.get("notes", []))
    assert note in notes
    assert bool(note) == bool(notes)
    first = np.argwhere(np.asarray(stack.modalities[0].pixels) == 0)[0]
    right, front = {"space: RAS": (-1, -1), "space: left-anterior-superior": (1, -1)}.get(space, (1, 1))
    place = (stack.geometry.affine @ [*first, 1])[:3]
    np.testing.assert_allclose(place, [5 * right, 6 * front, 7] if space else [0, 0, 0], atol=1e-9)


def test_complex_values_are_refused(tmp_path):
    sitk.WriteImage(sitk.Image(4, 5, 6, sitk.sitkComplexFloat32), str(tmp_path / "a.nrrd"))
    with pytest.raises(InputError, match=r"'a\.nrrd' cannot be used: it holds complex64 values"):
        read_image(tmp_path / "a.nrrd")


@pytest.mark.parametrize("ending", [".nrrd", ".nhdr", ".mha", ".mhd"])
@pytest.mark.parametrize("content", [b"", b"nonsense" * 100])
def test_broken_files_give_one_sentence(tmp_path, ending, content):
    (tmp_path / f"broken{ending}").write_bytes(content)
    with pytest.raises(InputError, match=rf"^'broken{ending}' cannot be used: (it|the line)") as caught:
        read_image(tmp_path / f"broken{ending}")
    assert "\n" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
    assert "SimpleITK-build" not in str(caught.value)


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_a_file_cut_short(tmp_path, ending):
    sitk.WriteImage(volume(np.eye(3)), str(tmp_path / f"a{ending}"))
    content = (tmp_path / f"a{ending}").read_bytes()
    (tmp_path / f"half{ending}").write_bytes(content[:-100])
    with pytest.raises(InputError, match="half"):
        read_image(tmp_path / f"half{ending}")


@pytest.mark.parametrize("ending", [".nhdr", ".mhd"])
def test_a_header_without_its_values(tmp_path, ending):
    sitk.WriteImage(volume(np.eye(3)), str(tmp_path / f"a{ending}"))
    (tmp_path / "a.raw").unlink()
    with pytest.raises(InputError, match=r"its values lie in 'a\.raw', which is not beside it: copy both files\.$"):
        read_image(tmp_path / f"a{ending}")


@pytest.mark.parametrize("field", ["type", "dimension", "sizes", "space", "encoding", "kinds", "space origin"])
@pytest.mark.parametrize("length", [1100, 5000])
def test_a_long_line_does_not_end_the_program(tmp_path, field, length):
    """ITK's parser quotes it in a buffer that is too small, and the process is gone."""
    sitk.WriteImage(volume(np.eye(3)), str(tmp_path / "a.nrrd"))
    lines = (tmp_path / "a.nrrd").read_bytes().split(b"\n")
    at = next(i for i, line in enumerate(lines) if line.startswith(field.encode() + b":"))
    lines[at] = f"{field}: {'*' * length}".encode()
    (tmp_path / "a.nrrd").write_bytes(b"\n".join(lines))
    with pytest.raises(InputError, match=rf"'a\.nrrd' cannot be used: the line '{field}: .*characters long"):
        read_image(tmp_path / "a.nrrd")


def test_long_notes_of_a_header_are_none_of_its_faults(tmp_path):
    image = volume(np.eye(3))
    image.SetMetaData("a note", "x" * 20_000)
    sitk.WriteImage(image, str(tmp_path / "a.nrrd"))
    assert read_image(tmp_path / "a.nrrd").grid == (4, 5, 6)


def test_damaged_packed_values_are_not_taken_for_values(tmp_path):
    """ITK's reader says nothing of them and hands out what was in memory."""
    sitk.WriteImage(volume(np.eye(3)), str(tmp_path / "a.mha"), useCompression=True)
    content = bytearray((tmp_path / "a.mha").read_bytes())
    content[-30] ^= 0x5A
    (tmp_path / "a.mha").write_bytes(content)
    with pytest.raises(InputError, match=r"'a\.mha' cannot be used: its compressed values are damaged"):
        read_image(tmp_path / "a.mha")


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("Offset", "nan 0 0", "its Offset is 'nan 0 0' where 3 numbers are due"),
        ("Offset", "1 2", "its Offset is '1 2' where 3 numbers are due"),
        ("TransformMatrix", "1 0 0 0 1 0 0 x 1", "its TransformMatrix is .* where 9 numbers are due"),
        ("TransformMatrix", "1 0 0 1 0 0 0 0 1", "its axes coincide"),
        ("ElementSpacing", "1 0 1", "its ElementSpacing is 0"),
        ("DimSize", "6 5 -4", "its DimSize is '6 5 -4'"),
        ("DimSize", "6000 5000 4000", "fewer values than its header says"),
        ("ElementType", "MET_OTHER", "its values are of the type 'MET_OTHER'"),
        ("NDims", "", "its header has no NDims"),
    ],
)
def test_a_place_that_makes_no_sense_is_refused(tmp_path, field, value, reason):
    """Where ITK cannot read a place it takes the origin, and labels would lie elsewhere."""
    sitk.WriteImage(volume(np.eye(3)), str(tmp_path / "a.mha"))
    content = (tmp_path / "a.mha").read_bytes()
    found = re.sub(rf"\n{field} = [^\n]*".encode(), f"\n{field} = {value}".encode(), content)
    assert found != content
    (tmp_path / "a.mha").write_bytes(found)
    with pytest.raises(InputError, match=rf"'a\.mha' cannot be .*{reason}") as caught:
        read_image(tmp_path / "a.mha")
    assert "\n" not in str(caught.value)


def test_without_simpleitk_the_sentence_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "a.nrrd").write_bytes(b"NRRD0004\n")
    original = builtins.__import__

    def without(name, *rest, **keywords):
        if name == "SimpleITK":
            raise ImportError(name)
        return original(name, *rest, **keywords)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r'pip install "napari-promptseg\[medical\]"'):
        read_image(tmp_path / "a.nrrd")

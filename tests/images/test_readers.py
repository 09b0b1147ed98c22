"""Every kind of file becomes a scene of the right shape, and every broken one a sentence."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_promptseg.errors import InputError
from napari_promptseg.images.readers import IMAGE_SUFFIXES, is_image_name, read_image, stem
from napari_promptseg.large.pictures import extent

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)


@pytest.mark.parametrize("ending", [".png", ".bmp", ".webp", ".tif", ".PNG", ".ppm"])
def test_lossless_colour_pictures_come_through_unchanged(tmp_path, ending):
    path = tmp_path / f"Straße 雪{ending}"
    Image.fromarray(RGB).save(path, **({"lossless": True} if ending == ".webp" else {}))
    stack = read_image(path)
    assert stack.grid == (20, 30)
    np.testing.assert_array_equal(stack.picture(), RGB)
    assert stack.source == path.name


def test_jpeg_is_close(tmp_path):
    smooth = np.linspace(0, 255, 900).reshape(30, 30).astype(np.uint8)
    Image.fromarray(smooth).save(tmp_path / "a.jpeg", quality=95)
    assert np.abs(read_image(tmp_path / "a.jpeg").picture()[..., 0].astype(int) - smooth).mean() < 2


def test_the_camera_rotation_tag_is_not_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(RGB).save(tmp_path / "a.png", exif=exif)
    assert read_image(tmp_path / "a.png").grid == (20, 30)


@pytest.mark.parametrize(
    ("mode", "shape", "dtype"),
    [
        ("1", (20, 30), "bool"),
        ("L", (20, 30), "uint8"),
        ("P", (20, 30, 3), "uint8"),
        ("LA", (20, 30, 4), "uint8"),
        ("RGBA", (20, 30, 4), "uint8"),
        ("I;16", (20, 30), "uint16"),
    ],
)
def test_png_modes(tmp_path, mode, shape, dtype):
    if mode == "I;16":
        image = Image.fromarray(RNG.integers(0, 65535, (20, 30), dtype=np.uint16))
    else:
        image = Image.fromarray(RGB).convert(mode)
    image.save(tmp_path / "a.png")
    modality = read_image(tmp_path / "a.png").modalities[0]
    assert modality.pixels.shape == shape
    assert modality.pixels.dtype == dtype
    assert modality.grid == (20, 30)


def test_cmyk_jpeg_and_palette_tiff_become_rgb(tmp_path):
    Image.fromarray(RGB).convert("CMYK").save(tmp_path / "a.jpg")
    Image.fromarray(RGB).convert("P").save(tmp_path / "b.tif")
    assert read_image(tmp_path / "a.jpg").modalities[0].pixels.shape == (20, 30, 3)
    assert read_image(tmp_path / "b.tif").modalities[0].pixels.shape == (20, 30, 3)


def test_notes_of_the_camera_that_are_damaged_are_passed_over(tmp_path):
    """Pillow warns of them, and the terminal would show it."""
    path = tmp_path / "a.jpg"
    Image.new("RGB", (9, 8)).save(path, exif=b"Exif\0\0II*\0\x08\0\0\0\x05\0")
    assert read_image(path).grid == (8, 9)
    assert extent(path) == (9, 72)


def test_animation_is_a_stack(tmp_path):
    frames = [Image.fromarray(np.full((8, 9), i * 100, np.uint8)) for i in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert read_image(tmp_path / "a.gif").n_planes == 3


def test_imagej_hyperstack_with_spacing(tmp_path):
    pixels = RNG.integers(0, 4000, (2, 5, 2, 20, 30), dtype=np.uint16)  # T, Z, C, Y, X
    tifffile.imwrite(
        tmp_path / "a.tif",
        pixels,
        imagej=True,
        resolution=(4.0, 2.0),
        metadata={"axes": "TZCYX", "spacing": 1.5, "unit": "um"},
    )
    stack = read_image(tmp_path / "a.tif")
    assert stack.grid == (10, 20, 30)
    assert stack.axis_names == ("plane", "y", "x")
    np.testing.assert_array_equal(stack.region(7), np.moveaxis(pixels[1, 2], 0, -1))
    assert stack.modalities[0].kind == "fluorescence"
    assert stack.spacing == (1.0, 0.5, 0.25)
    assert stack.units == "um"


def test_ome_tiff_axes_and_sizes(tmp_path):
    pixels = RNG.integers(0, 4000, (4, 20, 30), dtype=np.uint16)
    meta = {"axes": "ZYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "PhysicalSizeZ": 2.0}
    tifffile.imwrite(tmp_path / "a.ome.tif", pixels, metadata=meta)
    stack = read_image(tmp_path / "a.ome.tif")
    assert stack.spacing == (2.0, 0.5, 0.5)
    assert (stack.units, stack.axis_names) == ("um", ("z", "y", "x"))
    np.testing.assert_array_equal(stack.region(3), pixels[3])


def test_pyramid_gives_full_resolution(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as tif:
        tif.write(np.zeros((128, 128, 3), np.uint8), subifds=1, photometric="rgb", tile=(64, 64))
        tif.write(np.zeros((64, 64, 3), np.uint8), subfiletype=1, photometric="rgb", tile=(64, 64))
    assert read_image(tmp_path / "a.ome.tif").grid == (128, 128)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_deflate", "jpeg"])
def test_compressed_tiff(tmp_path, compression):
    Image.fromarray(RGB).save(tmp_path / "a.tif", compression=compression)
    stack = read_image(tmp_path / "a.tif")
    assert stack.grid == (20, 30)
    if compression != "jpeg":
        np.testing.assert_array_equal(stack.picture(), RGB)


def test_a_fourth_sample_that_is_not_alpha_is_its_own_modality(tmp_path):
    four = np.dstack([RGB, RGB[..., :1]])
    tifffile.imwrite(tmp_path / "nir.tif", four, photometric="rgb", extrasamples=["unspecified"])
    tifffile.imwrite(tmp_path / "alpha.tif", four, photometric="rgb", extrasamples=["unassalpha"])
    nir = read_image(tmp_path / "nir.tif")
    assert [m.channels for m in nir.modalities] == [True, False]
    np.testing.assert_array_equal(nir.picture(), RGB)
    assert len(read_image(tmp_path / "alpha.tif").modalities) == 1


def test_channels_last_array_saved_as_plain_tiff(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((20, 30, 2), np.uint16))
    assert read_image(tmp_path / "a.tif").grid == (20, 30)


def test_white_is_zero_is_inverted(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.array([[0, 255], [10, 20]], np.uint8), photometric="miniswhite")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").region(), [[255, 0], [245, 235]])


@pytest.mark.parametrize(
    ("shape", "grid"), [((9, 8), (9, 8)), ((9, 8, 3), (9, 8)), ((6, 9, 8), (6, 9, 8)), ((6, 9, 8, 3), (6, 9, 8))]
)
def test_numpy_arrays_of_either_byte_order(tmp_path, shape, grid):
    np.save(tmp_path / "a.npy", RNG.random(shape).astype(">f4"))
    stack = read_image(tmp_path / "a.npy")
    assert stack.grid == grid
    assert stack.picture(0).shape == (9, 8, 3)
    assert np.asarray(stack.modalities[0].pixels).dtype.isnative


@pytest.mark.parametrize("codes", ["LPS", "RAS", "PIR", "ASL", "SRP"])
def test_nifti_is_upright_whatever_its_orientation(tmp_path, codes):
    """A spot at the patient's left, front and top is on the right, top row, last plane."""
    size = {"L": 6, "R": 6, "P": 5, "A": 5, "S": 4, "I": 4}
    zoom = {"L": 0.5, "R": 0.5, "P": 0.75, "A": 0.75, "S": 3.0, "I": 3.0}
    volume = np.zeros([size[c] for c in codes], np.int16)
    spot = tuple(size[c] - 1 if c in "LAS" else 0 for c in codes)
    volume[spot] = 7
    towards = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, c in enumerate(codes):
        row, sign = towards[c]
        affine[row, axis] = sign * zoom[c]
    nibabel.save(nibabel.Nifti1Image(volume, affine), tmp_path / "a.nii.gz")
    stack = read_image(tmp_path / "a.nii.gz")
    assert stack.grid == (4, 5, 6)
    assert stack.spacing == (3.0, 0.75, 0.5)
    assert stack.units == "mm"
    assert np.argwhere(np.asarray(stack.modalities[0].pixels) == 7).tolist() == [[3, 0, 5]]


def test_nifti_with_four_axes_has_one_modality_per_volume(tmp_path):
    nibabel.save(nibabel.Nifti1Image(np.zeros((6, 5, 4, 2), np.float32), np.eye(4)), tmp_path / "a.nii")
    stack = read_image(tmp_path / "a.nii", kind="mr")
    assert [m.kind for m in stack.modalities] == ["mr", "mr"]
    assert stack.grid == (4, 5, 6)


def test_nifti_of_one_plane_and_with_a_broken_affine(tmp_path):
    nibabel.save(nibabel.Nifti1Image(np.zeros((6, 5), np.uint8), np.eye(4)), tmp_path / "a.nii")
    assert read_image(tmp_path / "a.nii").grid == (1, 5, 6)
    broken = nibabel.Nifti1Image(np.zeros((6, 5, 4), np.uint8), None)
    broken.header["srow_x"] = 0
    broken.header["sform_code"] = 1
    nibabel.save(broken, tmp_path / "b.nii")
    assert read_image(tmp_path / "b.nii").grid == (4, 5, 6)


def test_what_cannot_be_read_is_said_in_one_sentence(tmp_path):
    with pytest.raises(InputError, match=r"no file .*missing\.png.*check the path"):
        read_image(tmp_path / "missing.png")
    with pytest.raises(InputError, match="is a folder"):
        read_image(tmp_path)
    (tmp_path / "a.docx").write_bytes(b"x")
    with pytest.raises(InputError, match=r"'a\.docx' is of a type that cannot be read; these can: "):
        read_image(tmp_path / "a.docx")


@pytest.mark.parametrize("ending", [".png", ".jpg", ".webp", ".tif", ".npy", ".nii", ".nii.gz", ".gif"])
@pytest.mark.parametrize("content", [b"", b"nonsense" * 100])
def test_broken_files(tmp_path, ending, content):
    path = tmp_path / f"broken{ending}"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"'broken{ending}' cannot be read") as caught:
        read_image(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("ending", [".png", ".tif", ".nii.gz", ".npy"])
def test_truncated_files(tmp_path, ending):
    whole = tmp_path / f"whole{ending}"
    noise = RNG.integers(0, 255, (64, 64), dtype=np.uint8)
    if ending == ".npy":
        np.save(whole, noise)
    elif ending == ".nii.gz":
        nibabel.save(nibabel.Nifti1Image(noise, np.eye(4)), whole)
    else:
        Image.fromarray(noise).save(whole)
    content = whole.read_bytes()
    half = tmp_path / f"half{ending}"
    half.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="half"):
        read_image(half)


@pytest.mark.parametrize("ending", [".nii", ".nrrd", ".png", ".tif"])
def test_folders_are_not_named_in_what_a_decoder_says(tmp_path, ending):
    """They may be called after the patient."""
    folder = tmp_path / "Mustermann Erika. 1964"
    folder.mkdir()
    (folder / f"a{ending}").write_bytes(
        {".nii": nifti_cut_short(), ".nrrd": b"NRRD0004\ntype: x\n\n"}.get(ending, b"x")
    )
    with pytest.raises(InputError, match=rf"^'a{ending}' cannot be ") as caught:
        read_image(folder / f"a{ending}")
    assert "Mustermann" not in str(caught.value)
    assert str(caught.value).count(". ") == 0


def nifti_cut_short():
    return nibabel.Nifti1Image(np.zeros((9, 9, 9), np.int16), np.eye(4)).to_bytes()[:-50]


def test_an_array_of_objects_is_never_unpickled(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"a\.npy"):
        read_image(tmp_path / "a.npy")


def test_names():
    assert [stem(n) for n in ("a.nii.gz", "b.ome.tif", "c.d.PNG", "plain", ".png")] == [
        "a",
        "b",
        "c.d",
        "plain",
        ".png",
    ]
    assert all(is_image_name(f"x{e}") and is_image_name(f"x{e.upper()}") for e in IMAGE_SUFFIXES)
    assert not is_image_name(".hidden.png")
    assert not is_image_name("a.json")

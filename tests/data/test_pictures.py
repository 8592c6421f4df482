"""One reader of pictures: the same stored pixels for networks, figures and the explorer."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from camloc.core.errors import UserError
from camloc.data.loading import decode
from camloc.data.masks import read_mask
from camloc.data.pictures import examine, read_picture
from camloc.report import explorer
from clone import SHARED

CASES = SHARED / "cases"


def save(image: Image.Image, path: Path, **options) -> Path:
    image.save(path, **options)
    return path


def as_png(pixels, dtype, path: Path) -> Path:
    return save(Image.fromarray(np.array(pixels, dtype)), path)


def test_sixteen_bits_of_grey_keep_their_upper_eight(tmp_path):
    path = as_png([[0, 255, 256, 0x7FFF, 0xFFFF]], np.uint16, tmp_path / "a.png")
    assert read_picture(path)[0].tolist() == [[v] * 3 for v in (0, 0, 1, 0x7F, 0xFF)]
    assert examine(path).defects == ("16-bit grey",)


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_pixels_without_a_known_range_are_refused(tmp_path, dtype):
    path = save(Image.fromarray(np.ones((2, 3), dtype)), tmp_path / "a.tif")
    for read in (read_picture, examine):
        with pytest.raises(UserError, match=r"a\.tif .*of no known range"):
            read(path)


def test_exif_turns_nothing(tmp_path):
    """Orientation 6: shown turned by a quarter, by those who heed it."""
    image = Image.fromarray(np.arange(60, dtype=np.uint8).reshape(4, 5, 3))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = save(image, tmp_path / "turned.png", exif=exif)
    assert (read_picture(turned) == np.asarray(image)).all()
    assert examine(turned)[:2] == (5, 4)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tiff_that_pillow_would_turn_is_refused(tmp_path, dtype):
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(np.zeros((4, 5), dtype))
    path = save(image, tmp_path / "a.tif", exif=exif)
    for read in (read_picture, examine, read_mask):
        with pytest.raises(UserError, match=r"a\.tif .*orientation"):
            read(path)


def test_sixteen_bits_of_a_tiff_from_white_to_black_are_refused(tmp_path):
    """Which Pillow would read inverted."""
    image = Image.fromarray(np.array([[0, 65535]], np.uint16))
    assert read_picture(save(image, tmp_path / "b.tif"))[0, :, 0].tolist() == [0, 255]
    path = save(image, tmp_path / "a.tif", tiffinfo={262: 0})
    for read in (read_picture, examine):
        with pytest.raises(UserError, match=r"a\.tif .*from black to white"):
            read(path)


def test_transparent_pixels_keep_the_colours_under_them(tmp_path):
    path = as_png([[(10, 20, 30, 0), (40, 50, 60, 255)]], np.uint8, tmp_path / "a.png")
    assert read_picture(path).tolist() == [[[10, 20, 30], [40, 50, 60]]]


def test_palette_gives_its_colours(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata([1, 0])
    path = save(image, tmp_path / "a.png", transparency=b"\x00\xff")
    assert read_picture(path).tolist() == [[[40, 50, 60], [10, 20, 30]]]


def test_animation_gives_its_first_frame(tmp_path):
    frames = [Image.new("L", (2, 2), grey) for grey in (200, 10)]
    path = save(frames[0], tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert (read_picture(path) == 200).all()


@pytest.mark.parametrize("kind", ["PPM", "TGA", "ICO", "PCX"])
def test_only_formats_of_data_sets_are_opened(tmp_path, kind):
    path = save(Image.new("RGB", (16, 16)), tmp_path / "a.JPEG", format=kind)
    for read in (read_picture, examine):
        with pytest.raises(UserError, match=r"a\.JPEG"):
            read(path)


def test_decompression_bomb_is_refused_by_name(tmp_path):
    path = save(Image.new("1", (20_000, 20_000)), tmp_path / "huge.png")
    for read in (read_picture, examine):
        with pytest.raises(UserError, match=r"huge\.png .*exceeds limit"):
            read(path)


def test_explorer_shows_a_side_of_less_than_a_pixel(tmp_path):
    path = save(Image.new("RGB", (1, 5000)), tmp_path / "tall.png")
    data = explorer._picture(path).partition("base64,")[2]
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (1, 256)


def test_networks_and_figures_see_the_same_pixels(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 65536, (6, 6), dtype=np.uint16)
    path = save(Image.fromarray(pixels), tmp_path / "a.png")
    assert (decode(path, 6).movedim(0, -1).numpy() == read_picture(path)).all()


@pytest.mark.skipif(not CASES.is_dir(), reason=f"{CASES} is not here")
def test_cases_of_people_are_read_or_refused_by_name():
    for path in sorted([*CASES.glob("images/**/*.*"), *CASES.glob("exif/*")]):
        try:
            picture = read_picture(path)
        except UserError as error:
            assert str(path) in str(error)
        else:
            assert picture.dtype == np.uint8 and picture.ndim == 3, path
    plain, turned = (read_picture(CASES / "exif" / f"{name}.jpg") for name in ("plain", "rot6"))
    assert (plain == turned).all()

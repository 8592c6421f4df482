"""One reader of pictures: the same stored pixels for networks, figures and the explorer."""

import base64
import io
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from camloc.core.errors import UserError
from camloc.data.loading import decode
from camloc.data.masks import read_mask
from camloc.data.pictures import examine, read_photo, read_picture
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
    data = explorer._picture(read_picture(path)).partition("base64,")[2]
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


def full_jpeg(size=(30, 20), mode="RGB"):
    """A JPEG with so much in it that every cut loses pixels: the same noise always, since of other
    noise, one in thirty, the last byte may be padding alone."""
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0]), dtype=np.uint8)
    Image.fromarray(noise).convert(mode).save(file, "JPEG")
    return file.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_size_is_width_and_height(tmp_path, mode):
    (tmp_path / "a.JPEG").write_bytes(full_jpeg((30, 20), mode))
    assert examine(tmp_path / "a.JPEG") == (30, 20, ())


def test_padding_after_the_end_is_accepted(tmp_path):
    (tmp_path / "a.JPEG").write_bytes(full_jpeg() + b"\0" * 512)
    assert examine(tmp_path / "a.JPEG") == (30, 20, ())


@pytest.mark.parametrize(("name", "defects"), [("a.JPEG", ("PNG named JPEG",)), ("a.png", ())])
def test_png_is_a_defect_under_the_name_of_a_jpeg_only(tmp_path, name, defects):
    Image.new("RGB", (5, 4)).save(tmp_path / name, "PNG")
    assert examine(tmp_path / name) == (5, 4, defects)


def exif(entry=(0x10F, 2, 6, 26), text=b"maker\0", order="<", start=8):
    """A TIFF of one entry (tag, type, count, offset) and its text, which begins at byte 26."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}L", start)
    entries = struct.pack(f"{order}HHHLLL", 1, *entry, 0)
    return b"Exif\0\0" + head + entries + text


@pytest.mark.filterwarnings("ignore::UserWarning")  # pytest's filters come after the package's
@pytest.mark.parametrize(
    ("content", "bad"),
    [
        (exif(), False),
        (exif(order=">"), False),
        (exif(entry=(0x10F, 2, 4, 0x61616161)), False),
        (exif(entry=(0x10F, 99, 100, 26)), False),
        (exif(entry=(0x10F, 2, 7, 26)), True),
        (exif(entry=(0x10F, 2, 6, 27)), True),
        (exif(entry=(0x11A, 5, 1, 26)), True),
        (exif(start=27), True),
        (exif()[:31], True),
        (b"Exif\0\0not a TIFF at all", True),
    ],
    ids=[
        "sound",
        "big endian",
        "value in place",
        "unknown type",
        "too long",
        "too far",
        "a rational of 8 bytes",
        "no directory",
        "cut directory",
        "no TIFF",
    ],
)
def test_exif_that_leads_out_of_its_segment_is_a_defect(tmp_path, content, bad):
    Image.new("RGB", (30, 20)).save(tmp_path / "a.JPEG", exif=content)
    assert examine(tmp_path / "a.JPEG").defects == (("bad EXIF",) if bad else ())


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_file_may_have_several_defects(tmp_path):
    Image.new("CMYK", (30, 20)).save(tmp_path / "a.JPEG", exif=exif(start=27))
    assert examine(tmp_path / "a.JPEG") == (30, 20, ("CMYK", "bad EXIF"))


@pytest.mark.parametrize("lost", [1, 2, 10, 300])
def test_truncated_jpeg_is_refused(tmp_path, lost):
    (tmp_path / "a.JPEG").write_bytes(full_jpeg()[:-lost])
    with pytest.raises(UserError, match=r"a\.JPEG is truncated or not an image"):
        examine(tmp_path / "a.JPEG")


@pytest.mark.parametrize("content", [b"", b"\xff", b"\xff\xd9", b"<html>not found</html>"])
def test_what_is_no_image_is_refused(tmp_path, content):
    (tmp_path / "a.JPEG").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.JPEG is truncated or not an image"):
        examine(tmp_path / "a.JPEG")


def test_missing_image_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"a\.JPEG is missing"):
        examine(tmp_path / "a.JPEG")


def test_bad_exif_is_read_without_a_warning(tmp_path):
    """In a process of its own, as a worker that decodes is; pytest sets filters of its own."""
    file = io.BytesIO()
    Image.effect_noise((16, 12), 60).save(file, "JPEG", exif=b"Exif\0\0II*\0\xff\0\0\0")
    content = file.getvalue()
    start = content.index(b"\xff\xe1")  # without JFIF's resolution Pillow looks for EXIF's
    (tmp_path / "a.JPEG").write_bytes(content[:2] + content[start:])
    code = "import sys; from camloc.data.pictures import *; print(read_picture(sys.argv[1]).shape)"
    command = [sys.executable, "-W", "always", "-c", code, str(tmp_path / "a.JPEG")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout == "(12, 16, 3)\n"
    assert "EXIF" not in done.stderr
    with pytest.warns(UserWarning, match="Corrupt EXIF data"):
        read_picture(tmp_path / "a.JPEG")


def test_photograph_is_read_as_a_person_sees_it(tmp_path):
    """A camera held upright writes the picture lying, and how to turn it."""
    stored = Image.new("RGB", (6, 4), "red")
    stored.paste((0, 0, 255), (0, 0, 6, 1))  # the upper edge, which is the right one
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    stored.save(tmp_path / "a.png", exif=exif)
    seen = read_photo(tmp_path / "a.png")
    assert seen.shape == (6, 4, 3) and read_picture(tmp_path / "a.png").shape == (4, 6, 3)
    assert seen[0, 3].tolist() == [0, 0, 255] and seen[0, 0].tolist() == [255, 0, 0]


def test_photograph_lies_on_white_where_it_is_transparent(tmp_path):
    Image.new("RGBA", (2, 2), (0, 0, 0, 0)).save(tmp_path / "a.png")
    assert (read_photo(tmp_path / "a.png") == 255).all()
    Image.new("I;16", (2, 2), 0x7F00).save(tmp_path / "b.png")
    assert (read_photo(tmp_path / "b.png") == 0x7F).all()


def test_photograph_that_is_none_is_refused(tmp_path):
    (tmp_path / "a.jpg").write_text("<html>")
    with pytest.raises(UserError, match=r"a\.jpg cannot be read .*give another"):
        read_photo(tmp_path / "a.jpg")

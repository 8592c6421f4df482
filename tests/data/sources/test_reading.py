"""What the readers of data sets share."""

import pytest
from PIL import Image

from camloc.core.errors import UserError
from camloc.data.sources.reading import entries, examined, read_lines, whole_numbers


def test_sizes_keep_the_order_over_many_batches(tmp_path):
    for width in (3, 4, 5):
        Image.new("RGB", (width, 2)).save(tmp_path / f"{width}.png")
    sizes, defects = examined(tmp_path, [f"{3 + i % 3}.png" for i in range(1201)])
    assert sizes.tolist() == [[3 + i % 3, 2] for i in range(1201)]
    assert defects == {}


def test_defects_map_each_kind_to_sorted_ids(tmp_path):
    (tmp_path / "b").mkdir()
    for name, mode in (("z", "CMYK"), ("b/a", "CMYK"), ("c", "RGB")):
        Image.new(mode, (9, 9)).save(tmp_path / f"{name}.JPEG")
    Image.new("RGB", (5, 4)).save(tmp_path / "d.JPEG", "PNG")
    paths = ["z.JPEG", "d.JPEG", "c.JPEG", "b/a.JPEG"]
    assert examined(tmp_path, paths)[1] == {"CMYK": ["a", "z"], "PNG named JPEG": ["d"]}


def test_broken_file_among_many_is_named(tmp_path):
    Image.new("RGB", (3, 2)).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"bad")
    with pytest.raises(UserError, match=r"bad\.png is truncated"):
        examined(tmp_path, ["good.png"] * 700 + ["bad.png"])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_come_with_their_place_whatever_the_editor(tmp_path, encoding, end):
    text = f"one{end}{end} twö\x0b\u2028\t"  # what str.splitlines takes for ends stays
    (tmp_path / "a.txt").write_bytes(text.encode(encoding))
    assert list(read_lines(tmp_path / "a.txt")) == [
        (f"{tmp_path / 'a.txt'}:1", "one"),
        (f"{tmp_path / 'a.txt'}:3", " twö\x0b\u2028\t"),
    ]


def test_text_file_that_is_none_is_named(tmp_path):
    (tmp_path / "a.txt").write_bytes("one\ntwo".encode("utf-16-le"))  # without its mark
    with pytest.raises(UserError, match=r"a\.txt:1: zero bytes, so no text in UTF-8"):
        list(read_lines(tmp_path / "a.txt"))
    with pytest.raises(UserError, match=r"none\.txt is missing"):
        list(read_lines(tmp_path / "none.txt"))


@pytest.mark.parametrize("field", ["1.0", "1_0", "", "-", "1" * 10, "0x1", "²"])
def test_corner_that_is_no_whole_number_is_refused(field):
    assert whole_numbers("a:1", [" 1\n", "\x1e-2", "+3", "04"]) == [1, -2, 3, 4]
    with pytest.raises(UserError, match=r"^a:1: expected whole numbers xmin ymin xmax ymax, not"):
        whole_numbers("a:1", ["1", "2", field, "4"])


def test_folder_that_is_none_is_refused_and_a_missing_one_is_empty(tmp_path):
    (tmp_path / "a").touch()
    with pytest.raises(UserError, match=r"/a cannot be read as a folder \(.*Not a directory"):
        entries(tmp_path / "a")
    assert entries(tmp_path / "none") == []

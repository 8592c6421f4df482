"""Images of one's own, in each of the layouts in which they may lie."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import ExifTags, Image

from camloc.core.errors import UserError
from camloc.data.loading import decode
from camloc.data.manifest import BOX_COLUMNS
from camloc.data.masks import read_masks
from camloc.data.sources import ilsvrc
from camloc.data.sources.folder import read
from clone import SHARED
from made import jpeg

CLASSES = "n01\ttench, Tinca tinca\nn02\tgoldfish\nn03\tgreat white shark, white shark\n"


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def class_folders(folder: Path) -> None:
    for place in ("train/n01/a", "train/n02/b", "val/n02/c", "val/n01/d"):
        jpeg(folder / f"{place}.jpg")
    put(folder / "val/localization.txt", "n02/c.jpg,1,2,30,39\nn02/c.jpg,0,0,60,9\n")


def metadata(folder: Path) -> None:
    """Labels by number, wnid and name."""
    for split, names, labels in (("train", "ab", ["0", "n02"]), ("val", "cd", ["goldfish", "0"])):
        for name in names:
            jpeg(folder / split / "images" / f"{name}.jpg")
        ids = [f"{name}.jpg" for name in names]
        put(folder / split / "image_ids.txt", "\n".join(ids))
        lines = [f"{image},{label}" for image, label in zip(ids, labels, strict=True)]
        put(folder / split / "class_labels.txt", "\n".join(lines))
        put(folder / split / "image_sizes.txt", "".join(f"{image},50,40\n" for image in ids))
    put(folder / "val/localization.txt", "c.jpg,1,2,30,39\nc.jpg,0,0,60,9\n")


def one_csv(folder: Path) -> None:
    for name in "abcd":
        jpeg(folder / "pictures" / f"{name}.jpg")
    put(
        folder / "images.csv",
        "path,split,label,xmin,ymin,xmax,ymax\n"
        "pictures/a.jpg,train,n01,,,,\n"
        "pictures/b.jpg,train,n02,,,,\n"
        "pictures/c.jpg,val,n02,1,2,30,39\n"
        "pictures/c.jpg,val,n02,0,0,60,9\n"
        "pictures/d.jpg,val,n01,,,,\n",
    )


LAYOUTS = [class_folders, metadata, one_csv]


@pytest.fixture(params=LAYOUTS, ids=[layout.__name__ for layout in LAYOUTS])
def manifest(request, tmp_path):
    request.param(tmp_path)
    put(tmp_path / "classes.txt", CLASSES.partition("n03")[0])
    return read(tmp_path, classes=tmp_path / "classes.txt")


def test_each_layout_gives_the_same_images_classes_and_boxes(manifest):
    assert manifest.classes == {"n01": "tench, Tinca tinca", "n02": "goldfish"}
    images = manifest.images.assign(name=[Path(path).stem for path in manifest.images["path"]])
    found = images.set_index("name")[["split", "wnid", "width", "height"]]
    assert found.loc["a"].tolist() == ["train", "n01", 50, 40]
    assert found.loc[list("bcd"), "split"].tolist() == ["train", "val", "val"]
    assert found.loc[list("bcd"), "wnid"].tolist() == ["n02", "n02", "n01"]
    corners = manifest.boxes[BOX_COLUMNS[2:]].to_numpy().tolist()
    assert corners == [[1, 2, 30, 39], [0, 0, 49, 9]]  # the second cut to its image
    assert set(manifest.boxes["wnid"]) == {"n02"}
    assert all((manifest.root / path).is_file() for path in manifest.images["path"])


def test_equal_names_in_several_folders_are_several_images(tmp_path):
    for place in ("train/n01", "train/n02", "val/n01", "val/n02"):
        jpeg(tmp_path / place / "1.jpg")
    manifest = read(tmp_path)
    assert manifest.classes == {"n01": "n01", "n02": "n02"}
    assert sorted(manifest.images["image"]) == [
        *("train/n01/1", "train/n02/1"),
        *("val/n01/1", "val/n02/1"),
    ]


def test_one_split_is_enough_and_its_folder_may_be_the_whole(tmp_path):
    metadata(tmp_path)
    put(tmp_path / "classes.txt", CLASSES)
    splits = {"val": Path("val")}
    manifest = read(tmp_path, splits=splits, classes=tmp_path / "classes.txt")
    assert set(manifest.images["split"]) == {"val"} and len(manifest.classes) == 3
    whole = read(tmp_path / "val", splits={"test": Path()}, classes=tmp_path / "classes.txt")
    assert set(whole.images["split"]) == {"test"}
    assert whole.boxes[BOX_COLUMNS[1:]].equals(manifest.boxes[BOX_COLUMNS[1:]])


def test_masks_are_those_that_are_named(tmp_path):
    class_folders(tmp_path)
    Image.new("L", (50, 40)).save(tmp_path / "val" / "c.png")
    put(tmp_path / "val/localization.txt", "n02/c.jpg,c.png\nn02/c.jpg,1,2,30,39\n")
    (tmp_path / "val" / "masks").mkdir()
    Image.new("L", (50, 40)).save(tmp_path / "val" / "masks" / "d.png")
    with (tmp_path / "val/localization.txt").open("a") as places:
        places.write("n01/d.jpg,masks/d.png,\n")
    manifest = read(tmp_path)
    images = manifest.images.set_index("image")
    assert manifest.wnids == ["n01", "n02"]  # masks are of no class
    assert images.loc["val/n02/c", "mask"] == "val/c.png"
    assert images.loc["val/n01/d", "mask"] == "val/masks/d.png"
    assert images["mask"].notna().sum() == 2


def test_numbers_that_stand_for_themselves_are_in_their_order(tmp_path):
    for label in range(12):
        jpeg(tmp_path / "val" / str(label) / f"{label}.jpg")
    assert read(tmp_path).wnids == [f"{label:02}" for label in range(12)]


def test_metadata_without_labels_is_no_folder_of_classes(tmp_path):
    metadata(tmp_path)
    (tmp_path / "val" / "class_labels.txt").unlink()
    with pytest.raises(UserError, match=r"class_labels\.txt"):
        read(tmp_path)


def test_lines_of_a_table_are_counted_and_empty_ones_passed_over(tmp_path):
    one_csv(tmp_path)
    text = (tmp_path / "images.csv").read_text()
    put(tmp_path / "images.csv", text.replace("\n", ",\n").replace(",\n", "\n", 1) + "\n\n")
    assert len(read(tmp_path).images) == 4
    put(tmp_path / "images.csv", text + "\npictures/d.jpg,test,n01,,,,\n")
    with pytest.raises(UserError, match=r"csv:8: pictures/d\.jpg has another split"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("val/class_labels.txt", "c.jpg,7\nd.jpg,0", r"label '7' stands for none of the 3 classes"),
        ("val/class_labels.txt", "c.jpg,goldfsh\nd.jpg,0", r"txt:1: .* did you mean goldfish"),
        ("val/class_labels.txt", "c.jpg,0", r"class_labels\.txt lacks images .* d\.jpg"),
        ("val/image_ids.txt", "c.jpg\nx.jpg", r"lacks images of image_ids\.txt.* x\.jpg"),
        (
            "val/image_sizes.txt",
            "c.jpg,40,50",
            r"is told to be of 40 × 50 pixels and is of 50 × 40",
        ),
        (
            "val/localization.txt",
            "x.jpg,1,2,3,4",
            r"localization\.txt:1: no image 'x\.jpg' of this",
        ),
        ("val/localization.txt", "c.jpg,1,2,3", r"expected a box of four numbers or a mask"),
        ("val/localization.txt", "c.jpg,1,2,3,x", r"expected whole numbers xmin ymin xmax ymax"),
        ("val/localization.txt", "c.jpg,60,2,70,9", r"has boxes outside their image"),
        ("val/localization.txt", "c.jpg,m.png,", r"lacks masks: val/m\.png"),
        ("val/localization.txt", "c.jpg,m.png,i.png", r"lacks masks: val/m\.png, val/i\.png"),
        ("images.csv", "path,split,label\n,val,n01", r"csv:2: lacks a path or a label"),
        ("classes.txt", "n02 a\nn01 b", r"classes\.txt:2: class n01 comes after n02"),
        ("images.csv", "path,label\na.jpg,n01", r"images\.csv lacks the columns.* split"),
        ("images.csv", "path,split,label\na.jpg,dev,n01", r"csv:2: split is .*, not 'dev'"),
        ("images.csv", "path,split,label\na.jpg,val,n01", r"a\.jpg is missing"),
        (
            "images.csv",
            "path,split,label" + ",x" * 5000,
            r"images\.csv is not a CSV .* 5,003 colum",
        ),
        ("images.csv", "path,split,label\n.,val,n01", r"image .* is truncated or not an image"),
        ("val/localization.txt", f"c.jpg,{'x' * 300}", r"lacks masks: val/xxx"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, path, content, message):
    metadata(tmp_path)
    put(tmp_path / "classes.txt", CLASSES)
    put(tmp_path / path, content)
    with pytest.raises(UserError, match=message):
        read(tmp_path, splits={"val": Path("val")}, classes=tmp_path / "classes.txt")


def test_class_without_a_training_image_is_refused_where_there_are_others(tmp_path):
    class_folders(tmp_path)
    jpeg(tmp_path / "val" / "n03" / "e.jpg")
    with pytest.raises(UserError, match="has no training image of: n03"):
        read(tmp_path)


def turned(path: Path, way: int) -> None:
    """A picture stored with its left half black, 50×40, that EXIF turns."""
    exif, picture = Image.Exif(), np.zeros((40, 50, 3), np.uint8)
    exif[ExifTags.Base.Orientation] = way
    picture[:, 25:] = 255
    Image.fromarray(picture).save(path, exif=exif)


def test_image_that_exif_turns_is_taken_as_a_person_sees_it(tmp_path):
    class_folders(tmp_path)
    turned(tmp_path / "val/n02/c.jpg", 6)  # to the right: black above, 40×50
    turned(tmp_path / "val/n01/d.jpg", 3)  # around: black on the right, 50×40
    manifest = read(tmp_path)
    images = manifest.images.set_index("image")
    assert images.loc["val/n02/c", ["width", "height"]].tolist() == [40, 50]
    assert images.loc["val/n01/d", ["width", "height"]].tolist() == [50, 40]
    boxes = manifest.boxes[["xmax", "ymax"]].to_numpy().tolist()
    assert boxes == [[30, 39], [39, 9]]  # the second cut at a width of 40
    square = decode(manifest.root / "val/n02/c.jpg", 10, read=manifest.read)
    assert square[0, 0].max() < 20 and square[0, -1].min() > 235
    assert manifest.picture("val/n01/d.jpg")[:, -1].max() < 20


def test_told_size_of_an_image_is_that_of_what_a_person_sees(tmp_path):
    metadata(tmp_path)
    turned(tmp_path / "val/images/c.jpg", 6)
    put(tmp_path / "classes.txt", CLASSES)
    with pytest.raises(UserError, match=r"told to be of 50 × 40 .* of 40 × 50, as EXIF turns it"):
        read(tmp_path, classes=tmp_path / "classes.txt")


def test_image_may_have_several_masks_and_some_of_what_counts_for_nothing(tmp_path):
    metadata(tmp_path)
    lines = "c.jpg,m/1.png,m/i.png\nc.jpg,m/2.png,m/i.png\nd.jpg,m/1.png,\n"
    put(tmp_path / "val/localization.txt", lines)
    (tmp_path / "val" / "m").mkdir()
    for name, lit in (("1", [0, 1]), ("2", [1, 2]), ("i", [2, 3])):
        mask = np.zeros((1, 5), np.uint8)
        mask[0, lit] = 255
        Image.fromarray(mask).save(tmp_path / "val" / "m" / f"{name}.png")
    put(tmp_path / "classes.txt", CLASSES)
    manifest = read(tmp_path, splits={"val": Path("val")}, classes=tmp_path / "classes.txt")
    told = manifest.images.set_index("image")["mask"]
    assert read_masks(manifest.root, told["val/images/c"]).tolist() == [[1, 1, 1, 255, 0]]
    assert read_masks(manifest.root, told["val/images/d"]).tolist() == [[1, 1, 0, 0, 0]]


def test_classes_that_differ_in_case_alone_are_refused(tmp_path):
    class_folders(tmp_path)
    jpeg(tmp_path / "val/N01/e.jpg")
    with pytest.raises(UserError, match=r"holds classes of one name: N01 and n01"):
        read(tmp_path)


def test_folder_of_nothing_is_refused_with_the_layouts(tmp_path):
    with pytest.raises(UserError, match=r"holds no images; .* with a folder of each class"):
        read(tmp_path)


@pytest.mark.skipif(not (SHARED / "data").is_dir(), reason="no ../shared/data/ilsvrc-val-originals")
def test_photographs_and_boxes_of_wsolevaluation_are_read():
    folder = SHARED / "data" / "ilsvrc-val-originals"
    classes = SHARED / "data" / "ilsvrc-val-1000" / "wnids.txt"
    manifest = read(folder, splits={"val": Path()}, classes=classes)
    told = pd.read_csv(folder / "localization.txt", header=None)
    assert len(manifest.images) == 22 and len(manifest.boxes) == len(told)
    assert manifest.boxes[BOX_COLUMNS[2:]].to_numpy().tolist() == told.iloc[:, 1:].values.tolist()


@pytest.mark.skipif(not (SHARED / "data").is_dir(), reason="no ../shared/data/ilsvrc-val-originals")
def test_photographs_through_kaggles_layout_are_the_same_data(tmp_path):
    """Labels, sizes and boxes are all that errors depend on beside the pictures."""
    folder = SHARED / "data" / "ilsvrc-val-originals"
    classes = SHARED / "data" / "ilsvrc-val-1000" / "wnids.txt"
    own = read(folder, splits={"val": Path()}, classes=classes)
    put(tmp_path / ilsvrc.SYNSETS, classes.read_text())
    lines = ["ImageId,PredictionString"]
    for _, image in own.images.iterrows():
        name = Path(image["path"]).name
        (tmp_path / ilsvrc.DATA / "val").mkdir(parents=True, exist_ok=True)
        (tmp_path / ilsvrc.DATA / "val" / name).symlink_to(folder / image["path"])
        boxes = own.boxes_of(image["image"]).tolist()
        words = [" ".join(map(str, [image["wnid"], *box])) for box in boxes]
        lines.append(f"{Path(name).stem},{' '.join(words)}")
    put(tmp_path / ilsvrc.SOLUTION, "\n".join(lines) + "\n")
    kaggle = ilsvrc.read(tmp_path, with_train=False)
    assert kaggle.classes.keys() == own.classes.keys()
    for name in ("images", "boxes"):
        tables = [getattr(manifest, name).copy() for manifest in (kaggle, own)]
        for table in tables:
            table["image"] = table["image"].str.rpartition("/")[2]
        a, b = (table.drop(columns="path", errors="ignore") for table in tables)
        assert a.sort_values([*a]).to_numpy().tolist() == b.sort_values([*b]).to_numpy().tolist()
    for path, other in zip(*(sorted(m.images["path"]) for m in (kaggle, own)), strict=True):
        assert (kaggle.picture(path) == own.picture(other)).all(), path


def test_sizes_need_not_be_told_and_those_of_other_images_do_not_count(tmp_path):
    metadata(tmp_path)
    (tmp_path / "train" / "image_sizes.txt").unlink()
    put(tmp_path / "val" / "image_sizes.txt", "other.jpg,9,9\nc.jpg,50,40\n")
    put(tmp_path / "classes.txt", CLASSES.partition("n03")[0])
    images = read(tmp_path, classes=tmp_path / "classes.txt").images
    assert images[["width", "height"]].drop_duplicates().to_numpy().tolist() == [[50, 40]]


def test_two_images_of_one_id_are_refused_with_their_line(tmp_path):
    metadata(tmp_path)
    jpeg(tmp_path / "val" / "images" / "c.png")
    put(tmp_path / "val" / "image_ids.txt", "c.jpg\nc.png\n")
    put(tmp_path / "val" / "class_labels.txt", "c.jpg,0\nc.png,0\n")
    with pytest.raises(UserError, match=r"class_labels\.txt:2: .*/c\.png is listed already; keep"):
        read(tmp_path)

"""The text files of data sets, each beside whole pictures in its layout."""

from collections.abc import Callable, Mapping
from pathlib import Path

from battery import OUT, Damage, Format
from camloc.data.manifest import BOX_COLUMNS, Manifest
from camloc.data.masks import read_masks
from camloc.data.sources import cub, folder, ilsvrc, tiny_imagenet
from damage.anyhow import ANY
from damage.pictures import pictures
from damage.texts import TEXT, hostile
from made import annotation
from official import DOG, NAMES, SNAKE, TENCH, val

PICTURE = pictures("JPEG", image={})["image.jpeg"]  # 24×20
MASK = pictures("PNG", mask={"mode": "L"})["mask.png"]
BIRDS = ("001.Black_footed_Albatross", "193.Bewick_Wren")


def with_pictures(*paths: str) -> dict[str, bytes]:
    return {path: MASK if path.endswith(".png") else PICTURE for path in paths}


def files_of(texts: Mapping[str, str]) -> Callable[[], dict[str, bytes]]:
    return lambda: {path: text.encode() for path, text in texts.items()}


BIRD_IMAGES = [f"{BIRDS[i // 2]}/B_{i}" for i in range(4)]
CUB = {
    "classes.txt": f"1 {BIRDS[0]}\n2 {BIRDS[1]}\n",
    "images.txt": "".join(f"{i} {path}.jpg\n" for i, path in enumerate(BIRD_IMAGES, start=1)),
    "image_class_labels.txt": "1 1\n2 1\n3 2\n4 2\n",
    "train_test_split.txt": "1 1\n2 0\n3 1\n4 0\n",
    "bounding_boxes.txt": "1 0.0 2.0 10.0 12.0\n2 10.0 0.0 13.0 19.0\n3 5.0 5.0 35.0 26.0\n"
    "4 1.4 2.6 3.4 4.4\n",
}
CUB = {f"CUB_200_2011/{name}": text for name, text in CUB.items()}
CUB_PICTURES = with_pictures(
    *(f"CUB_200_2011/images/{path}.jpg" for path in BIRD_IMAGES),
    *(f"segmentations/{path}.png" for path in BIRD_IMAGES),
)
TINY = {
    "wnids.txt": f"{DOG}\n{TENCH}\n",
    "words.txt": f"n00001740\tentity\n{TENCH}\ttench, Tinca tinca\n{DOG}\tdeerhound\n",
    f"train/{TENCH}/{TENCH}_boxes.txt": f"{TENCH}_1.JPEG\t1\t2\t13\t14\n"
    f"{TENCH}_0.JPEG\t0\t0\t23\t19\n",
    f"train/{DOG}/{DOG}_boxes.txt": f"{DOG}_0.JPEG\t23\t0\t23\t19\n",
    "val/val_annotations.txt": f"val_0.JPEG\t{DOG}\t5\t6\t7\t8\nval_1.JPEG\t{TENCH}\t0\t0\t9\t9\n",
}
TINY_PICTURES = with_pictures(
    *(f"train/{TENCH}/images/{TENCH}_{i}.JPEG" for i in range(2)),
    f"train/{DOG}/images/{DOG}_0.JPEG",
    *(f"val/images/val_{i}.JPEG" for i in range(2)),
)
ILSVRC = {
    ilsvrc.SYNSETS: "".join(f"{wnid} {NAMES[wnid]}\n" for wnid in (TENCH, DOG)),
    ilsvrc.SOLUTION: f"ImageId,PredictionString\n{val(1)},{TENCH} 3 4 5 6 \n"
    f"{val(2)},{DOG} 0 0 23 19 {DOG} 10 11 12 13 \n{val(3)},{DOG} 1 1 2 2 \n",
    ilsvrc.BLACKLIST: "3\n",
    f"{ilsvrc.ANNOTATIONS}/{TENCH}/{TENCH}_0.xml": annotation(
        TENCH, (TENCH, 1, 2, 20, 19), (TENCH, 0, 0, 49, 5)
    ),
}
ILSVRC_PICTURES = with_pictures(
    *(f"{ilsvrc.DATA}/train/{wnid}/{wnid}_{i}.JPEG" for wnid in (TENCH, DOG) for i in range(2)),
    *(f"{ilsvrc.DATA}/val/{val(i)}.JPEG" for i in range(1, 4)),
)
CLASSES = f"{TENCH}\ttench, Tinca tinca\n{SNAKE}\tsea snake\n{DOG}\tdeerhound\n"


def metadata(split: str, labels: Mapping[str, str]) -> dict[str, str]:
    return {
        f"{split}/image_ids.txt": "".join(f"{image}\n" for image in labels),
        f"{split}/class_labels.txt": "".join(f"{image},{labels[image]}\n" for image in labels),
        f"{split}/image_sizes.txt": "".join(f"{image},24,20\n" for image in labels),
    }


METADATA = {
    "classes.txt": CLASSES,
    **metadata("train", {"a.jpg": "0", "b.jpg": SNAKE, "e.jpg": "deerhound"}),
    **metadata("val", {"c.jpg": "deerhound", "d.jpg": "0"}),
    "val/localization.txt": "c.jpg,1,2,13,19\nc.jpg,0,0,60,9\nd.jpg,masks/d.png,masks/c.png\n"
    "d.jpg,1,1,2,2\n",
}
METADATA_PICTURES = with_pictures(
    *("train/images/a.jpg", "train/images/b.jpg", "train/images/e.jpg"),
    *("val/images/c.jpg", "val/images/d.jpg", "val/masks/c.png", "val/masks/d.png"),
)
OWN_CLASSES = "n01 tench, Tinca tinca\nn02 goldfish\n"
TABLE = {
    "classes.txt": OWN_CLASSES,
    "images.csv": "path,split,label,xmin,ymin,xmax,ymax,mask,ignore\n"
    "pictures/a.jpg,train,n01,,,,,,\npictures/b.jpg,train,goldfish,,,,,,\n"
    "pictures/c.jpg,val,1,1,2,13,19,masks/c.png,\npictures/c.jpg,val,1,0,0,60,9,,masks/d.png\n"
    "pictures/d.jpg,test,0,,,,,,\n",
}
TABLE_PICTURES = with_pictures(
    *(f"pictures/{name}.jpg" for name in "abcd"), "masks/c.png", "masks/d.png"
)
CLASS_FOLDERS = {
    "classes.txt": OWN_CLASSES,
    "val/localization.txt": "n02/c.jpg,1,2,13,19\nn02/c.jpg,0,0,60,9\nn01/d.jpg,masks/d.png\n"
    "n02/c.jpg,masks/c.png,masks/d.png\n",
}
CLASS_FOLDERS_PICTURES = with_pictures(
    *("train/n01/a.jpg", "train/n02/b.jpg", "val/n02/c.jpg", "val/n01/d.jpg"),
    *("val/masks/c.png", "val/masks/d.png"),
)


def reading(read: Callable[[Path], Manifest]) -> Callable[[Path], None]:
    """A reader of the data set around a file, which then becomes a manifest as a study has it."""

    def read_it(path: Path) -> None:
        root = next(parent for parent in path.parents if parent.name == "files")
        manifest = read(root)
        assert manifest.images["image"].is_unique and len(manifest.images)
        assert set(manifest.images["wnid"].dropna()) <= set(manifest.classes)
        boxes = manifest.boxes.merge(manifest.images[["image", "width", "height"]], on="image")
        low, high = boxes[BOX_COLUMNS[2:4]].to_numpy(), boxes[BOX_COLUMNS[4:]].to_numpy()
        assert len(boxes) == len(manifest.boxes) and (low >= 0).all() and (low <= high).all()
        assert (high < boxes[["width", "height"]].to_numpy()).all(), "a box leaves its image"
        for mask in manifest.images["mask"].dropna():
            read_masks(manifest.root, mask)
        manifest.save(root / OUT)
        again = Manifest.load(root / OUT)
        assert again.classes == manifest.classes, "other classes after saving"
        for table in ("images", "boxes"):
            told, kept = (getattr(one, table).astype(object) for one in (manifest, again))
            same = (told.reset_index(drop=True) == kept) | (told.isna() & kept.isna())
            assert same.to_numpy().all(), f"other {table} after saving"

    return read_it


def of_data_set(
    texts: Mapping[str, str], pictures: Mapping[str, bytes], read: Callable[[Path], Manifest]
) -> dict[str, Format]:
    """Its text files damaged, and with other values in their lines."""

    def form(*damages: Damage) -> Format:
        return Format(files_of(texts), reading(read), damages, pictures, tree=True)

    return {"": form(*ANY, *TEXT), " values": form(hostile)}


def own(root: Path) -> Manifest:
    return folder.read(root, classes=root / "classes.txt")


DATA_SETS = {
    "cub": (CUB, CUB_PICTURES, lambda root: cub.read(root, val_per_class=0, seed=0)),
    "tiny imagenet": (
        TINY,
        TINY_PICTURES,
        lambda root: tiny_imagenet.read(root, val_per_class=0, seed=0),
    ),
    "ilsvrc": (ILSVRC, ILSVRC_PICTURES, ilsvrc.read),
    "wsol metadata": (METADATA, METADATA_PICTURES, own),
    "images.csv": (TABLE, TABLE_PICTURES, own),
    "class folders": (CLASS_FOLDERS, CLASS_FOLDERS_PICTURES, own),
}
FORMATS = {
    f"{name}{kind}": form
    for name, parts in DATA_SETS.items()
    for kind, form in of_data_set(*parts).items()
}

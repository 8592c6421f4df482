"""Files of every format that people bring, whole, the ways to damage them, and their readers.

A few are read by tests/data/sources/test_damaged_files.py, many by benchmarks/damaged.py. A reader
raises an `AssertionError` where what it read is wrong although the file holds a checksum.
"""

from damage import annotations, archives, datasets, maps, pictures, studies, tables, weights

GROUPS = {
    "pictures": pictures.FORMATS,
    "params": studies.FORMATS,
    "truth and predictions": tables.FORMATS,
    "maps": maps.FORMATS,
    "annotations": annotations.FORMATS,
    "data sets": datasets.FORMATS,
    "archives": archives.FORMATS,
    "weights": weights.FORMATS,
}
FORMATS = {name: form for forms in GROUPS.values() for name, form in forms.items()}

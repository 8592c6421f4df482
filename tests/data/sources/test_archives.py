"""One rule for all archives: whole, no larger than their size justifies, and plain files inside."""

import gzip
import io
import random
import stat
import tarfile
import zipfile
import zlib

import pytest

from camloc.core.errors import UserError
from camloc.data.sources.archives import LONGEST, SLACK, TIMES, members, most
from camloc.data.sources.download import unpack
from official import write_tar

KINDS = ["a.tar", "a.tgz", "a.zip"]
every_kind = pytest.mark.parametrize("kind", KINDS)
GOOD = {"top/a.txt": b"one", "top/deep/b.txt": b"two"}


def write(path, files):
    """An archive of files (bytes), folders (None) and ready-made members by name."""
    if path.suffix != ".zip":
        write_tar(path.with_suffix(".tar.gz" if path.suffix == ".tgz" else ".tar"), files)
        return path.with_suffix(".tar.gz").rename(path) if path.suffix == ".tgz" else path
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            member = content if isinstance(content, zipfile.ZipInfo) else zipfile.ZipInfo(name)
            member.filename = name if content is not None else f"{name}/"
            content = content if isinstance(content, bytes) else b""
            archive.writestr(member, content, zipfile.ZIP_DEFLATED)
    return path


def refused(archive, message):
    """It is, before anything is written beside it."""
    folder = archive.parent
    before = sorted(folder.rglob("*"))
    with pytest.raises(UserError, match=message):
        unpack([archive], folder / "inner" / "out")
    (folder / "inner").rmdir()
    assert sorted(folder.rglob("*")) == before


@every_kind
@pytest.mark.parametrize(
    "name",
    [
        *("/up.txt", "../up.txt", "a/../../up.txt", "a/../up.txt", ".//../up.txt", "top/.."),
        *("C:up.txt", r"C:\up.txt", r"..\up.txt", r"\up.txt", "//server/share/up.txt"),
    ],
)
def test_name_that_leads_out_is_refused(tmp_path, kind, name):
    made = write(tmp_path / kind, GOOD | {name: b"bad"})
    refused(made, rf"^{made} holds .*, which is no file that belongs there; nothing of it was writ")


@every_kind
def test_folder_outside_is_refused(tmp_path, kind):
    refused(write(tmp_path / kind, GOOD | {"../up": None}), r"holds '\.\./up/?', which is no file")


def special(kind, target=""):
    member = tarfile.TarInfo("top/link")
    member.type, member.linkname = kind, target
    return member


def sparse():
    """A member of 3 GiB in 1 KB, as older GNU tars write it; one that newer ones write is refused
    in test_ilsvrc_official.py."""
    header = bytearray(special(tarfile.GNUTYPE_SPARSE).tobuf(tarfile.GNU_FORMAT))
    header[386:410] = b"%011o\0" % (3 << 30) + b"%011o\0" % 0
    header[483:495] = b"%011o\0" % (3 << 30)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        (tarfile.SYMTYPE, "/etc/passwd"),
        (tarfile.SYMTYPE, "a.txt"),
        (tarfile.LNKTYPE, "top/a.txt"),
        (tarfile.FIFOTYPE, ""),
        (tarfile.CHRTYPE, ""),
        (tarfile.BLKTYPE, ""),
    ],
)
@pytest.mark.parametrize("packed", ["a.tar", "a.tgz"])
def test_link_and_device_in_a_tar_are_refused(tmp_path, packed, kind, target):
    made = write(tmp_path / packed, GOOD | {"top/link": special(kind, target)})
    refused(made, rf"^{made} holds 'top/link', which is no file that belongs there")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_link_and_device_in_a_zip_are_refused(tmp_path, kind):
    member = zipfile.ZipInfo("top/link")
    member.external_attr = (kind | 0o644) << 16
    made = write(tmp_path / "a.zip", GOOD | {"top/link": member})
    refused(made, rf"^{made} holds 'top/link', which is no file that belongs there")


def test_sparse_member_is_refused(tmp_path):
    made = write(tmp_path / "a.tar", GOOD)
    made.write_bytes(sparse() + made.read_bytes())
    refused(made, rf"^{made} holds 'top/link', which is no file that belongs there")


def test_negative_size_is_refused(tmp_path):
    """Which would send a reader back to where it was, without an end."""
    member = tarfile.TarInfo("top/c.txt")
    member.size = -512
    made = write(tmp_path / "a.tar", GOOD)
    made.write_bytes(member.tobuf(tarfile.GNU_FORMAT) + made.read_bytes())
    refused(made, r"is damaged or truncated \('top/c.txt' has -512 bytes\)")


@pytest.mark.parametrize("kind", ["a.tgz", "a.zip"])
def test_archive_that_unpacks_to_more_than_its_size_justifies_is_refused(tmp_path, kind):
    made = write(tmp_path / kind, GOOD | {"zeros": bytes(64 << 20)})
    assert made.stat().st_size < 100_000
    refused(made, r"is damaged or truncated \(it would unpack to more than its size justifies\)")


def test_many_members_that_overlap_are_refused(tmp_path):
    """Each entry of the directory names the same megabyte."""
    made = write(tmp_path / "a.zip", {"a": random.Random(0).randbytes(1 << 20)})
    with zipfile.ZipFile(made, "a") as archive:
        archive.filelist *= 500
        archive._didModify = True
    refused(made, r"it would unpack to more than its size justifies")


def test_declared_size_that_a_zip_does_not_hold_is_refused(tmp_path):
    made = write(tmp_path / "a.zip", GOOD)
    content = made.read_bytes()
    entry = content.index(b"PK\1\2") + 24
    for size in (2, 4, 2**32 - 2):
        made.write_bytes(content[:entry] + size.to_bytes(4, "little") + content[entry + 4 :])
        refused(made, rf"^{made} is damaged or truncated \(")


@pytest.mark.parametrize(
    ("place", "new", "why"),
    [
        (32, b"\xff\xff", "its directory lacks entries"),  # a comment that reaches over the next
        (16, bytes(12), "its directory and 'top/a.txt' differ"),  # an empty file, by its checksum
        (10, bytes(2), "its directory and 'top/a.txt' differ"),  # stored as it is
    ],
)
def test_zip_whose_directory_is_damaged_is_refused(tmp_path, place, new, why):
    """No checksum covers it, and zipfile takes it as it is."""
    made = write(tmp_path / "a.zip", GOOD)
    content = bytearray(made.read_bytes())
    start = content.index(b"PK\1\2") + place
    content[start : start + len(new)] = new
    made.write_bytes(content)
    refused(made, rf"^{made} is damaged or truncated \({why}\)")


def test_zip_that_was_written_to_a_pipe_is_read(tmp_path):
    """Checksums and sizes stand behind each member, and a comment at its end."""

    class Pipe(io.BytesIO):
        def seekable(self):
            return False

    with zipfile.ZipFile(stream := Pipe(), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.comment = b"of no importance"
        for name, content in GOOD.items():
            archive.writestr(name, content)
    (tmp_path / "a.zip").write_bytes(stream.getvalue())
    unpack([tmp_path / "a.zip"], tmp_path / "out")
    assert (tmp_path / "out" / "top" / "a.txt").read_bytes() == b"one"


def test_zip_in_64_bits_is_read(tmp_path, monkeypatch):
    """Tiny ImageNet's has more members than its end can count, which says 65,535 then."""
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, content in GOOD.items():
            with archive.open(name, "w", force_zip64=True) as file:
                file.write(content)
    content = bytearray((tmp_path / "a.zip").read_bytes())
    content[-14:-10] = b"\xff" * 4
    (tmp_path / "a.zip").write_bytes(content)
    unpack([tmp_path / "a.zip"], tmp_path / "out")
    assert (tmp_path / "out" / "top" / "a.txt").read_bytes() == b"one"


def test_header_that_claims_to_be_long_takes_no_memory(tmp_path):
    """A name of 17 MiB: tarfile would read as much as is told."""
    member = tarfile.TarInfo("././@LongLink")
    member.type, member.size = tarfile.GNUTYPE_LONGNAME, LONGEST + 1
    noise = random.Random(0).randbytes(100_000)
    made = tmp_path / "a.tgz"
    made.write_bytes(gzip.compress(member.tobuf(tarfile.GNU_FORMAT) + bytes(member.size) + noise))
    refused(made, rf"is damaged or truncated \(a header claims {LONGEST + 512} bytes\)")


@every_kind
def test_archive_of_zeros_is_refused(tmp_path, kind):
    """As a download leaves it that reserves its space first."""
    made = tmp_path / kind
    for size in (512, 10_240, 1_000_000):
        made.write_bytes(bytes(size))
        refused(made, rf"^{made} (is damaged or truncated|holds no files)")


@every_kind
def test_archive_without_a_file_is_refused(tmp_path, kind):
    refused(write(tmp_path / kind, {"top": None}), rf"^{tmp_path / kind} holds no files; fetch it")


@every_kind
def test_truncated_archive_is_refused_wherever_it_ends(tmp_path, kind):
    content = write(tmp_path / kind, GOOD | {"c": random.Random(0).randbytes(5000)}).read_bytes()
    ends = {*range(0, len(content), 512), *range(0, len(content), 97), len(content) - 1}
    last = len(content) - 1
    if kind == "a.tar":  # behind the last file come zeros, which carry nothing, up to a record
        with tarfile.open(tmp_path / kind) as archive:
            last = archive.getmembers()[-1].offset_data + 5120
    for end in sorted(ends):
        if end <= last:
            (tmp_path / kind).write_bytes(content[:end])
            refused(tmp_path / kind, rf"^{tmp_path / kind} is damaged or truncated \(")


def test_what_gzip_sums_up_is_held_against_what_was_read(tmp_path):
    made = write(tmp_path / "a.tgz", GOOD)
    whole = gzip.decompress(made.read_bytes())
    packed = zlib.compressobj(wbits=31)
    content = bytearray(packed.compress(whole) + packed.flush())
    content[-8] ^= 1
    made.write_bytes(content)
    refused(made, rf"^{made} is damaged or truncated \(CRC check failed")


@every_kind
def test_folders_and_what_macos_adds_are_passed_over(tmp_path, kind):
    """As real archives hold them, also before their first file, and one with names from ./."""
    files = {"._top": b"x", "./": None, "./top": None} | GOOD
    files |= {"__MACOSX/top/._a.txt": b"x", "./top/c.txt": b"three", "n" * 120 + "/é.txt": b"four"}
    unpack([write(tmp_path / kind, files)], tmp_path / "out")
    found = {p.relative_to(tmp_path / "out").as_posix(): p for p in (tmp_path / "out").rglob("*")}
    assert {name: path.read_bytes() for name, path in found.items() if path.is_file()} == {
        **GOOD,
        "top/c.txt": b"three",
        "n" * 120 + "/é.txt": b"four",
    }


@every_kind
def test_last_of_several_files_of_one_name_counts(tmp_path, kind):
    made = write(tmp_path / kind, GOOD | {"./top/a.txt": b"new"})
    unpack([made], tmp_path / "out")
    assert (tmp_path / "out" / "top" / "a.txt").read_bytes() == b"new"


def test_archive_of_annotations_is_far_from_the_bound(tmp_path):
    """ILSVRC's are tars of small files that are much alike, so they shrink more than others do."""
    xml = "<annotation>" + "<object><name>n{}</name><xmin>{}</xmin></object>\n" * 20
    rng = random.Random(0)
    numbers = [[rng.randrange(10**8) for _ in range(40)] for _ in range(2000)]
    files = {f"val/{i:08}.xml": xml.format(*own).encode() for i, own in enumerate(numbers)}
    path = write(tmp_path / "a.tgz", files)
    size = path.stat().st_size
    assert sum(1 for _ in members(path)) == 2000
    assert len(gzip.decompress(path.read_bytes())) < most(size) / 5
    assert most(size) == SLACK + TIMES * size


def test_archives_memory_does_not_grow_with_its_members(tmp_path):
    """Members that were read are forgotten."""
    path = write(tmp_path / "a.tar", {f"{i}": b"" for i in range(200)})
    found = iter(members(path))
    first = next(found)
    assert sum(1 for _ in found) == 199
    assert first.opened.func.__self__.members == []


def test_inner_archive_is_read_by_the_same_rule(tmp_path):
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w:gz") as archive:
        member = tarfile.TarInfo("zeros")
        member.size = 64 << 20
        archive.addfile(member, io.BytesIO(bytes(member.size)))
    write(tmp_path / "a.tar", {"inner.tar.gz": inner.getvalue()})
    outer = next(found := members(tmp_path / "a.tar"))
    with pytest.raises(UserError, match=r"a.tar: inner.tar.gz is damaged or truncated \(it would"):
        list(members(outer.place, outer.file))
    found.close()

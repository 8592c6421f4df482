"""Annotations in PASCAL VOC's XML."""

from pathlib import Path
from random import Random

from battery import Format
from camloc.data.sources import ilsvrc
from damage.anyhow import ANY
from damage.texts import NUMBERS, SHORT_WORDS, TEXT
from made import annotation
from official import TENCH

XML_CODINGS = (
    "utf-16 utf-32 latin-1 shift_jis cp037 unknown rot13 hex idna punycode undefined utf-7"
)
XML_CODINGS += " mbcs unicode_escape base64 é"
TAGS = [
    "annotation",
    "object",
    "name",
    "bndbox",
    "xmin",
    "ymin",
    "xmax",
    "ymax",
    "size",
    "width",
    "part",
    "a:b",
    "ü",
]


def xml_start(rng: Random, content: bytes, other: bytes) -> bytes:
    """Encodings that Python knows or not, entities that grow, and entities from elsewhere."""
    coding = rng.choice(XML_CODINGS.split())
    start = f'<?xml version="{rng.choice(("1.0", "1.1", "9"))}" encoding="{coding}"?>'.encode()
    doubling = "".join(f'<!ENTITY a{i + 1} "{f"&a{i};" * 9}">' for i in range(12))
    kinds = [f'<!ENTITY a0 "aaaa">{doubling}', '<!ENTITY a12 SYSTEM "file:///etc/hostname">']
    entities = f"<!DOCTYPE annotation [{rng.choice(kinds)}]>".encode()
    elsewhere = b"<!DOCTYPE annotation SYSTEM 'http://127.0.0.1:9/a.dtd'>"
    told = content.replace(b"</name>", b"&a12;</name>")
    return rng.choice([start + content, start + content, entities + told, elsewhere + content])


def xml_nested(rng: Random, content: bytes, other: bytes) -> bytes:
    tag, depth = rng.choice((b"object", b"bndbox", b"a")), rng.choice((900, 100_000))
    deep = b"<%s>" % tag * depth + b"</%s>" % tag * depth * rng.choice((0, 1))
    many = b"<a %s/>" % b" ".join(b"a%d='1'" % i for i in range(50_000))
    new = rng.choice((deep, many, b"<![CDATA[", b"<!--"))
    return content.replace(b"<object>", new + b"<object>")


def xmls() -> dict[str, bytes]:
    boxes = (TENCH, 1, 2, 30, 39), (TENCH, 0, 0, 49, 5)
    text = annotation(TENCH, *boxes)
    return {"a.xml": text.encode(), "b.xml": f'<?xml version="1.0"?>\n{text}'.encode()}


def read_xml(path: Path) -> None:
    boxes = ilsvrc.annotation(path.read_bytes(), str(path), TENCH, "correct it")
    assert boxes and all(len(box) == 4 for box in boxes)


def xml_tree(rng: Random, content: bytes, other: bytes) -> bytes:
    """Elements of the known names in their order, here and there with something else in them."""
    share = rng.choice((0.01, 0.05, 0.3))

    def text(tag: str) -> bytes:
        if rng.random() < share:
            return rng.choice(rng.choice((NUMBERS, SHORT_WORDS)))
        own = b"%d" % (rng.randint(0, 20) if "min" in tag else rng.randint(20, 40))
        return TENCH.encode() if tag == "name" else own

    def element(tag: str, depth: int) -> bytes:
        inner = INSIDE.get(tag, ())
        if rng.random() < share:
            inner = rng.choice((rng.choices(TAGS, k=rng.randrange(4)), inner * 2, inner[1:]))
        within = b"".join(element(name, depth + 1) for name in inner if depth < 9) or text(tag)
        told, mark = (rng.choice(one) if rng.random() < share else b"" for one in (TOLD, MARKS))
        return b"<%b%b>%b%b</%b>" % (tag.encode(), told, mark, within, tag.encode())

    return element("annotation", 0)


TOLD = (b' xmlns="x"', b' xml:lang="en"', b' a="1" a="2"', b' xmlns:a="y"', b" /")
MARKS = (b"<!-- x -->", b"<?x y?>", b"<![CDATA[5]]>", b"&#53;", b"&#0;", b"&lt;", b"\xef\xbb\xbf")
INSIDE = {
    "annotation": ("size", "object", "object"),
    "object": ("name", "bndbox"),
    "bndbox": ("xmin", "ymin", "xmax", "ymax"),
    "size": ("width",),
    "part": ("name", "bndbox"),
}
FORMATS = {
    "xml": Format(xmls, read_xml, (*ANY, *TEXT, xml_start, xml_nested)),
    "xml tree": Format(xmls, read_xml, (xml_tree,)),
}

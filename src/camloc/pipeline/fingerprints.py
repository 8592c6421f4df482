"""What decides a stage's result, in one small file a stage: DVC runs a stage again if it changes.

A file holds the stage's parameters, a digest of each module that computes for it, of the cells of
its notebook that do and of a file of weights that the parameters name, and the versions of the
libraries that these use. Left out is what decides no result: comments, docstrings, texts of errors,
what is printed, prose, figures, and the section `machine` of params.yaml. Written by the stage
`prepare`, which always runs.
"""

import ast
import hashlib
import json
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from camloc.core.errors import UserError, refusing
from camloc.core.files import replacing, sha256_of
from camloc.core.params import Params
from camloc.core.paths import FINGERPRINTS
from camloc.pipeline import parameters

FORMAT = 1  # of the files
COMPUTE = "compute"  # tag of the cells that compute

# Modules of the package that check, fetch, tell, start and place, but compute nothing. The values
# of parameters stand in the fingerprints, so the module that reads them is left out, too.
_PLUMBING = (
    "cli",
    "core.download",
    "core.errors",
    "core.params",
    "core.paths",
    "core.progress",
    "core.signals",
    "core.surroundings",
    "core.trees",
    "pipeline.fingerprints",
    "pipeline.launch",
    "pipeline.parameters",
    "pipeline.runs",
)
# Libraries of which another version may give other figures, by the name that is imported: they
# compute (torch and torchvision networks and crops, OpenCV and Numba maps and boxes, captum and
# grad-cam maps of other methods), decode pictures (Pillow) or draw random numbers (NumPy). pandas
# and PyArrow only keep what these give.
_LIBRARIES = {
    "PIL": "pillow",
    "captum": "captum",
    "cv2": "opencv-python-headless",
    "numba": "numba",
    "numpy": "numpy",
    "pytorch_grad_cam": "grad-cam",
    "timm": "timm",
    "torch": "torch",
    "torchvision": "torchvision",
}
# Calls whose texts tell people something and decide nothing.
_TELLING = {"print", "say", "refuse", "refusing", "Stopped", "UserError"}


class Stage(NamedTuple):
    """Where a stage's code begins: its module, and the notebook that it is run by.

    All code cells of a notebook count where `figures` are what the stage makes, and the text of all
    notebooks where it shows their `prose`.
    """

    module: str
    given: type[parameters.StageParameters] | None = None
    notebook: str | None = None
    figures: bool = False
    prose: bool = False


STAGES = {
    "data": Stage("pipeline.stages.data", parameters.DataParameters, "00_data"),
    "copies": Stage("data.copies", parameters.CopiesParameters),
    "surgery": Stage("pipeline.stages.surgery", parameters.SurgeryParameters, "01_surgery"),
    "train": Stage("pipeline.stages.train", parameters.TrainParameters, "02_finetune"),
    "maps": Stage("pipeline.stages.maps", parameters.MapsParameters, "03_cams"),
    "evaluate": Stage("pipeline.stages.evaluate", parameters.EvaluateParameters, "04_evaluate"),
    "report": Stage(
        "pipeline.stages.report", parameters.ReportParameters, "05_report", figures=True
    ),
    "render": Stage("report.pages", prose=True),
}


def of_notebook(notebook: str) -> Stage:
    """The stage that a notebook is of, such as `02_finetune`."""
    return next(stage for stage in STAGES.values() if stage.notebook == notebook)


def changed(root: Path, params: Params) -> list[str]:
    """The stages whose fingerprint is no longer what was written, and those that are new or gone.

    A damaged one counts as changed.

    Raises:
        UserError: a fingerprint was written by a newer version of camloc.
    """
    folder, now = root / FINGERPRINTS, dict(fingerprints(root, params))
    before = {
        path.relative_to(folder).with_suffix("").as_posix(): _read(path)
        for path in folder.rglob("*.json")
    }
    return sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))


def write(root: Path, params: Params) -> None:
    """Write the fingerprints of a study's stages."""
    with replacing(root / FINGERPRINTS) as folder:
        for name, content in fingerprints(root, params):
            path = folder / f"{name}.json"
            path.parent.mkdir(exist_ok=True)
            path.write_text(as_text(content), encoding="utf-8")


def as_text(content: dict) -> str:
    """What the file of a fingerprint holds."""
    return json.dumps(content, indent=1, sort_keys=True) + "\n"


def _read(path: Path) -> dict | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        written = int(content["format"])
    except (ValueError, TypeError, KeyError):
        return None
    if written > FORMAT:
        raise UserError(
            f"{path} was written by a newer version of camloc (format {written}, this one knows "
            f"{FORMAT}); take that version, or delete the folder {path.parent}"
        )
    return content


def fingerprints(root: Path, params: Params) -> Iterator[tuple[str, dict]]:
    """Name and content of each fingerprint of a study: `data`, `train/googlenet-gap`, …"""
    code = {name: of_code(stage, root) for name, stage in STAGES.items()}
    for name, given in _every(params):
        content = code[name.partition("/")[0]] | {"given": given and given.deciding()}
        file = given and given.weights_file()
        if file and (root / file).is_file():  # of one that is not, the stage itself tells
            content["weights"] = sha256_of(root / file)
        yield name, content


def given_of(params: Params) -> dict[str, dict | None]:
    """What params.yaml gives each stage that decides its result, by the name of its fingerprint."""
    return {name: given and given.deciding() for name, given in _every(params)}


def _every(params: Params) -> Iterator[tuple[str, parameters.StageParameters | None]]:
    """The parameters of each stage, by the name of its fingerprint."""
    every = [*params.networks]
    networks = {"surgery": [*params.models], "train": every, "maps": every, "evaluate": every}
    for name, stage in STAGES.items():
        for network in networks.get(name, [None]):
            given = stage.given and stage.given.of(params, network)
            yield f"{name}/{network}" if network else name, given


def of_code(stage: Stage, root: Path) -> dict:
    """The part of a stage's fingerprint that does not depend on params.yaml.

    Args:
        root: of the repository, whose notebooks and `src/camloc` are read, not imported.
    """
    package, begin, cells = root / "src" / "camloc", [stage.module], None
    if stage.notebook:
        tree = compute_cells(root / "notebooks" / f"{stage.notebook}.ipynb", stage.figures)
        cells = digest(ast.Module([line for line in tree.body if not _is_import(line)], []))
        if stage.figures:
            begin += imported(tree, package)
    if stage.prose:
        notebooks = sorted((root / "notebooks").glob("*.ipynb"))
        cells = _short([_sources(path, "markdown") for path in notebooks])
    code = closure(begin, package)
    libraries = sorted({name for found in code.values() for name in found.libraries})
    return {
        "format": FORMAT,
        "code": {module: found.digest for module, found in code.items()},
        "notebook": cells,
        "versions": {name: version(_LIBRARIES[name]) for name in libraries},
    }


def compute_cells(path: Path, every: bool) -> ast.Module:
    """The code of a notebook's cells that compute, or of every one, as one tree."""
    with refusing(f"{path} is no notebook of Python cells", "correct it"):
        return ast.parse("\n".join(_sources(path, "code", None if every else COMPUTE)))


def _sources(path: Path, kind: str, tag: str | None = None) -> list[str]:
    """The cells of a notebook of one kind and tag; by hand, since nbformat takes long to load."""
    with refusing(f"{path} is no notebook", "correct it"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        chosen = [c for c in cells if tag is None or tag in c["metadata"].get("tags", [])]
        return ["".join(c["source"]) for c in chosen if c["cell_type"] == kind]


class Code(NamedTuple):
    """Of a module's source: its digest, the modules of the package and the libraries it imports."""

    digest: str
    imports: list[str]
    libraries: set[str]


def closure(modules: list[str], package: Path) -> dict[str, Code]:
    """These modules and all of the package that they import, but for the plumbing, by name.

    The package's own `__init__` is among them: it sets what OpenCV rounds by.
    """
    found: dict[str, Code] = {}
    waiting = ["__init__", *modules]
    while waiting:
        module = waiting.pop()
        if module not in found and module not in _PLUMBING:
            found[module] = _code_of(package / Path(*module.split(".")).with_suffix(".py"), package)
            waiting += found[module].imports
    return dict(sorted(found.items()))


@cache
def _code_of(path: Path, package: Path) -> Code:
    with refusing(f"{path} is no Python module", "correct it"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {name.partition(".")[0] for name in _imported_names(tree)}
    return Code(digest(tree), imported(tree, package), names & _LIBRARIES.keys())


def imported(tree: ast.AST, package: Path) -> list[str]:
    """The modules of the package that code imports, at its top or in a function, by their names
    below `camloc`."""
    names = [name.split(".")[1:] for name in _imported_names(tree) if name.startswith("camloc.")]
    there = [name for name in names if package.joinpath(*name).with_suffix(".py").is_file()]
    return [".".join(name) for name in there]


def _imported_names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _is_import(node: ast.AST) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom)


def digest(tree: ast.AST) -> str:
    """A short SHA-256 of what code does, the same under every version of Python."""
    return _short(_plain(tree))


def _short(tree: object) -> str:
    return hashlib.sha256(json.dumps(tree).encode()).hexdigest()[:16]


def _plain(node: object, words: bool = True) -> object:
    """Syntax as lists and texts, without what decides no result and without empty fields, which
    versions of Python add."""
    if isinstance(node, list):
        return [_plain(part, words) for part in node if not _decides_nothing(part)]
    if not isinstance(node, ast.AST):
        return repr(node)
    if not words and _is_text(node):
        return "words"
    if isinstance(node, ast.Call) and getattr(node.func, "id", None) in _TELLING:
        words = False
    fields = [(name, value) for name, value in ast.iter_fields(node) if value not in (None, [])]
    return [type(node).__name__, *([name, _plain(value, words)] for name, value in fields)]


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def _decides_nothing(node: object) -> bool:
    """Docstrings, and lines that only print or log."""
    if not isinstance(node, ast.Expr):
        return False
    if not isinstance(node.value, ast.Call):
        return _is_text(node.value)
    called = node.value.func  # a function, or a method of the log
    name = getattr(called, "value", called) if isinstance(called, ast.Attribute) else called
    return getattr(name, "id", None) in ("print", "say", "log")

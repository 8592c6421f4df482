"""Mutation testing: would the tests notice a mistake in the modules that make the study's numbers?

Run with `python benchmarks/mutants.py`, or with the names of some modules (`boxes/paper.py`). It
changes one thing at a time, runs that module's tests, and tells which changes none of them noticed;
`mutants.md` beside this file has why those are left so.

Not changed: docstrings, annotations, decorators, imports, what is raised, texts with a blank in
them, which are prose, and zip's `strict`. mutmut leaves out all that is decorated, which Numba's
functions and properties are, and data such as the claims; other libraries start a process for each
mutant, which takes as long as importing torch does. Here each is a fork that has it.
"""

import argparse
import ast
import gc
import itertools
import math
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from tempfile import TemporaryDirectory
from types import CodeType

import cv2
import pytest

ROOT = Path(__file__).parents[1]
TESTS = {  # of each module, by their names
    "boxes/authors.py": ["boxes/test_authors"],
    "boxes/geometry.py": ["boxes/test_geometry"],
    "boxes/heuristic.py": ["boxes/test_rule"],
    "boxes/paper.py": ["boxes/test_paper_boxes"],
    "boxes/predictions.py": ["boxes/test_predictions"],
    "boxes/rule.py": ["boxes/test_rule"],
    "evaluation/component_tree.py": ["evaluation/test_component_tree"],
    "evaluation/errors.py": ["evaluation/test_image_errors"],
    "evaluation/estimates.py": ["evaluation/test_estimates"],
    "evaluation/thresholds.py": ["evaluation/test_thresholds"],
    "evaluation/wsol.py": ["evaluation/test_wsol", "evaluation/test_thresholds"],
    "exchange/score.py": ["exchange/test_score_maps", "exchange/test_formats"],
    "maps/cam.py": ["maps/test_cam"],
    "networks/pooling.py": ["networks/test_pooling"],
    "networks/surgery.py": ["networks/test_surgery"],
    "report/claims.py": ["report/test_claims"],
}
SLOW = ["damaged", "damage", "score_agrees", "network_file", "declaration", "loads", "loaded"]
SLOW += ["refused_with_the_shapes", "near_matches"]  # words of tests that tell little more
PLUGINS = ["nbval", "cacheprovider", "unraisableexception"]  # that do nothing here but take time
OPTIONS = ["-qx", "-o", "addopts=", *(f"-pno:{plugin}" for plugin in PLUGINS)]
OPTIONS += ["-k", " and ".join(f"not {word}" for word in SLOW)]
MEMORY, LONGEST = 12 << 30, 900  # bytes that a mutant may ask for, and seconds that it may wait
EITHER_WAY = [
    *[(ast.Add, ast.Sub), (ast.Mult, ast.Div), (ast.BitAnd, ast.BitOr), (ast.And, ast.Or)],
    *[(ast.Lt, ast.LtE), (ast.Gt, ast.GtE), (ast.Eq, ast.NotEq), (ast.In, ast.NotIn)],
    *[(ast.Is, ast.IsNot), (ast.Break, ast.Continue), ("min", "max"), ("any", "all")],
    *[("minimum", "maximum"), ("argmin", "argmax")],
]
SWAPS = {ast.FloorDiv: ast.Div, ast.Mod: ast.Mult, ast.Pow: ast.Mult} | dict(
    [*EITHER_WAY, *(pair[::-1] for pair in EITHER_WAY)]
)


def places(node: ast.AST) -> Iterator[tuple[ast.AST, str, int | None]]:
    """Where the nodes that may be changed hang: their parent, its field, and the place in it."""
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list"):
            continue
        for i, child in enumerate(value if isinstance(value, list) else [value]):
            docstring = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
            strict = isinstance(child, ast.keyword) and child.arg == "strict"
            if not isinstance(child, ast.AST) or docstring or strict:
                continue
            if not isinstance(child, ast.Raise | ast.Import | ast.ImportFrom):
                yield node, field, i if isinstance(value, list) else None
                yield from places(child)


def changes(node: ast.AST, parent: ast.AST, field: str) -> Iterator[ast.AST | None]:
    """What a node may be changed to, None to be left out."""
    if type(node) in SWAPS:
        yield SWAPS[type(node)]()
    match node:
        case ast.Constant(bool()):
            yield ast.Constant(not node.value)
        case ast.Constant(int() | float()):
            yield ast.Constant(node.value + 1)
        case ast.Constant(str()) if " " not in node.value:
            yield ast.Constant(f"X{node.value}")
        case ast.UnaryOp():
            yield node.operand
        case ast.AugAssign():
            yield ast.Assign([node.target], node.value)
        case ast.Expr(ast.Call()):
            yield ast.Pass()
        case ast.Name(name) if name in SWAPS:
            yield ast.Name(SWAPS[name], node.ctx)
        case ast.Attribute(attr=name) if name in SWAPS:
            yield ast.Attribute(node.value, SWAPS[name], node.ctx)
        case ast.keyword(arg=str()) if not isinstance(node.value, ast.Constant | ast.UnaryOp):
            yield None
        case ast.Slice():
            yield from [ast.Slice(None, node.upper, node.step)] if node.lower else []
            yield from [ast.Slice(node.lower, None, node.step)] if node.upper else []
    asked = field in ("test", "ifs") and not isinstance(parent, ast.Assert)
    if asked and not isinstance(node, ast.Compare | ast.BoolOp | ast.UnaryOp):
        yield ast.UnaryOp(ast.Not(), node)


def mutants(path: Path) -> Iterator[tuple[str, CodeType]]:
    """Every mutant of a module: what was changed where, and its code."""
    text = path.read_text(encoding="utf-8")
    tree, lines = ast.parse(text), text.splitlines()
    for parent, field, i in list(places(tree)):
        held = getattr(parent, field)
        node = held if i is None else held[i]
        for new in changes(node, parent, field):
            several = [] if i is None else [*held[:i], *([new] if new else []), *held[i + 1 :]]
            setattr(parent, field, new if i is None else several)
            code = compile(ast.fix_missing_locations(tree), path, "exec")
            setattr(parent, field, held)
            line = getattr(node, "lineno", getattr(parent, "lineno", 0))
            yield f"{line}: {told(node)} → {told(new)}   in {lines[line - 1].strip()}", code


def told(node: ast.AST | None) -> str:
    """A node in a few words."""
    if node is None:
        return "nothing"
    return ast.unparse(node)[:60] or type(node).__name__


def run_tests(module: str) -> int:
    return pytest.main([*OPTIONS, *(str(ROOT / f"tests/{name}.py") for name in TESTS[module])])


def outcome(module: str, code: CodeType, limit: int) -> tuple[bool, float]:
    """Whether a module's tests pass on other code within so many seconds of processor time, and how
    many they took."""
    child = os.fork()
    if not child:
        status = 1
        try:
            signal.alarm(LONGEST)
            resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
            resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
            for stream in (1, 2):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
            name, get_code = module.removesuffix(".py").replace("/", "."), SourceFileLoader.get_code
            SourceFileLoader.get_code = lambda loader, wanted: (
                code if wanted == f"camloc.{name}" else get_code(loader, wanted)
            )
            status = run_tests(module)
        finally:
            os._exit(status)
    _, status, used = os.wait4(child, 0)
    return status == 0, used.ru_utime + used.ru_stime


def warm(module: str) -> None:
    """Run a module's tests, so that all they need is imported, and forget what is the project's."""
    run_tests(module)
    own = tuple(f"{ROOT / part}{os.sep}" for part in ("src", "tests"))
    for name, loaded in list(sys.modules.items()):
        if (getattr(loaded, "__file__", None) or "").startswith(own):
            del sys.modules[name]
    gc.collect()
    gc.freeze()  # so that no fork looks through all of torch again


def measured(module: str, every: int) -> tuple[str, int, int, int, float]:
    """A row of the table; survivors are told on the way."""
    path, start = ROOT / "src/camloc" / module, time.monotonic()
    warm(module)
    good, seconds = outcome(module, compile(path.read_bytes(), path, "exec"), LONGEST)
    if not good:
        raise SystemExit(f"the tests of {module} do not pass as it is")
    made = survived = 0
    for what, code in itertools.islice(mutants(path), 0, None, every):
        made += 1
        if outcome(module, code, math.ceil(2 + 3 * seconds))[0]:
            survived += 1
            print(f"{module}:{what}", flush=True)
    return module, made, made - survived, survived, time.monotonic() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", default=list(TESTS), help="of src/camloc")
    parser.add_argument("--every", type=int, default=1, help="one of so many mutants, to be quick")
    options = parser.parse_args()
    cv2.setNumThreads(1)  # threads do not live on in a fork
    with TemporaryDirectory() as cache:  # nothing that is compiled now is found again
        os.environ |= {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1", "NUMBA_CACHE_DIR": cache}
        table = [measured(module, options.every) for module in options.modules]
    table.append(("all", *(sum(column) for column in list(zip(*table, strict=True))[1:])))
    print(f"\n{'module':30} mutants  killed  survived  killed, %  seconds")
    for module, made, killed, survived, spent in table:
        share = 100 * killed / made
        print(f"{module:30} {made:7} {killed:7} {survived:9} {share:10.1f} {spent:8.0f}")


if __name__ == "__main__":
    main()

"""What people bring is read, never run: no pickle but tensors, no archive but by the one reader."""

import ast

import pytest

from clone import ROOT

PACKAGE = ROOT / "src" / "camloc"
# Modules that unpickle, or that load such a file for one.
PICKLES = {"pickle", "_pickle", "shelve", "marshal", "joblib", "dill", "cloudpickle", "copyreg"}
# Functions that run or unpickle what a file holds, whatever they are told, or write where it says.
BUILTINS = {"eval", "exec"}  # of methods, networks have an `eval`
FORBIDDEN = BUILTINS | {"read_pickle", "load_state_dict_from_url", "extractall", "extract"}
FORBIDDEN |= {"unpack_archive", "unsafe_load", "full_load"}
FORBIDDEN |= {"torch.hub.load", "hub.load", "torch.jit.load", "jit.load", "torch.export.load"}


def offences(code: str) -> list[str]:
    """What in a module's code could run what a file holds."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            of, names = getattr(node, "module", None) or "", [alias.name for alias in node.names]
            roots = {name.partition(".")[0] for name in (of, *names)}
            if roots & PICKLES or (of in ("torch", "numpy") and "load" in names):
                found.append(f"imports {', '.join(names)} {of and f'from {of}'}")
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            last = name.rpartition(".")[2]
            if name in FORBIDDEN or (last in FORBIDDEN - BUILTINS):
                found.append(name)
            told = {word.arg: ast.unparse(word.value) for word in node.keywords}
            if name == "torch.load" and told.get("weights_only") != "True":
                found.append(f"{name} of more than weights")
            # By itself NumPy does not; its third argument is the same.
            if told.get("allow_pickle", "False") != "False" or (
                name == "np.load" and node.args[2:]
            ):
                found.append(f"{name} of pickles")
    return found


def test_package_unpickles_nothing_but_tensors():
    found = {
        str(path.relative_to(PACKAGE)): wrong
        for path in PACKAGE.rglob("*.py")
        if (wrong := offences(path.read_text(encoding="utf-8")))
    }
    assert found == {}


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from pickle import loads",
        "import joblib.numpy_pickle",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=flag)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=flag)",
        "np.load(path, 'r', True)",
        "from torch import load",
        "pd.read_pickle(path)",
        "archive.extractall(folder)",
        "shutil.unpack_archive(path)",
        "eval(text)",
        "torch.hub.load(name)",
    ],
)
def test_offence_is_found(code):
    assert offences(code)


@pytest.mark.parametrize(
    "code",
    [
        "network.eval()",
        "torch.load(path, map_location='cpu', weights_only=True)",
        "np.load(path, mmap_mode='r', allow_pickle=False)",
        "np.load(path)",
        "params.load(path)",
    ],
)
def test_what_runs_nothing_is_none(code):
    assert not offences(code)

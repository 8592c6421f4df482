"""Network files: weights with the declaration that rebuilds their network."""

import json
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from camloc.core.errors import UserError, reason, refusing
from camloc.core.files import replacing_file
from camloc.core.params import Preprocessing
from camloc.networks import backbones
from camloc.networks.pretrained import digest, read_safetensors
from camloc.networks.surgery import CamNetwork, build, uncut

_ORIGINAL = ("backbone", "width", "dropout", "gap")  # what is declared of a whole network
SMALLEST = 100_000  # values that any network has at a width of 1
_AGAIN = "delete it and run the stages again"


def save(network: nn.Module, path: Path, about: dict) -> None:
    """Write weights together with the declaration that rebuilds their network, and their SHA-256.

    Args:
        about: `original` (backbone, width, dropout and gap), `surgery` (the arguments of `build`
            that declare it, None for a whole network), `wnids`, the classes in the order of the
            logits, and `preprocessing`, what the network wants of pictures.

    Raises:
        UserError: the file cannot be written; an earlier one stays.
    """
    # channels-last weights are not contiguous, which the format wants
    state = {key: value.contiguous() for key, value in network.state_dict().items()}
    told = about | {"sha256": digest(state, json.dumps(about))}
    try:
        with replacing_file(path) as new:
            # One entry: the format writes several in any order, and equal networks are equal files.
            save_file(state, new, metadata={"camloc": json.dumps(told)})
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"{path} cannot be written ({reason(error)}); make room and run again"
        ) from None


def load(path: Path) -> tuple[nn.Module, dict]:
    """The network of a file written by `save`, in evaluation mode, and what it says of itself.

    Raises:
        UserError: the file is missing, damaged or was not written by `save`.
    """
    if not path.is_file():
        raise UserError(f"network file {path} is missing; run the stages before this one first")
    with refusing(f"network file {path} is broken", _AGAIN):
        state, metadata = read_safetensors(path)
    if "camloc" not in metadata:
        raise UserError(f"network file {path} was not written by camloc; {_AGAIN}")
    with refusing(f"network file {path} is broken", _AGAIN):
        about = json.loads(metadata["camloc"])
        whole = about.pop("sha256", None) == digest(state, json.dumps(about))
    if not whole:
        raise UserError(
            f"network file {path} is damaged, or an earlier version of camloc wrote it: its "
            f"SHA-256 is not that of its tensors and declaration; {_AGAIN}"
        )
    return _rebuilt(path, state, about), about


def _rebuilt(path: Path, state: dict[str, Tensor], about: dict) -> nn.Module:
    try:
        original = {key: about["original"][key] for key in _ORIGINAL}
        _check_size(state, original, about["surgery"])
        network = from_declaration(original, about["surgery"], len(about["wnids"]))
        backbones.load_state(network, state)
    except Exception as error:  # a missing key, or a UserError, which names no file
        raise UserError(
            f"network file {path} holds another network than it declares ({reason(error)}); "
            f"{_AGAIN}"
        ) from None
    return network.eval()


def _check_size(state: dict[str, Tensor], original: dict, surgery: dict | None) -> None:
    """Refuse, before anything is built, a network that is declared so wide that it would have more
    values than the file has: it may be more than memory."""
    values = sum(value.numel() for value in state.values())
    units = max((surgery or {}).get("convs", []), default=0)
    if values < (original["width"] > 1) * SMALLEST * original["width"] ** 2 or values < units:
        raise ValueError(f"it has {values:,} values alone")


def from_declaration(original: dict, surgery: dict | None, num_classes: int) -> nn.Module:
    """A network as params.yaml declares it, with random weights."""
    backbone, width = original["backbone"], original["width"]
    if surgery is None:
        return backbones.whole(backbone, num_classes, width=width, dropout=original["dropout"])
    return build(backbone, **surgery, width=width, num_classes=num_classes)


def preprocessing(about: dict) -> Preprocessing:
    """What a network wants of pictures by what its file says, ImageNet's where it says nothing."""
    return Preprocessing(**about.get("preprocessing", {}))


def with_cams(network: nn.Module, about: dict) -> CamNetwork | None:
    """The network as one that has CAMs; None for one that does not end in global pooling."""
    if isinstance(network, CamNetwork):
        return network
    node = about["original"]["gap"]
    return uncut(network, node).eval() if node else None

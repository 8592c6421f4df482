"""torchvision without torch's compiler, which takes longer to load than torch."""

import subprocess
import sys

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

"""The paper's figures: Zhou et al. (2016), tables 1 to 3, errors in percent on ILSVRC 2012.

Keys are the rows of `reports/metrics.json`; values are top-1 and top-5 error.
"""

TABLE_1 = {
    "vgg16-gap": (33.4, 12.2),
    "googlenet-gap": (35.0, 13.2),
    "alexnet2-gap": (44.9, 20.9),
    "alexnet-gap": (51.1, 26.3),
    "googlenet": (31.9, 11.3),
    "vgg16": (31.2, 11.4),
    "alexnet": (42.6, 19.5),
    "nin": (41.9, 19.6),
    "googlenet-gmp": (35.6, 13.9),
}
TABLE_2 = {
    "googlenet-gap": (56.40, 43.00),
    "vgg16-gap": (57.20, 45.14),
    "googlenet": (60.09, 49.34),
    "alexnet2-gap": (63.75, 49.53),
    "alexnet-gap": (67.19, 52.16),
    "nin": (65.47, 54.19),
    "backprop-googlenet": (61.31, 50.55),
    "backprop-vgg16": (61.12, 51.46),
    "backprop-alexnet": (65.17, 52.64),
    "googlenet-gmp": (57.78, 45.26),
}
# Row of the paper, supervision, top-5 error on the test set, and our row beside it. The paper's
# Backprop is Simonyan et al.'s own network, an eight-layer one: AlexNet is the nearest here.
TABLE_3 = [
    ("GoogLeNet-GAP (heuristics)", "weak", 37.1, "heuristics-googlenet-gap"),
    ("GoogLeNet-GAP", "weak", 42.9, "googlenet-gap"),
    ("Backprop", "weak", 46.4, "backprop-alexnet"),
    ("GoogLeNet", "full", 26.7, None),
    ("OverFeat", "full", 29.9, None),
    ("AlexNet", "full", 34.2, None),
]
# What has come since: localization accuracies in percent on ILSVRC's val split that papers state,
# top-1, top-5 and GT-known, and the source. TriLite's are by how much it says to be above GenPromp.
RECORDS = [
    ("CAM on InceptionV3", 46.3, 58.2, 62.7, "as later papers have it, GenPromp among them"),
    ("BAS", 58.5, 69.0, 71.9, "Wu et al., CVPR 2022, arXiv:2112.00580"),
    ("SAT", 60.2, 70.5, 73.1, "Wu et al., ICCV 2023, arXiv:2303.10438"),
    ("GenPromp", 65.2, 73.4, 75.0, "Zhao et al., ICCV 2023, arXiv:2307.09756"),
    ("Pro2SAM", 66.85, None, None, "Yang et al., ECCV 2024, arXiv:2505.04905"),
    ("TriLite", 65.5, 75.6, 77.9, "Sabaghi and Oramas, CVPR 2026, arXiv:2602.23120"),
]
TITLES = {
    "alexnet": "AlexNet",
    "vgg16": "VGGnet",
    "googlenet": "GoogLeNet",
    "nin": "NIN",
    "alexnet-gap": "AlexNet-GAP",
    "alexnet2-gap": "AlexNet*-GAP",
    "vgg16-gap": "VGGnet-GAP",
    "googlenet-gap": "GoogLeNet-GAP",
    "googlenet-gmp": "GoogLeNet-GMP",
    "backprop-alexnet": "Backprop on AlexNet",
    "backprop-vgg16": "Backprop on VGGnet",
    "backprop-googlenet": "Backprop on GoogLeNet",
    "whole-image": "Whole-image box",
    "centre-box": "Centre box",
    "centre-gaussian": "Centre Gaussian",
    "heuristics-googlenet-gap": "GoogLeNet-GAP, heuristics",
    "alexnet-control": "AlexNet, control",
    "vgg16-control": "VGGnet, control",
    "googlenet-control": "GoogLeNet, control",
    "nin-control": "NIN, control",
    "backprop-alexnet-control": "Backprop on AlexNet, control",
    "backprop-vgg16-control": "Backprop on VGGnet, control",
    "backprop-googlenet-control": "Backprop on GoogLeNet, control",
}

"""Class activation maps, reproduced: see the README."""

import os

# Intel's library, which OpenCV takes on some processors, rounds the weights of a resize in another
# way; without it a map is the same to the last bit on every machine. Both are read when OpenCV is
# first used, and it warns of what it was told here.
os.environ.setdefault("OPENCV_IPP", "disabled")
os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")

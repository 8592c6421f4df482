"""What a network predicts of the four pictures of `manifest` (see conftest.py)."""

WNIDS = ["n1", "n2", "n3"]
LEFT, RIGHT = [0, 0, 9, 9], [10, 0, 19, 9]
ON_LEFT, ON_RIGHT = [[1.0, 0.0]], [[0.0, 1.0]]  # maps whose boxes at 0.5 are the halves
# Of each picture: classes, best first, and what each one's map points at. a is right at rank 1 in
# class and place; b in both at rank 2; d in class at rank 1.
CLASSES = [[0, 1], [0, 1], [2, 0], [2, 1]]
MAPS = [[ON_LEFT, ON_LEFT], [ON_RIGHT, ON_RIGHT], [ON_LEFT, ON_LEFT], [ON_LEFT, ON_LEFT]]

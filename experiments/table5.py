"""Table 5: where the pictures of distillation come from, without AWC.

    python -m experiments.table5 --world mini
    python -m experiments.table5 --world mtil --data DIR --sources synthetic=DIR base-only=DIR imagenet=DIR --device cuda

Synthetic pictures that follow the tasks (Last 85.0 with 1K) beat real ImageNet pictures (84.0) and synthetic ones of ImageNet
classes alone (83.7); three times as many help those two most. About 10 H100 hours (estimated); Table 1 shares ZSCL's.
imagenet: ImageNet's training images in their 1,000 class folders. Each task has its own 1,000 or 3,000 of them, sampled by
`random_split` with seed 42 + the task's place in order I, of all classes (`RandomSplitFolder`). synthetic: with 3,000 images
a task. ZSCL has all images of the folder; the paper quotes its row.

In the embedded world "ImageNet" are faultless drawings of the broad vocabulary, 1K are 200 pictures; ZSCL has 1,000.
"""

from experiments.command import main
from experiments.plan import Row

WORLDS = ("mini", "mtil")
ROWS = [
    Row("GIFT ImageNet 1K", source="imagenet", options={"extend_pool": False}, plain_l2=True),
    Row("GIFT synthetic 1K", plain_l2=True),
    Row("GIFT synthetic pre-training only 1K", source="base-only", options={"extend_pool": False}, plain_l2=True),
    Row("GIFT ImageNet 3K", source="imagenet", options={"extend_pool": False}, images=3, plain_l2=True),
    Row("GIFT synthetic 3K", images=3, plain_l2=True),
    Row("GIFT synthetic pre-training only 3K", source="base-only", options={"extend_pool": False}, images=3, plain_l2=True),
    Row("ZSCL ImageNet 100K", "zscl"),
]
DELTAS = {row.label: row.label.replace("3K", "1K") for row in ROWS if row.label.endswith("3K")}
DELTA_NOTE = "In brackets: points that 3K images have above 1K."
BRACKETS = True

if __name__ == "__main__":
    main("table5")

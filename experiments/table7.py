"""Table 7: CIFAR100 in 10, 20 and 50 steps of new classes, told apart among all classes seen.

    python -m experiments.table7 --world mini
    python -m experiments.table7 --world cil --data DIR --device cuda --sources cifar100=PICTURES cifar100-20=PICTURES \\
        cifar100-50=PICTURES captioned=DIR

GIFT is above ZSCL at every number of steps (Last 77.7 against 73.7 in 10), fine-tuning falls with more steps to 18.9 in 50.
The protocol is ZSCL's (`avalanche_gift/benchmarks/protocols.py`): an epoch a step and one call more, warm-up 30, cross-entropy
over the classes of the step. The published rows of LwF, LwF-VR and iCaRL may come without distillation, since their teacher's
weights were the student's own. The reference tests on images in the random training transform: `--test-transform train`.
captioned: images as ZSCL's references, with their captions as `captions.csv` in that folder or beside it; without these the
texts are the 100 base prompts, and the table says so. About 2 H100 hours (estimated).
"""

from experiments.cells import class_incremental
from experiments.command import main
from experiments.plan import Row

WORLDS = ("mini", "cil")
NOTES = {
    "cil": "Rows without CLIP are quoted; avalanche_gift/evaluation/published_conventional.json says where from.",
    "mini": "The six tasks as steps, told apart among all 56 classes; the paper has other steps, so its columns stand apart.",
}
METHODS = {
    "CLIP Zero-shot": "zero-shot",
    "CLIP Fine-tune": "finetune",
    "LwF": "lwf",
    "iCaRL": "icarl",
    "LwF-VR": "lwf-vr",
    "ZSCL": "zscl",
    "GIFT (Ours)": "gift",
}
"""By the paper's names; Table 8 has the same. The rows without CLIP are quoted there, and not implemented here."""
STEPS = {"cifar100": 10, "cifar100-20": 20, "cifar100-50": 50}
VIEW = class_incremental
ROWS = [
    Row(label, strategy, benchmark=benchmark, steps=steps)
    for label, strategy in METHODS.items()
    for benchmark, steps in STEPS.items()
]

if __name__ == "__main__":
    main("table7")

"""Strategies as type checkers and editors see them: the model by position, every other argument by a name that is known."""

import inspect
import os
import subprocess
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from world import MadePictures, Pictures, quiet, tiny_model

from avalanche_gift import training
from avalanche_gift.models import CLIPClassifier
from avalanche_gift.training import EWCV, GIFT, ZSCL, FineTune, MoEAdapters
from avalanche_gift.training.options import (
    FineTuneOptions,
    GIFTCommonOptions,
    GIFTOptions,
    LwFOptions,
    MoEAdaptersOptions,
    TemplateOptions,
    UnseededOptions,
)

ROOT = Path(__file__).parents[1]
STRATEGIES = [kind for kind in vars(training).values() if isinstance(kind, type) and issubclass(kind, FineTune)]
NEEDED = {
    GIFT: {"synthetic": MadePictures()},
    EWCV: {"synthetic": MadePictures()},
    ZSCL: {"pictures": Pictures(2, 2, seed=1)},
    MoEAdapters: {"oracle": True},
}
"""What a strategy can't be made without."""

SCRIPT = """
from collections.abc import Mapping, Sequence

from avalanche.core import SupervisedPlugin

from avalanche_gift import GIFT, CLIPClassifier
from avalanche_gift.training import EWC, EWCV, L2, ZSCL, FineTune, ICaRL, Joint, LwF, LwFVR, MoEAdapters, WiSEFT, ZeroShot


def right(model: CLIPClassifier, names: Mapping[str, float], rates: Sequence[float]) -> None:
    GIFT(model, synthetic="pictures")
    GIFT(model=model, synthetic="pictures", alpha=2.0, seed=1, lr=names, device="cuda", plugins=[SupervisedPlugin()])
    GIFT(model, synthetic="pictures", train_iterations=[3, 4], class_incremental=None, class_incremental_loss="seen")
    FineTune(model, lr=rates, weight_decay=0.1, train_mb_size=8, peval_mode="iteration", train_iterations=5, train_epochs=1)
    L2(model, l2_weight=2.0, label_smoothing=0.0)
    EWC(model, ewc_weight=2.0, lr=None, seed=3)
    EWCV(model, static_fisher="reference:128", synthetic="pictures", beta=0.5, seed=3, lr=1e-5)
    LwF(model, temperature=1.0, label_smoothing=0.1)
    LwFVR(model, train_mb_size=4)
    ICaRL(model, memory_size=10, seed=3)
    Joint(model, train_iterations=10)
    MoEAdapters(model, experts=2, lr=names, label_smoothing=None, train_mb_size=8)
    WiSEFT(model, share=0.5)
    ZeroShot(model, eval_mb_size=7)
    ZSCL(model, pictures="pictures", texts=["a sun."], label_smoothing=0.0)


def wrong(model: CLIPClassifier) -> None:
    GIFT(model, "pictures")  # second by position
    FineTune(model, 1e-3)  # second by position
    GIFT(synthetic="pictures")  # no model
    GIFT("ViT-B-16", synthetic="pictures")  # no CLIPClassifier
    GIFT(model, synthetic="pictures", train_iteration=3)  # misspelled
    FineTune(model, alpha=1.0)  # of another strategy
    L2(model, l2_weigth=1.0)  # misspelled
    EWC(model, train_mb_sise=1)  # misspelled
    EWCV(model, gamma=1.0)  # misspelled
    LwF(model, learning_rate=1.0)  # misspelled
    ICaRL(model, memory=3)  # misspelled
    Joint(model, iterations=3)  # misspelled
    MoEAdapters(model, optimizer=None)  # it makes its own
    WiSEFT(model, shares=0.5)  # misspelled
    ZeroShot(model, seeds=1)  # misspelled
    ZSCL(model, picture="x")  # misspelled
    GIFT(model, alpha="1")  # wrong type
    GIFT(model, train_mb_size="8")  # wrong type
    FineTune(model, class_incremental_loss="task")  # wrong value
    ZSCL(model, lr="fast")  # wrong type
"""


@pytest.mark.skipif(find_spec("mypy") is None, reason="mypy is not installed (pip install avalanche-gift[dev])")
def test_a_users_script_is_checked_argument_by_argument(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    # The package's own configuration and cache: then only the script is new to mypy after `make lint`.
    line = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), "--no-error-summary", str(script)]
    found = subprocess.run(
        line, cwd=ROOT, env={**os.environ, "MYPYPATH": str(ROOT)}, capture_output=True, text=True, timeout=400
    )
    errors = [text for text in found.stdout.splitlines() if ": error:" in text]
    assert errors and all("script.py" in text for text in errors), found.stdout + found.stderr
    lines = SCRIPT.splitlines()
    wanted = {number for number, text in enumerate(lines, 1) if "  # " in text}
    wrong = {int(text.split("script.py:")[1].split(":")[0]) for text in errors}
    assert wrong == wanted, {lines[number - 1].strip() for number in wrong ^ wanted}
    assert 'Unexpected keyword argument "train_iteration" for "GIFT"' in found.stdout


@pytest.mark.parametrize("kind", STRATEGIES)
def test_avalanche_has_nothing_to_warn_of_and_the_model_may_come_first(kind):
    kinds = {name: parameter.kind for name, parameter in inspect.signature(kind.__init__).parameters.items() if name != "self"}
    assert set(kinds.values()) <= {inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD}
    assert next(iter(kinds)) == "model"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = kind(tiny_model(), evaluator=quiet, **NEEDED.get(kind, {}))
    assert isinstance(made.model, CLIPClassifier)


@pytest.mark.parametrize("kind", STRATEGIES)
def test_a_misspelled_keyword_is_named_when_the_strategy_is_made(kind):
    with pytest.raises(TypeError, match=r"train_iteration\b"):
        kind(tiny_model(), train_iteration=3)


def test_a_strategy_of_ones_own_is_as_quiet():
    class Own(FineTune):
        def __init__(self, model, *, own=1, **kwargs):
            super().__init__(model, **kwargs)
            self.own = own

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Own(tiny_model(), own=3, seed=5).own == 3
        with pytest.raises(TypeError, match="owm"):
            Own(tiny_model(), owm=3)


# ---- the types stand for the signatures


def hints(kind):
    """Explicit arguments of a strategy's own signature, by name."""
    found = get_type_hints(kind.__init__)
    names = [
        name for name, parameter in inspect.signature(kind.__init__).parameters.items() if parameter.kind.name == "KEYWORD_ONLY"
    ]
    return {name: found[name] for name in names if name != "model"}


def test_the_options_are_fine_tunings_arguments_and_of_the_same_types():
    own = hints(FineTune)
    del own["method_plugins"]  # for strategies, not for their users
    assert get_type_hints(FineTuneOptions) == {**own, **get_type_hints(TemplateOptions)}


def test_each_strategy_hands_on_all_but_what_it_has_itself():
    everything = set(get_type_hints(FineTuneOptions))
    assert everything - set(get_type_hints(UnseededOptions)) == {"seed"}
    assert everything - set(get_type_hints(LwFOptions)) == {"seed", "train_mb_size"}
    assert everything - set(get_type_hints(GIFTCommonOptions)) == {"seed", "label_smoothing"}
    own = {"seed", "label_smoothing", "lr", "weight_decay", "class_incremental"}
    assert own <= hints(MoEAdapters).keys()
    assert everything - set(get_type_hints(MoEAdaptersOptions)) == {*own, "optimizer", "shard_optimizer"}
    for kind in STRATEGIES:
        handed = get_type_hints(kind.__init__).get("gift_kwargs" if kind is EWCV else "base_kwargs")
        if kind is not FineTune and kind.__init__ is not FineTune.__init__ and handed is not None:
            (options,) = get_args(handed)
            assert not hints(kind).keys() & get_type_hints(options).keys()


def test_the_options_of_gift_are_its_signature_and_what_it_hands_on():
    own = hints(GIFT)
    del own["static_fisher"]
    assert get_type_hints(GIFTOptions) == {**get_type_hints(GIFTCommonOptions), **own}

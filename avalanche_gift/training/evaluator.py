"""The evaluator that a strategy has if it is given none."""

from avalanche.evaluation.metrics import accuracy_metrics, loss_metrics
from avalanche.logging import InteractiveLogger
from avalanche.training.plugins import EvaluationPlugin

from avalanche_gift.evaluation import AccuracyMatrix, ClassIncrementalAccuracy


def clip_evaluator() -> EvaluationPlugin:
    """Avalanche's default, beside Transfer, Average, Last and Forgetting, and, if the stream is class-incremental, the Average
    and Last among all classes seen. Prints to the console."""
    return EvaluationPlugin(
        accuracy_metrics(minibatch=False, epoch=True, experience=True, stream=True),
        loss_metrics(minibatch=False, epoch=True, experience=True, stream=True),
        AccuracyMatrix(figure=False),
        ClassIncrementalAccuracy(),
        loggers=[InteractiveLogger()],
    )

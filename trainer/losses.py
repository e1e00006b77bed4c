"""Losses: softmax with class weights and center loss for classes, a teacher's answers beside it, squared error or
concordance for valence and arousal, absolute error or Laplace's likelihood for landmarks.

Every loss is one over the *global* batch, that is over what all processes hold at this step, and has the same value in
all of them. Its gradient is the process's own share times the number of processes, so that the mean of the gradients,
which distributed training takes, is exactly that of one process with the whole batch - however the known labels are
spread over the processes.
"""

from __future__ import annotations

import math

import torch
import torch.distributed as processes
import torch.nn.functional as functional
from torch import Tensor, nn

from trainer.data.batches import Batch
from trainer.data.face_parts import PARTS
from trainer.data.labels import UNKNOWN
from trainer.models import NetworkOutput, Outputs
from trainer.models.teacher import Teacher
from trainer.stages.recipe import CenterLoss, Stage


class Criterion(nn.Module):
    """The loss of a stage: the sum, with equal weights, of one term for each thing that the network gives.

    Classes: cross entropy, summed over the batch and divided by its labelled pictures. Class weights multiply each
    picture's term and are not divided out again, so they should average 1 over the training pictures. Center loss is
    added before the division, hence `weight` balances the two sums as in paper 003, eq. 3.
    Valence, arousal: mean squared error, or 1 - concordance, over the pictures that have the value.
    Landmarks: mean absolute error over the coordinates that are known, or `located_loss` where scales are told.
    A picture without a label (class -1, value NaN) takes no part in that term; a batch without any gives 0.
    A teacher's answers, where they have a weight: that times `distillation_loss` over all pictures, labelled or not.

    Attributes:
        teacher: whose answers are learned, or only compared with, or None; its weights are part of the state.
        centers: float32 (classes, feature_size), part of the state; empty without center loss.
    """

    def __init__(
        self,
        stage: Stage,
        outputs: Outputs,
        feature_size: int,
        class_weights: Tensor | None = None,
        teacher: Teacher | None = None,
    ) -> None:
        """Make the loss of a stage.

        Args:
            stage: whose `loss` is that of valence and arousal, and whose `center` is the center loss.
            outputs: of the network.
            feature_size: of `NetworkOutput.features`.
            class_weights: float (classes,); None weighs all alike.
            teacher: for a stage with `distil`.
        """
        super().__init__()
        self._distil, self.teacher = stage.distil, teacher
        self._value_loss = concordance_loss if stage.loss == "ccc" else squared_error
        self._points = PARTS[outputs.points] if outputs.points else slice(0)
        self._center = stage.center
        self.class_weights: Tensor | None
        self.register_buffer("class_weights", class_weights, persistent=False)
        self.centers: Tensor
        self.register_buffer("centers", torch.zeros(len(outputs.labels) if stage.center else 0, feature_size))

    def forward(self, output: NetworkOutput, batch: Batch) -> Tensor:
        """The loss, a scalar in float32 or better, the same in all processes."""
        terms = []
        if output.classes is not None:
            terms.append(self._of_classes(output.classes, output.features, batch.classes))
            if self.teacher is not None and self._distil is not None and self._distil.weight:
                answers = self.teacher(batch.images), output.classes[:, self.teacher.places]
                terms.append(self._distil.weight * distillation_loss(*answers, self._distil.temperature))
        if output.valence is not None:
            terms.append(self._value_loss(output.valence, batch.valence))
        if output.arousal is not None:
            terms.append(self._value_loss(output.arousal, batch.arousal))
        if output.landmarks is not None:
            terms.append(self._of_landmarks(output.landmarks, output.scales, batch.landmarks))
        return torch.stack(terms).sum()

    @torch.no_grad()
    def update(self, output: NetworkOutput, batch: Batch) -> None:
        """Move the centers with what the step's batch gave; nothing without center loss. Call it once per step."""
        if self._center:
            known = batch.classes != UNKNOWN
            features = output.features[known].to(self.centers.dtype)
            self.centers.copy_(moved_centers(self.centers, features, batch.classes[known], self._center.rate))

    def _of_classes(self, logits: Tensor, features: Tensor, classes: Tensor) -> Tensor:
        known = classes != UNKNOWN
        total = functional.cross_entropy(
            _precise(logits), classes, self.class_weights, reduction="sum", ignore_index=UNKNOWN
        )
        if self._center:
            total = total + center_loss(self.centers, _precise(features)[known], classes[known], self._center)
        return _mean(total, known.sum().to(total.dtype))

    def _of_landmarks(self, landmarks: Tensor, scales: Tensor | None, truth: Tensor) -> Tensor:
        truth = truth[:, self._points].flatten(1)
        if scales is None:
            return absolute_error(landmarks, truth)
        return located_loss(landmarks, scales.repeat_interleave(2, dim=1), truth)


def distillation_loss(teacher: Tensor, student: Tensor, temperature: float) -> Tensor:
    """T² times the Kullback-Leibler divergence of a student's probabilities from a teacher's, mean over the pictures.

    Both are softmax(logits / T) over the classes that are given, so what a student says of others does not matter. T²
    keeps the gradients as large as those of the labels (Hinton, Vinyals and Dean 2015, 2 and 2.1).

    Args:
        teacher: logits (N, classes).
        student: logits of the same classes, likewise.
        temperature: T.
    """
    wanted, told = (functional.log_softmax(_precise(logits) / temperature, dim=1) for logits in (teacher, student))
    divergence = functional.kl_div(told, wanted, reduction="sum", log_target=True)
    return temperature**2 * _mean(divergence, divergence.new_tensor(len(teacher)))


def center_loss(centers: Tensor, features: Tensor, classes: Tensor, spec: CenterLoss) -> Tensor:
    """λ/2 times the sum of the distances of features to the centers of their classes (paper 003, eq. 1 and 3).

    The distances are squared, as in the work that the paper follows (Wen et al., ECCV 2016, eq. 2), or plain, as
    printed.

    Args:
        centers: (classes, F).
        features: (N, F).
        classes: int64 (N,).
        spec: weight λ, and whether the distances are squared.
    """
    difference = features - centers[classes]
    distances = difference.square().sum(1) if spec.squared else torch.linalg.vector_norm(difference, dim=1)
    return spec.weight / 2 * distances.sum()


def moved_centers(centers: Tensor, features: Tensor, classes: Tensor, rate: float) -> Tensor:
    """Centers after one step: c_j - α Δ_j (paper 003, eq. 2), over the features of all processes.

    The paper prints no Δ but follows Wen et al., whose eq. 4 is used: Δ_j = Σ_(y_i = j) (c_j - x_i) / (1 + n_j). The 1
    lets classes that are absent keep their centers. Centers start at 0.

    Args:
        centers: (classes, F).
        features: (N, F).
        classes: int64 (N,).
        rate: α.
    """
    is_of = functional.one_hot(classes, len(centers)).to(centers.dtype)
    columns = torch.cat([features, features.new_ones(len(features), 1)], dim=1)
    totals = _over_processes(is_of.T @ columns)
    sums, counts = totals[:, :-1], totals[:, -1:]
    return centers - rate * (counts * centers - sums) / (1 + counts)


def squared_error(values: Tensor, truth: Tensor) -> Tensor:
    """Mean squared error over the pictures whose truth is not NaN.

    Args:
        values: (N,), predicted.
        truth: (N,).
    """
    values, truth = _known(values, truth)
    return _mean((values - truth).square().sum(), values.new_tensor(len(values)))


def absolute_error(values: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute error over what is not NaN (paper 004, eq. 1).

    Args:
        values: predicted, any shape.
        truth: likewise.
    """
    values, truth = _known(values, truth)
    return _mean((values - truth).abs().sum(), values.new_tensor(len(values)))


def laplace_loss(values: Tensor, scales: Tensor, truth: Tensor) -> Tensor:
    """Mean over what is not NaN of |error| / b + ln b: how unlikely errors are where they follow Laplace's law.

    It is least where each b is the mean of the errors to be expected there (Kendall and Gal, NeurIPS 2017, 2.2, with a
    Laplace prior); ln 2 is left out.

    Args:
        values: predicted, any shape.
        scales: ln b, of the same shape.
        truth: likewise.
    """
    scales, _ = _known(scales, truth)
    values, truth = _known(values, truth)
    return _mean(((values - truth).abs() * (-scales).exp() + scales).sum(), values.new_tensor(len(values)))


def located_loss(landmarks: Tensor, scales: Tensor, truth: Tensor) -> Tensor:
    """Laplace's likelihood for landmarks and their scales, in which all landmarks of a face count alike.

    Under `laplace_loss` alone, points that are hard to find, like the jaw's, hardly move the network: their errors are
    divided by their own large scales. Here those of the landmarks are divided by the mean scale of their face, and only
    the scales learn from each landmark's own, much as in Seitzer and others, ICLR 2022. The mean of both is what
    `laplace_loss` is where all scales of a face are equal.

    Args:
        landmarks: predicted, (N, values).
        scales: ln b of each value, (N, values).
        truth: likewise; NaN where it is not known.
    """
    of_face = (scales.detach().logsumexp(1, keepdim=True) - math.log(scales.shape[1])).expand_as(scales)
    return (laplace_loss(landmarks, of_face, truth) + laplace_loss(landmarks.detach(), scales, truth)) / 2


def concordance_loss(values: Tensor, truth: Tensor) -> Tensor:
    """1 - concordance correlation coefficient over the pictures whose truth is not NaN; 0 is best, 2 worst.

    1 - 2 s_xy / (s_x² + s_y² + (m_x - m_y)²) with moments divided by n (Lin, Biometrics 1989). Batches in which neither
    varies say nothing and give 1.

    Args:
        values: (N,), predicted.
        truth: (N,).
    """
    values, truth = _known(values, truth)
    value_sum, truth_sum, pictures = _over_processes(_sums(values, truth, torch.ones_like(values))).unbind()
    pictures = pictures.clamp(min=1)
    value_mean, truth_mean = value_sum / pictures, truth_sum / pictures
    # Detached: the sums below do not change with the means, as x and y sum to 0 - over all processes, not over one.
    x, y = values - value_mean.detach(), truth - truth_mean
    spread, covariance = (_over_processes(_sums(x.square() + y.square(), x * y)) / pictures).unbind()
    scale = spread + (value_mean - truth_mean).square()
    return 1 - 2 * covariance / scale.clamp(min=torch.finfo(scale.dtype).tiny)


def _known(values: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    known = ~truth.isnan()
    values = _precise(values)[known]
    return values, truth[known].to(values.dtype)


def _precise(tensor: Tensor) -> Tensor:
    """At least float32, whatever precision the network runs in."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def _sums(*columns: Tensor) -> Tensor:
    return torch.stack([column.sum() for column in columns])


def _mean(total: Tensor, pictures: Tensor) -> Tensor:
    total, pictures = _over_processes(torch.stack([total, pictures])).unbind()
    return total / pictures.clamp(min=1)


def _over_processes(sums: Tensor) -> Tensor:
    """Sums over all processes, with a gradient that is right once the processes have averaged theirs."""
    if not (processes.is_available() and processes.is_initialized()):
        return sums
    total = sums.detach().clone()
    processes.all_reduce(total)
    return total + processes.get_world_size() * (sums - sums.detach())

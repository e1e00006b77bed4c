"""The learning curves of the study's report."""

from __future__ import annotations

from mien.personal.sampling import SAMPLERS
from trainer.evaluate.report.charts import Chart, Series, line_chart
from trainer.evaluate.report.figures import words
from trainer.personal.learning import BASE, CURVES
from trainer.personal.measured import Key
from trainer.personal.results import Figures

_METRICS = ("valence_rmse", "arousal_rmse", "accuracy")


def curves(figures: Figures) -> list[Chart]:
    """Error against the share of labels, one line for each sampler, from none to all (paper 002, Fig. 6)."""
    found = []
    for way, protocols in CURVES.items():
        for protocol in protocols:
            divided = {"frames": "random frames", "blocks": "blocks of time"}[protocol]
            for metric in _METRICS:
                title = f"{words(metric)}, {way}, {divided}"
                chart = line_chart(title, "labels, %", words(metric), _lines(figures, way, protocol, metric))
                if chart is not None:
                    found.append(chart)
    return found


def _lines(figures: Figures, way: str, protocol: str, metric: str) -> list[Series]:
    none, everything = (figures.mean(Key("transfer", protocol, arm), metric) for arm in (BASE, way))
    lines = [Series([(0.0, everything), (100.0, everything)], "ideal", "all labels")]
    for number, sampler in enumerate(SAMPLERS):
        between = [
            (100 * share, figures.mean(Key("curve", protocol, way, sampler, share), metric))
            for share in figures.settings.shares
        ]
        lines.append(Series([(0.0, none), *between, (100.0, everything)], f"sampler{number}", sampler))
    return lines

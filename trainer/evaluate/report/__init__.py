"""A run's report: one page that opens anywhere, the same as JSON, and a summary in Markdown."""

from trainer.evaluate.report.gallery import PictureOf
from trainer.evaluate.report.looks import LookOf
from trainer.evaluate.report.write import write_report

__all__ = ["LookOf", "PictureOf", "write_report"]

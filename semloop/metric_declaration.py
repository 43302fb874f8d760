"""The declaration of one metric for Prometheus."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Metric:
    """The declaration of one metric.

    Attributes:
        name: as Prometheus shows it.
        kind: a counter only grows; a histogram counts values up to each of `buckets`.
        unit: of its values.
        labels: names of its labels.
        meaning: what it counts or measures, as a sentence.
        action: what an operator does about it.
        buckets: upper bounds of a histogram, in ascending order.
        bounded: the label whose values come from events. A process keeps a bounded
            number of them and adds up the rest as one.
    """

    name: str
    kind: Kind
    unit: str
    labels: tuple[str, ...]
    meaning: str
    action: str
    buckets: tuple[float, ...] = ()
    bounded: str = ""

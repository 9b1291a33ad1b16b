"""Statistics on plain counts over the same bins: one file each, with its formula and its source."""

from inprocml.monitoring.statistics.location import location, location_scores, shift
from inprocml.monitoring.statistics.rates import Rate, poisson_lower, poisson_upper, poisson_z, rate
from inprocml.monitoring.statistics.scale import scale, scale_scores, widening

__all__ = [
    "Rate",
    "location",
    "location_scores",
    "poisson_lower",
    "poisson_upper",
    "poisson_z",
    "rate",
    "scale",
    "scale_scores",
    "shift",
    "widening",
]

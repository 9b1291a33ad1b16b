"""Statistics of drift on plain integer counts, one a file; and three that need rows: nothing decides here."""

from inprocml.monitoring.statistics.binned_ks import binned_ks
from inprocml.monitoring.statistics.chi_square import chi_square
from inprocml.monitoring.statistics.cramers_v import cramers_v
from inprocml.monitoring.statistics.domain_classifier import DomainShift, domain_auc, domain_classifier
from inprocml.monitoring.statistics.g_test import g_test
from inprocml.monitoring.statistics.hellinger import hellinger
from inprocml.monitoring.statistics.jensen_shannon import jensen_shannon
from inprocml.monitoring.statistics.l_infinity import l_infinity
from inprocml.monitoring.statistics.location import location, location_scores, shift
from inprocml.monitoring.statistics.mmd import mmd
from inprocml.monitoring.statistics.psi import psi
from inprocml.monitoring.statistics.rates import poisson_lower, poisson_upper, poisson_z
from inprocml.monitoring.statistics.reservoir import Reservoir
from inprocml.monitoring.statistics.result import Interval, Outcome, Psi, Undefined
from inprocml.monitoring.statistics.scale import scale, scale_scores, widening
from inprocml.monitoring.statistics.total_variation import total_variation
from inprocml.monitoring.statistics.wasserstein import bin_centres, wasserstein
from inprocml.monitoring.statistics.wilson import wilson

__all__ = [
    "DomainShift",
    "Interval",
    "Outcome",
    "Psi",
    "Reservoir",
    "Undefined",
    "bin_centres",
    "binned_ks",
    "chi_square",
    "cramers_v",
    "domain_auc",
    "domain_classifier",
    "g_test",
    "hellinger",
    "jensen_shannon",
    "l_infinity",
    "location",
    "location_scores",
    "mmd",
    "poisson_lower",
    "poisson_upper",
    "poisson_z",
    "psi",
    "scale",
    "scale_scores",
    "shift",
    "total_variation",
    "wasserstein",
    "widening",
    "wilson",
]

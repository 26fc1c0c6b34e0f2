"""Published clinical formulas as tools; each names its source, and refuses values that cannot be a patient's.

``values`` (measurements, their ranges and wordings), ``kidney``, ``body``, ``heart``, ``liver``, ``trials``.
"""

from .body import body_mass_index, body_surface_area
from .heart import cha2ds2_vasc, corrected_qt
from .kidney import creatinine_clearance, egfr_ckd_epi_2021
from .liver import meld_3
from .trials import number_needed_to_treat

__all__ = [
    "body_mass_index",
    "body_surface_area",
    "cha2ds2_vasc",
    "corrected_qt",
    "creatinine_clearance",
    "egfr_ckd_epi_2021",
    "meld_3",
    "number_needed_to_treat",
]

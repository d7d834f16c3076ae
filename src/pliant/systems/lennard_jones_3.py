"""Three Lennard-Jones particles."""

from typing import ClassVar

from pliant.systems._cluster import Cluster


class LennardJones3(Cluster):
    r"""Three Lennard-Jones particles at kT = 0.5 inside a harmonic wall of radius 2.0 and stiffness 50, reduced units.

    With $U = \sum 4 \epsilon (s^{12} - s^6)$, $s = \sigma / r$, the derivatives of $\langle R_g^2 \rangle$ are
    $-\operatorname{Cov}(R_g^2, \partial_\theta U) / kT$ with $\partial_\epsilon U = \sum 4 (s^{12} - s^6)$ and
    $\partial_\sigma U = \sum 4 \epsilon (12 s^{12} - 6 s^6) / \sigma$. The truth is an ESTIMATE from Metropolis walkers.

    Source: Jones, Proc. R. Soc. A 106, 463 (1924); for clusters of magic numbers, Doye and Wales, J. Chem. Phys. 102,
    9659 (1995).
    """

    name: ClassVar[str] = "lennard_jones_3"
    title: ClassVar[str] = "Lennard-Jones cluster of 3"
    count: ClassVar[int] = 3
    radius: ClassVar[float] = 2.0
    # Printed by benchmarks/references/lennard_jones.py.
    reference: ClassVar = ((1.36983, -0.80785, -0.083257), (0.001078, 0.001085, 0.006785))

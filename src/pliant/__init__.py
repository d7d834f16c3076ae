"""Differentiable simulation on JAX: every gradient with an error bar and a verdict."""

from pliant.core.errors import CapabilityError as CapabilityError
from pliant.core.errors import NotApplicable as NotApplicable
from pliant.core.estimate import Estimate as Estimate
from pliant.core.estimate import GradientEstimate as GradientEstimate
from pliant.core.estimator import Estimator as Estimator
from pliant.core.expectation import expectation as expectation
from pliant.core.gradient import gradient as gradient
from pliant.core.laws import Balance as Balance
from pliant.core.laws import Evolve as Evolve
from pliant.core.laws import HasDrift as HasDrift
from pliant.core.laws import HasPathDensity as HasPathDensity
from pliant.core.laws import HasStationaryDensity as HasStationaryDensity
from pliant.core.laws import Invertible as Invertible
from pliant.core.laws import Weigh as Weigh
from pliant.core.noise import Normal as Normal
from pliant.core.noise import Uniform as Uniform
from pliant.core.observable import Observable as Observable
from pliant.core.potential import Potential as Potential

"""The errors of this library: each one sentence of what is wrong and one of what to do."""


class NotApplicable(ValueError):
    """An estimator or a dynamics cannot serve this problem; the message is the reason in physics and what to use instead."""


class CapabilityError(NotApplicable):
    """A law lacks a capability that an estimator asks for."""

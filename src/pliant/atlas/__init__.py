"""The atlas: every estimator on every dynamics of every system, measured against the truth."""

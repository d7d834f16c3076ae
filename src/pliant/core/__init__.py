"""The ground floor: laws, observables, rollout, and the one call that averages gradients."""

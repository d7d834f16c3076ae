"""What can go wrong with a request to the atlas: each one clear sentence, shown without a traceback."""


class AtlasError(Exception):
    """The request cannot be served; the message says what to do."""


class ConfigError(AtlasError, ValueError):
    """A configuration cannot be run; the message names the line, the key, and what to write instead."""


class StoreError(AtlasError, ValueError):
    """A folder does not hold the atlas that is asked for."""


class SchedulerError(AtlasError, ConnectionError):
    """A cluster's scheduler cannot be used."""


class MissingLibrary(AtlasError, ImportError):
    """A library is needed that is not installed."""


class RunError(AtlasError, RuntimeError):
    """The run cannot go on; what is finished is kept, and the same command resumes."""

"""What can be wrong with what a strategy was given, or gives."""


class Refused(Exception):
    """Raise it in `on_init` or `on_load`: why the strategy cannot run. The host shows the text to whoever started it."""


class ParamError(Refused):
    """A param is missing, or is not what the strategy asked for."""


class NotAMultiple(ValueError):
    """A price is no multiple of its instrument's tick, or a size none of its lot. Nothing was rounded and nothing was sent."""

"""Errors meant for the person who runs the workflow."""


class CwolaflowError(Exception):
    """A problem that the user can mend.

    The message is one line that names the file (or config key), the offending value and the
    remedy. Scripts print it without a traceback; the traceback goes to the rule's log.
    """


class ConfigError(CwolaflowError):
    """A config, study or sample-table entry is wrong."""


class InputError(CwolaflowError):
    """An input file is missing, damaged, or lacks something that is needed."""


class StatisticsError(CwolaflowError):
    """The simulation has too few events for what was asked."""

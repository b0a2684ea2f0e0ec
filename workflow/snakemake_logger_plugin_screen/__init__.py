"""Logger of Snakemake that shows a run on one screen: jobs done, time to go, what runs now.

Snakemake finds it by its name; the default profile asks for it. On a terminal the last lines are
drawn anew with every event, and what stays above them are warnings, errors and the logs of failed
jobs. Where the output is no terminal (a file, CI) and in a dry run it is Snakemake's own log.
"""

import logging
import shutil
import sys
import time
from typing import Any

from snakemake.logging import ColorizingTextHandler, get_event
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

BAR_WIDTH = 30
RUNNING_SHOWN = 12
LEFT_OUT = (
    "Assuming unrestricted shared filesystem",
    "Conda environments: ignored",
    "Using shell",
    "Building DAG",
    "Provided cores",
    "Rules claiming",
    "Select jobs to execute",
    "Execute ",
    "Complete log",
    "Elapsed time",
)
CLEAR_BELOW = "\033[J"


def duration(seconds: float) -> str:
    """Give a time in the largest units that say something: ``8 s``, ``3 min``, ``2 h 05 min``."""
    minutes = int(seconds // 60)
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


class Progress:
    """What is known of the run.

    The time to go assumes that the jobs left take as long as those done, on average.
    """

    def __init__(self, clock=time.monotonic) -> None:
        self.clock = clock
        self.began = clock()
        self.done = self.total = self.failed = 0
        self.running: dict[int, tuple[str, float]] = {}

    def update(self, event: LogEvent | None, fields: dict[str, Any]) -> bool:
        """Take in an event; tell whether it says all that there is to it."""
        if event == LogEvent.JOB_INFO:
            name = fields["rule_msg"] or fields["rule_name"]
            self.running[fields["jobid"]] = (name, self.clock())
        elif event == LogEvent.JOB_FINISHED:
            self.running.pop(fields["job_id"], None)
        elif event == LogEvent.PROGRESS:
            self.done, self.total = fields["done"], fields["total"]
        elif event == LogEvent.RUN_INFO:
            self.total = fields["stats"]["total"]
        elif event == LogEvent.JOB_ERROR:
            self.running.pop(fields["jobid"], None)
            self.failed += 1
            return False
        elif event not in (LogEvent.JOB_STARTED, LogEvent.WORKFLOW_STARTED):
            return False
        return True

    def lines(self, columns: int) -> list[str]:
        """Give the screen, each line cut to the columns."""
        if not self.total:
            return []
        now = self.clock()
        filled = round(BAR_WIDTH * self.done / self.total)
        parts = [
            f"[{'#' * filled}{'.' * (BAR_WIDTH - filled)}] {self.done} of {self.total} jobs",
            duration(now - self.began),
        ]
        if self.failed:
            parts.append(f"{self.failed} failed")
        elif 0 < self.done < self.total:
            left = (now - self.began) * (self.total - self.done) / self.done
            parts.append(f"about {duration(left)} to go")
        lines = [", ".join(parts)]
        for name, since in list(self.running.values())[:RUNNING_SHOWN]:
            lines.append(f"  {name} ({duration(now - since)})")
        if len(self.running) > RUNNING_SHOWN:
            lines.append(f"  and {len(self.running) - RUNNING_SHOWN} more")
        return [line[: columns - 1] for line in lines]


class LogHandler(LogHandlerBase, ColorizingTextHandler):
    """Draws the progress on a terminal, and logs like Snakemake elsewhere."""

    def __post_init__(self) -> None:
        stream = sys.stdout if self.common_settings.stdout else sys.stderr
        ColorizingTextHandler.__init__(self, nocolor=self.common_settings.nocolor, stream=stream)
        self.progress = Progress()
        self.drawn = 0
        self.over = False
        self.live = stream.isatty() and not self.common_settings.dryrun

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record."""
        if not self.live:
            ColorizingTextHandler.emit(self, record)
            return
        self._erase()
        known = self.progress.update(get_event(record), record.__dict__)
        if not known and not str(record.msg).startswith(LEFT_OUT):
            ColorizingTextHandler.emit(self, record)
        lines = self.progress.lines(shutil.get_terminal_size().columns)
        if not self.over:
            self.stream.write("".join(f"{line}\n" for line in lines))
        self.over = self.progress.total and self.progress.done == self.progress.total
        self.drawn = 0 if self.over else len(lines)
        self.stream.flush()

    def _erase(self) -> None:
        if self.drawn:
            self.stream.write(f"\033[{self.drawn}A\r{CLEAR_BELOW}")

    @property
    def writes_to_stream(self) -> bool:
        """Whether it writes to the terminal."""
        return True

    @property
    def writes_to_file(self) -> bool:
        """Whether it writes to a file."""
        return False

    @property
    def has_filter(self) -> bool:
        """Whether it has its own filter: Snakemake's, for --quiet."""
        return False

    @property
    def has_formatter(self) -> bool:
        """Whether it has its own formatter: Snakemake's."""
        return False

    @property
    def needs_rulegraph(self) -> bool:
        """Whether it needs the graph of the rules."""
        return False

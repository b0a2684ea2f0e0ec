"""The progress of a run on one screen."""

import io
import logging
from types import SimpleNamespace

import pytest
from snakemake.logging import DefaultFormatter
from snakemake_interface_logger_plugins.common import LogEvent

from snakemake_logger_plugin_screen import LogHandler, Progress, duration


class Screen(io.StringIO):
    def __init__(self, is_terminal):
        super().__init__()
        self.isatty = lambda: is_terminal


def handler(monkeypatch, is_terminal, dryrun=False):
    screen = Screen(is_terminal)
    monkeypatch.setattr("sys.stderr", screen)
    settings = SimpleNamespace(stdout=False, nocolor=True, dryrun=dryrun)
    log = LogHandler(settings, None)
    log.setFormatter(DefaultFormatter())
    return log, screen


def record(message="", **fields):
    return logging.makeLogRecord({"msg": message, "levelno": 20, "levelname": "INFO", **fields})


def job(jobid, message):
    return record(event=LogEvent.JOB_INFO, jobid=jobid, rule_msg=message, reason="why")


@pytest.mark.parametrize(
    ("seconds", "text"), [(8.4, "8 s"), (61, "1 min"), (1800, "30 min"), (7501, "2 h 05 min")]
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_time_to_go_is_that_of_the_jobs_done_so_far():
    now = 100.0
    progress = Progress(clock=lambda: now)
    progress.update(LogEvent.RUN_INFO, {"stats": {"train": 8, "total": 8}})
    progress.update(LogEvent.JOB_INFO, {"jobid": 3, "rule_msg": "Training", "rule_name": "train"})
    now = 140.0
    progress.update(LogEvent.PROGRESS, {"done": 2, "total": 8})
    bar, running = progress.lines(200)
    assert bar.endswith("2 of 8 jobs, 40 s, about 2 min to go")
    assert running == "  Training (40 s)"
    progress.update(LogEvent.JOB_FINISHED, {"job_id": 3})
    assert len(progress.lines(200)) == 1
    assert max(map(len, progress.lines(20))) == 19


def test_many_jobs_stay_on_one_screen():
    progress = Progress()
    progress.total = 100
    for number in range(50):
        fields = {"jobid": number, "rule_msg": None, "rule_name": "train"}
        progress.update(LogEvent.JOB_INFO, fields)
    assert len(progress.lines(80)) == 14
    assert progress.lines(80)[-1] == "  and 38 more"


def test_a_terminal_shows_the_last_state_and_the_last_message_below_it(monkeypatch):
    log, screen = handler(monkeypatch, is_terminal=True)
    log.emit(record("Job stats", event=LogEvent.RUN_INFO, stats={"total": 2}))
    log.emit(job(1, "Training"))
    log.emit(record("Select jobs to execute..."))
    log.emit(record("look here"))
    log.emit(record(event=LogEvent.PROGRESS, done=2, total=2))
    log.emit(record("the end"))
    text = screen.getvalue()
    assert "Select jobs" not in text and "why" not in text and "Job stats" not in text
    # Two lines were drawn, the bar and the job, and are erased before anything else is written.
    assert "\033[2A\r\033[Jlook here\n[" in text
    assert text.endswith("the end\n")


@pytest.mark.parametrize("how", [{"is_terminal": False}, {"is_terminal": True, "dryrun": True}])
def test_elsewhere_it_is_the_log_of_snakemake(monkeypatch, how):
    log, screen = handler(monkeypatch, **how)
    log.emit(record("Job stats", event=LogEvent.RUN_INFO, stats={"total": 2}))
    log.emit(job(1, "Training"))
    text = screen.getvalue()
    assert "Job stats" in text and "Job 1: Training\nReason: why" in text
    assert "\033" not in text

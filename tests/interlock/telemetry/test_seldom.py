"""What a library repeats fills no log."""

import logging
import subprocess
import sys

from interlock.telemetry.seldom import SECONDS, Seldom

TWICE = """
import logging
from interlock.telemetry.logs import configure_logs

configure_logs("warning", "json")
for _ in range(100):
    logging.getLogger("aiokafka").error("Unable connect to node with id %s", 1)
logging.getLogger("aiokafka").error("Unable connect to node with id %s", 2)
logging.getLogger("asyncpg").error("Unable connect to node with id %s", 1)
"""


def said(words: str, *values: object) -> logging.LogRecord:
    return logging.LogRecord("aiokafka", logging.ERROR, "", 0, words, values, None)


def test_the_same_words_are_passed_on_once_in_a_while_and_then_counted() -> None:
    now = 0.0
    seldom = Seldom(lambda: now)
    assert seldom.filter(said("no node %s", 1))
    assert not any(seldom.filter(said("no node %s", 1)) for _ in range(3))
    now = SECONDS
    later = said("no node %s", 1)
    assert seldom.filter(later)
    assert later.getMessage() == "no node 1 (and 3 times more before)"
    now = 2 * SECONDS
    later = said("no node %s", 1)
    assert seldom.filter(later)
    assert later.getMessage() == "no node 1"


def test_other_words_are_not_held_back() -> None:
    seldom = Seldom(lambda: 0.0)
    assert all(seldom.filter(said("no node %s", node)) for node in range(1000))


def test_a_process_says_it_once_for_each_library() -> None:
    ran = subprocess.run([sys.executable, "-c", TWICE], capture_output=True, text=True, check=True)
    assert len(ran.stderr.splitlines()) == 3, ran.stderr

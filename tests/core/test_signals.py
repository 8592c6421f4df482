"""Processes that are asked to stop, and that end when they should."""

import os
import signal
import subprocess
import sys
import threading
import time

import psutil

from camloc.core.signals import on_signals

CHILD = """
import signal, sys, time
from camloc.core.signals import end_with
signal.signal(signal.SIGTERM, lambda *_: (print("asked to end", flush=True), sys.exit(0)))
end_with(int(sys.argv[1]))
print("begun", flush=True)
time.sleep(60)
"""


def test_process_is_asked_to_end_when_the_one_that_it_ends_with_is_killed():
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    command = [sys.executable, "-c", CHILD, str(other.pid)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "begun\n"
        time.sleep(1.2)  # it has looked twice
        assert psutil.pid_exists(child.pid) and child.poll() is None
        other.kill()
        assert child.stdout.read() == "asked to end\n"
        assert child.wait(10) == 0
    other.wait()


def test_process_whose_starter_is_gone_already_is_asked_at_once():
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(gone.pid)], capture_output=True, text=True, timeout=30
    )
    assert done.stdout.endswith("asked to end\n") and done.returncode == 0


def test_asked_to_stop_the_call_is_made_and_what_was_before_comes_back():
    both, calls = (signal.SIGTERM, signal.SIGINT), []
    before = [*map(signal.getsignal, both)]  # a job in the background ignores SIGINT
    with on_signals(lambda: calls.append("stop"), signal.SIGINT):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
    assert calls == ["stop", "stop"]
    assert [*map(signal.getsignal, both)] == before


def test_another_thread_leaves_the_signals_as_they_are():
    seen = []

    def work():
        with on_signals(lambda: None):
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGTERM)]

"""Being asked to stop: by a scheduler, a spot machine that goes, or a person."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psutil


@contextmanager
def on_signals(call: Callable[[], object], *more: signal.Signals) -> Iterator[None]:
    """Call `call()` when SIGTERM or one of `more` comes, in place of what it does otherwise.

    Only a main thread may take signals; in another one nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGTERM, *more)
    before = [signal.signal(number, lambda *_: call()) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def is_at_work(process: psutil.Process) -> bool:
    """Whether a process is there and has not ended: one whose end nobody has asked for stays."""
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def end_with(pid: int) -> None:
    """Let SIGTERM come to this process once process `pid` is gone, which then cannot pass it on:
    killed, it would leave this one at work beside what is started in its place."""

    def watch() -> None:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            while is_at_work(process):
                time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()

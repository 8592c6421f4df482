"""Being asked to stop: by a scheduler, a spot machine that goes, or a person."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


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

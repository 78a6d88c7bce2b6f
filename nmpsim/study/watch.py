"""Worker processes end with their study, also when it is killed."""

from __future__ import annotations

import multiprocessing
import os
import threading
from multiprocessing import connection


def end_with_parent() -> None:
    """End this process as soon as the process that started it is gone; to be called first in a worker.

    A worker of `concurrent.futures` waits on a queue whose other end it holds open itself, so it would wait for ever.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=wait, name="end_with_parent", daemon=True).start()

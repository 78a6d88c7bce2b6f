"""Tasks for tests of the runner: every start and every end leaves a line in a log."""

import os
import time
from pathlib import Path

from nmpsim.errors import Fault, SpecError


def _note(log, word, settings):
    with Path(log).open("a", encoding="utf-8") as file:
        file.write(f"{word} {settings['number']}\n")


def square(settings):
    _note(settings["log"], "begin", settings)
    time.sleep(settings.get("seconds", 0))
    number = settings["number"]
    if number == settings.get("refused"):
        raise SpecError("not this one", [Fault("number", str(number), "another", "take it")])
    if number == settings.get("failing"):
        raise RuntimeError("broken task")
    if number == settings.get("deadly"):
        os._exit(1)
    _note(settings["log"], "end", settings)
    return {"square": number * number, "parts": {"half": number / 2}, "list": [number]}


def other(settings):
    _note(settings["log"], "begin", settings)
    return {"same": settings["number"]}

"""A page in a headless Chromium, driven through its DevTools protocol over two pipes, so that no client library is needed."""

import json
import os
import shutil
import subprocess
from contextlib import contextmanager

NAMES = ("chromium", "chromium-browser", "google-chrome")


def find_chromium():
    """The program's path, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Page:
    """One tab. problems: what the console said of errors; requests: addresses it asked for."""

    def __init__(self, commands, answers):
        self._commands, self._answers, self._number = commands, answers, 0
        self._session = None
        self.problems, self.requests, self._events = [], [], []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method, **parameters):
        """The result of one command."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        self._commands.write(json.dumps(message).encode() + b"\0")
        self._commands.flush()
        while (answer := self._read()).get("id") != self._number:
            self._note(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def open(self, address, width, height=900):
        """Returns once the page is loaded."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500)
        self._events.clear()
        self.send("Page.navigate", url=address)
        while "Page.loadEventFired" not in self._events:
            self._note(self._read())

    def run(self, script):
        """The value of a JavaScript expression."""
        answer = self.send("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def _read(self):
        content = b""
        while not content.endswith(b"\0"):
            byte = self._answers.read(1)
            assert byte, "Chromium ended"
            content += byte
        return json.loads(content[:-1])

    def _note(self, event):
        method, parameters = event.get("method"), event.get("params", {})
        self._events.append(method)
        if method == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        elif method in ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled"):
            self.problems.append(parameters)


@contextmanager
def open_browser(program, folder):
    """A fresh Chromium that keeps its profile in `folder`; gives a Page."""
    read_commands, write_commands = os.pipe()
    read_answers, write_answers = os.pipe()
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}", "--remote-debugging-pipe"]
    # Chromium reads commands from descriptor 3 and answers on 4.
    line = f'exec "$0" "$@" 3<&{read_commands} 4>&{write_answers}'
    process = subprocess.Popen(
        ["bash", "-c", line, program, *options], pass_fds=(read_commands, write_answers), stderr=subprocess.DEVNULL
    )
    os.close(read_commands)
    os.close(write_answers)
    try:
        with os.fdopen(write_commands, "wb") as commands, os.fdopen(read_answers, "rb") as answers:
            yield Page(commands, answers)
    finally:
        process.terminate()
        process.wait(timeout=30)

"""A headless Chromium, driven by the W3C's WebDriver protocol over loopback; nothing but Debian's two packages."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCRIPT_S = 300.0  # of a page with hundreds of rows, judged by axe-core on a busy machine
CALL_S = SCRIPT_S + 20.0
OPTIONS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND", "--font-render-hinting=none",
)  # fmt: skip


@dataclass(frozen=True)
class View:
    """How a page is looked at: pixels across, a dark or a light scheme, on a screen or on paper."""

    name: str
    width: int
    height: int
    dark: bool = False
    media: str = "screen"


class Browser:
    """One window. What is evaluated sees the page; with scripts off, what the page itself brings is not run."""

    def __init__(self, address: str) -> None:
        self._address = address
        capabilities = {
            "alwaysMatch": {
                "goog:chromeOptions": {"args": list(OPTIONS), "binary": "/usr/bin/chromium"},
                "timeouts": {"script": round(1000 * SCRIPT_S)},
                "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
            }
        }
        made = self._call("POST", "/session", {"capabilities": capabilities})
        self._session = f"/session/{made['sessionId']}"

    def open(self, page: Path, view: View, scripts: bool = True) -> None:
        """The page as a file, in a view; returns when it has loaded."""
        self.log("performance")
        self._cdp("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.look(view)
        self._call("POST", f"{self._session}/url", {"url": page.resolve().as_uri()})

    def look(self, view: View) -> None:
        """Changes how the page is looked at."""
        self._cdp(
            "Emulation.setDeviceMetricsOverride", width=view.width, height=view.height, deviceScaleFactor=1,
            mobile=view.width < 500,
        )  # fmt: skip
        scheme = "dark" if view.dark else "light"
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._cdp("Emulation.setEmulatedMedia", media=view.media, features=features)

    def evaluate(self, source: str, *arguments: object) -> Any:
        """What a function's body returns in the page; its promises are waited for."""
        body = f"const done = arguments[arguments.length - 1]; (async () => {{ {source} }})().then(done);"
        return self._call("POST", f"{self._session}/execute/async", {"script": body, "args": list(arguments)})

    def screenshot(self, path: Path, whole: bool = True) -> None:
        """A PNG of the page, from its top to its end or of the window."""
        shot = self._cdp("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))

    def pdf(self, path: Path) -> None:
        """The page as printed on A4."""
        made = self._cdp("Page.printToPDF", paperWidth=8.27, paperHeight=11.69, printBackground=True)
        path.write_bytes(base64.b64decode(made["data"]))

    def log(self, kind: str = "browser") -> Sequence[Mapping[str, Any]]:
        """What was logged since the last call: the page's errors, or with `performance` what DevTools saw."""
        found: Sequence[Mapping[str, Any]] = self._call("POST", f"{self._session}/se/log", {"type": kind})
        return found

    def requests(self) -> list[str]:
        """Addresses that the page asked for since it was opened."""
        messages = [json.loads(entry["message"])["message"] for entry in self.log("performance")]
        sent = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        return [str(one["request"]["url"]) for one in sent]

    def close(self) -> None:
        self._call("DELETE", self._session)

    def _cdp(self, command: str, **parameters: object) -> Any:
        call = {"cmd": command, "params": parameters}
        return self._call("POST", f"{self._session}/goog/cdp/execute", call)

    def _call(self, method: str, path: str, content: object = None) -> Any:
        request = urllib.request.Request(
            self._address + path,
            method=method,
            data=None if content is None else json.dumps(content).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=CALL_S) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.read().decode()[:2000]}") from error


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser with a driver of its own, both ended afterwards."""
    driver = subprocess.Popen(
        ["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert driver.stdout is not None
        for line in driver.stdout:
            started = re.search(r"started successfully on port (\d+)", line)
            if started:
                browser = Browser(f"http://127.0.0.1:{started[1]}")
                try:
                    yield browser
                finally:
                    browser.close()
                return
        raise AssertionError("chromedriver did not start")
    finally:
        driver.terminate()
        driver.wait()

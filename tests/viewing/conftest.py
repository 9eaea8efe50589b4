"""A browser that looks at pages as a person would, and tells what it loaded and complained of."""

import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--window-size=1100,800",
)
PATIENCE = 120  # seconds, of a machine that draws without a GPU


class Browser:
    """Chromium, driven by selenium."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver
        self.requested: list[str] = []

    def open(self, url: str) -> None:
        """Opens a page and waits until its viewer says that it is ready; `requested` starts anew."""
        self.driver.get("about:blank")
        self.messages()
        self._read_requests()
        self.requested = []
        self.driver.get(url)
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        from selenium.webdriver.support.ui import WebDriverWait

        said = "return document.body && document.body.dataset.state"
        WebDriverWait(self.driver, PATIENCE).until(lambda _: self.run(said) in ("ready", "failed"))
        assert self.run(said) == "ready", self.text("failure")

    def run(self, script: str, *arguments: object) -> Any:
        """What a script in the page returns."""
        return self.driver.execute_script(script, *arguments)

    def find(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def text(self, name: str) -> str:
        """The text of the element with this id."""
        return self.run("return document.getElementById(arguments[0]).textContent", name)

    def press(self, *keys: str, shift: bool = False) -> None:
        """Keys, pressed where the focus is."""
        from selenium.webdriver import ActionChains, Keys

        actions = ActionChains(self.driver)
        if shift:
            actions.key_down(Keys.SHIFT).send_keys(*keys).key_up(Keys.SHIFT).perform()
        else:
            actions.send_keys(*keys).perform()

    def picture(self, selector: str) -> np.ndarray:
        """What is seen of an element, (rows, columns, 3) uint8."""
        return np.asarray(Image.open(io.BytesIO(self.find(selector).screenshot_as_png)).convert("RGB"))

    def messages(self) -> list[str]:
        """What the console said since the last call: warnings and errors."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Every address that was asked for since the page was opened."""
        self._read_requests()
        return self.requested

    def _read_requests(self) -> None:
        for entry in self.driver.get_log("performance"):
            event = json.loads(entry["message"])["message"]
            if event["method"] in ("Network.requestWillBeSent", "Network.webSocketCreated"):
                self.requested.append(event["params"].get("request", event["params"])["url"])


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Headless Chromium with WebGL in software."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver = shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("no chromium with chromedriver on this machine; apt-get install chromium chromium-driver")
    webdriver = pytest.importorskip("selenium.webdriver", reason="no selenium; pip install '.[test]'")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "WARNING"})
    running = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    running.set_script_timeout(PATIENCE)
    yield Browser(running)
    running.quit()


@pytest.fixture
def visit(browser: Browser) -> Callable[[Path], Browser]:
    """A function that opens a file as a page, from the disk."""

    def open_file(path: Path) -> Browser:
        browser.open(path.as_uri())
        return browser

    return open_file

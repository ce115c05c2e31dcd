"""A person at a browser that Playwright does not drive: what they find by role and name, press, type and see."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.webdriver import ELEMENT, WebDriver, WebDriverError

PATIENCE_SECONDS = 15

# Only what is seen is found; where a modal dialog is open, only what is in the front one.
_FIND = """
const [what, name, within] = arguments;
const ROLES = {
  button: "button, [role=button]", link: "a[href]:not([role])", checkbox: "input[type=checkbox]", heading: "h1, h2",
};
const words = (text) => text.replace(/\\s+/g, " ").trim();
const nameOf = (element) => words(
  element.getAttribute("aria-label") ??
  [...element.ariaLabelledByElements ?? []].map((label) => label.textContent).join(" ")
) || words([...element.labels ?? []].map((label) => label.textContent).join(" ") || element.textContent);
const front = [...document.querySelectorAll("dialog:modal")].at(-1) ?? document;
const places = within ? [front, ...front.querySelectorAll(within)].filter((one) => one.matches?.(within)) : [front];
const place = places.find((one) => one === document || one.checkVisibility());
return [...place?.querySelectorAll(ROLES[what] ?? what) ?? []].find((element) => {
  if (!element.checkVisibility({ visibilityProperty: true })) return false;
  if (name === null) return true;
  return name.endsWith("*") ? nameOf(element).startsWith(name.slice(0, -1)) : nameOf(element) === name;
}) ?? null;
"""
_TEXT = "return (document.querySelector('dialog:modal') ?? document.body).innerText"


class Window:
    """Waits for everything it is asked for, as a person does. Addresses are paths below `url`, or whole links."""

    def __init__(self, driver: WebDriver, url: str) -> None:
        self.driver = driver
        self.url = url

    # What a person does

    def open(self, address: str) -> None:
        self.driver.do("Navigate", url=address if "://" in address else self.url + address)

    def go_back(self) -> None:
        self.driver.do("Back")

    def go_forward(self) -> None:
        self.driver.do("Forward")

    def press(self, name: str | None, *, role: str = "button", within: str | None = None) -> None:
        """Press what has this role and name, or just this role; "Remove*" is what begins so."""
        self._on(role, name, within, lambda element: self.driver.do("ElementClick", id=element))

    def fill(self, name: str, text: str, *, within: str | None = None) -> None:
        """Write into the field that is posted under this name."""

        def write(element: str) -> None:
            self.driver.do("ElementClear", id=element)
            self.driver.do("ElementSendKeys", id=element, text=text)

        self._on(f"[name={name}]", None, within, write)

    def choose_file(self, file: Path) -> None:
        def choose(element: str) -> None:
            self.driver.do("ElementSendKeys", id=element, text=str(file))

        self._on("input[type=file]", None, None, choose)

    def press_key(self, key: str) -> None:
        """A key of the keyboard, with what has the focus."""
        keys = [{"type": kind, "value": key} for kind in ("keyDown", "keyUp")]
        self.driver.do("PerformActions", actions=[{"type": "key", "id": "keyboard", "actions": keys}])

    def sign_in(self, email: str, password: str) -> None:
        self.open("/login")
        self.fill("email", email)
        self.fill("password", password)
        self.press("Sign in")
        self.sees("return !location.pathname.startsWith('/login')")

    def is_as_wide_as(self, width: int, height: int = 900) -> None:
        self.driver.do("SetWindowRect", width=width, height=height)

    # What a person sees

    def find(self, what: str, name: str | None = None, *, within: str | None = None) -> Any:
        """Something with this role, or that this selector selects; None if it cannot be seen now."""
        return self.driver.script(_FIND, what, name, within)

    def sees(self, script: str, *args: Any) -> Any:
        """Wait until the script returns something true."""
        return _wait(lambda: self.driver.script(script, *args), lambda: f"not so: {script} {args}\n{self.text}")

    def finds(self, what: str, name: str | None = None, *, within: str | None = None) -> Any:
        """Wait until there is something with this role, or that this selector selects."""
        return _wait(
            lambda: self.find(what, name, within=within), lambda: f"no {what} {name or ''} is seen in:\n{self.text}"
        )

    def misses(self, what: str) -> None:
        """Wait until nothing that this selector selects is seen."""
        _wait(lambda: self.find(what) is None, lambda: f"{what} is still seen in:\n{self.text}")

    def reads(self, words: str, *, within: str) -> None:
        """Wait until these words stand in what this selector selects."""
        self.sees("return document.querySelector(arguments[0])?.innerText.includes(arguments[1])", within, words)

    @property
    def text(self) -> str:
        return str(self.driver.script(_TEXT))

    def _on(self, what: str, name: str | None, within: str | None, do: Callable[[str], object]) -> None:
        """Do something with an element. It may be exchanged in that moment, by a table that refreshes itself."""
        said = ""

        def is_done() -> bool:
            nonlocal said
            element = self.find(what, name, within=within)
            if element is None:
                said = f"no {what} {name or ''} is seen"
                return False
            try:
                do(element[ELEMENT])
            except WebDriverError as refusal:
                said = str(refusal)
                return False
            return True

        _wait(is_done, lambda: f"{said}, in:\n{self.text}")


def _wait(look: Callable[[], Any], tell: Callable[[], str]) -> Any:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (seen := look()):
        assert time.monotonic() < deadline, tell()
        time.sleep(0.05)
    return seen

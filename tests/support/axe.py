"""axe-core, vendored: what it finds wrong with the page that is open."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, Page

_SOURCE = Path(__file__).parent / "vendor" / "axe.min.js"
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_IS_READY = "() => { if (!window.axe) window.unpackAxe?.(); return 'axe' in window; }"
_RUN = """
([part, rules]) => axe.run(part, {runOnly: rules, resultTypes: ["violations"]}).then(results => results.violations)
"""


@cache
def _source() -> str:
    return _SOURCE.read_text()


def make_ready(context: BrowserContext) -> None:
    """For who looks at many pages: have axe in each from now on. It is unpacked where it is used."""
    context.add_init_script(f"window.unpackAxe = () => {{ {_source()} }}")


def violations(page: Page, part: str = "html") -> list[str]:
    """What breaks a rule of WCAG 2.2 AA or a good habit in a part of the page: the rule, where, and why."""
    if not page.evaluate(_IS_READY):
        # Past the page's Content-Security-Policy, as the developer tools are.
        page.evaluate(_source())
    found: list[dict[str, Any]] = page.evaluate(_RUN, [part, _RULES])
    return [
        f"{broken['id']}: {node['target']} {node['failureSummary']}" for broken in found for node in broken["nodes"]
    ]

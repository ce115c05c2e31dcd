"""The program's own time limits, made shorter: the application has no settings for them, and tests no patience.

The values of constants are exchanged while their modules are read, so that whatever is derived from them follows.
Has to be asked for before the application is imported.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any

LEASE_SECONDS = 4.0
DEADLINE_SECONDS = 2.0
PATIENCE_SECONDS = 0.7
"""The same proportions as in earnest: 60, 30 and 10."""

SHORT: Mapping[str, Mapping[str, Any]] = {
    "app.database": {"_BUSY_TIMEOUT_SECONDS": 3, "_ASLEEP_SECONDS": LEASE_SECONDS},
    "app.outbox.services": {"LEASE_SECONDS": LEASE_SECONDS, "_FIRST_RETRY_SECONDS": 0.2, "_LONGEST_RETRY_SECONDS": 2.0},
    "app.outbox.servers": {
        "_AWAY_PAUSE_SECONDS": 0.1,
        "_FAULT_PAUSES_SECONDS": (0.1,),
        "_PROBE_SECONDS": 3.0,
    },
    "app.outbox.desk": {"_FEWER_SECONDS": 1.0},
    "app.outbox.sender": {"_IDLE_SECONDS": 0.5, "BEGIN_SECONDS": 1.0},
}
DEFAULTS: Mapping[str, Mapping[str, Mapping[str, object]]] = {
    "app.outbox.smtp": {"SmtpConnection": {"timeout": PATIENCE_SECONDS, "deadline": DEADLINE_SECONDS}},
}
"""The defaults of the keyword arguments with which classes are made."""


def shorten() -> None:
    """From now on, whatever is imported of the application has little patience."""
    early = [name for name in (*SHORT, *DEFAULTS) if name in sys.modules]
    assert not early, f"imported too early: {early}"
    sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in SHORT and fullname not in DEFAULTS:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        assert spec is not None
        assert isinstance(spec.loader, SourceFileLoader)
        loader: Loader = _Loader(spec.loader.name, spec.loader.path)
        spec.loader = loader
        return spec


class _Loader(SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType:
        # Not from the cache of compiled modules, and not into it.
        values = dict(SHORT.get(fullname, {}))
        tree = ast.parse(self.get_data(self.path), self.path)
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id in values:
                node.value = ast.copy_location(ast.Constant(values.pop(node.targets[0].id)), node.value)
        assert not values, f"{fullname} has no {list(values)}"
        code: Any = compile(tree, self.path, "exec", dont_inherit=True)
        assert isinstance(code, CodeType)
        return code

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        for name, values in DEFAULTS.get(module.__name__, {}).items():
            defaults = getattr(module, name).__init__.__kwdefaults__
            assert values.keys() <= defaults.keys()
            defaults.update(values)

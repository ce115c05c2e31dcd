"""Any string that Python can hold is tried, as often as FUZZ_EXAMPLES says."""

from __future__ import annotations

import os

from hypothesis import settings
from hypothesis import strategies as st

any_example = settings(max_examples=int(os.environ.get("FUZZ_EXAMPLES", "200")), deadline=None)

# Everything Python can hold in a string: lone surrogates, NUL and unassigned code points too.
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=300)

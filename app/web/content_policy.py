"""The Content-Security-Policies: what a browser may load and do on each kind of page."""

OUR_OWN_FILES = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; frame-src 'self'; "
    "form-action 'self'; base-uri 'none'"
)
PAGE_POLICY = f"{OUR_OWN_FILES}; frame-ancestors 'none'"
"""The Content-Security-Policy of every answer that does not set one itself."""

# A mail carries its own styles. It runs no scripts, loads nothing, has an origin of its own, and can be framed only by
# our pages, and by those that may show our page in a frame. Its links open like any link.
MAIL_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; base-uri 'none'; "
    "frame-ancestors {ancestors}; sandbox allow-popups allow-popups-to-escape-sandbox"
)
FRAMED_PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
)

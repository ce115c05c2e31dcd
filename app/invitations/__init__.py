"""The link in an invitation: how it is derived, what state it is in, and its pages."""

"""How a portal looks and speaks to those it invites: draft, preview, publish."""

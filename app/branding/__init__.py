"""How a portal looks and speaks to the people it invites: draft, preview, publish."""

"""Tenancy: portals, memberships, guards, the portal picker and the Accounts page."""

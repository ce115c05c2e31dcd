"""Bulk Invite: many clients from one CSV file, all or nothing."""

"""Connections to addresses that others have named, bounded in time: dialing, and HTTP."""

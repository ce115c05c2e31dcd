"""Connections to addresses that other people named, bounded in time: dialing and HTTP."""

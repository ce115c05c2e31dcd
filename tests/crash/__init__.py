"""Crash tests: the whole program is killed, stopped, frozen and cut off, and one checker says whether a mail was lost.

`fault_smtp` is the mail server, `crash_points` and `crash_process` are the processes that die where they are told to,
`installation` is what admins do, and `checker` compares what they were answered with what arrived.
"""

"""The HTTP server of the web processes, under gunicorn and in `make run`.

It imports nothing of `app`. gunicorn's master loads it before forking, and must not keep old code of the application
when it is told to start new workers (SIGHUP).
"""

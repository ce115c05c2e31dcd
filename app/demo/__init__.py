"""First run: demo portal, local mail catcher and mail viewer. Used by `python wsgi.py` only."""

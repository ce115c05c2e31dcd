"""A program of its own that reads one workbook: `python -I workbook_reader/__main__.py < file`.

It knows nothing of the application. `app/imports/workbook_process.py` starts it anew for each workbook, so that
whatever a file does to the libraries that read it ends with the process. In: the bytes of an .xlsx, .xls or .ods file
on standard input. Out: JSON on standard output, an `Answer` or a `Refusal` (`answers.py`). The process sets limits on
its own memory and time. If one is reached it dies without an answer.
"""

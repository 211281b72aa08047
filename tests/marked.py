"""Finding every process that came of a test, by a variable that it put into their environment."""

import psutil


def marked(name: str, **values: str) -> list[psutil.Process]:
    """Processes that inherited the environment variable `name`, and others with these values."""
    found = []
    for process in psutil.process_iter():
        try:
            environ = process.environ()
        except psutil.Error:
            continue
        if name in environ and values.items() <= environ.items():
            found.append(process)
    return found

"""What can be rendered inside the sandbox: one module per kind of code, imported by the server alone.

A backend module has

    REUSABLE: bool                           whether a worker renders again, or a fresh one is forked each time
    THREADS: bool                            whether its workers may start threads
    warm(options) -> None                    in the server, once: imports, a first rendering; may start no thread
    enter(options) -> None                   in each worker, isolated, before its first job
    render(code: str, options) -> Rendering  in a worker; raises RenderingFailed

`options` is the plain mapping of the task's render settings. A backend imports the standard library, its rendering library
and `visual_erm.sandbox.outcome`: nothing else of this project is there.
"""

"""What can be drawn inside the sandbox: one module per kind of code, imported by the server alone.

A backend module has

    REUSABLE: bool                           whether a worker renders again, or a fresh one is forked each time
    THREADS: bool                            whether its workers may start threads
    warm(options) -> None                    in the server, once: imports, a first rendering; may start no thread
    enter(options) -> None                   in each worker, isolated, before its first job
    render(code: str, options) -> Rendering  in a worker; raises RenderingFailed

`options` is the plain mapping of the task's render settings. Backends know the standard library, what they draw with and
`visual_erm.sandbox.outcome`: nothing else of this project is there.
"""

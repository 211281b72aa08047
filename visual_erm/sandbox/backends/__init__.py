"""What can be rendered inside the sandbox: one backend module per kind of code, imported by the fork server alone.

A backend module has

    REUSABLE: bool                           whether a worker renders again, or a fresh one is forked each time
    THREADS: bool                            whether its workers may start threads
    warm(options) -> None                    in the server, once: imports, a first rendering; may start no thread
    enter(options) -> None                   in each worker, isolated, before its first job
    render(code: str, options) -> Rendering  in a worker; raises RenderingFailed

A MemoryError from `render` becomes RenderLimit, as does an OSError that says that memory or disk is used up. Any other
exception than RenderingFailed becomes RenderFailed.

`svg` is the backend for SVG. It calls `render_rgba` of `svg_librsvg` or `svg_cairosvg`, as the option `backend` says.

`options` is the plain mapping of the task's render settings. A backend imports the standard library, its rendering library,
`visual_erm.sandbox.outcome` and modules of this folder. It imports nothing else of this project.
"""

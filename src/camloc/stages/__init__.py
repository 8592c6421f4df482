"""What each stage of the pipeline does: read files, call the package, write files.

A module a notebook, each with one function `run`; its arguments are the sections of params.yaml
as plain dictionaries, as papermill injects them. The notebooks call it, then show what came out.
"""

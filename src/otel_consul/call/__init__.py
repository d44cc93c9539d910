"""One call's life: read, begun, answered, ended, and what is told of it.

`recorder` reads a call and makes it, `deferred` follows a value that comes later, `observed_call` is its life, `end` what is
told of it then, `result` how it ended. What they share stands in `shared`, what is the same for every call of a
type in `call_types`.
"""

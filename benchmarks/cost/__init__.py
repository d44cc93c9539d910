"""What the plugin costs: ``python -m benchmarks.cost``, or ``make bench``.

Every figure compares two things measured alternately in one process (`timing`), or in paired processes where one
cannot hold both. A section is a file: `percall` (with `percall_async` and `datadog`), `states`, `growth` (with
`growth_async`, `long_run`), `startup`, `others`. `table` prints the rows, with the targets beside.
"""

"""What happened to the Consul calls of this process, in plain words on the terminal: no back end needed.

    opentelemetry-instrument --traces_exporter consul_report --metrics_exporter none python app.py

prints, when the program ends (also by SIGTERM) and on SIGUSR1, for each operation: calls, P50, P99, how they ended, how
many had no deadline, where the time went, and one sentence that names the dominant cause. Needs the extra `report`.

It is made from finished spans alone, in constant memory. `Aggregate` takes spans from anywhere, for example from an
OTLP receiver; `report` prints one.
"""

from otel_consul.report.aggregate import Aggregate, Operation
from otel_consul.report.exporter import ReportExporter
from otel_consul.report.render import report, show
from otel_consul.report.verdict import Verdict, judge, worst
from otel_consul.report.wording import Cause

__all__ = [
    "Aggregate",
    "Cause",
    "Operation",
    "ReportExporter",
    "Verdict",
    "judge",
    "report",
    "show",
    "worst",
]

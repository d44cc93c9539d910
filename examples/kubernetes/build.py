"""Print the dashboards as a ConfigMap and the rules as a PrometheusRule: `python -m examples.kubernetes.build | kubectl apply -f -`.

Made of the files in `examples/grafana`, so there is no second copy of them. `--namespace` and `--label` (of the ConfigMap, as
Grafana's sidecar looks for it) are yours to choose.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from textwrap import indent

GRAFANA = Path(__file__).parents[1] / "grafana"


def dashboards(namespace: str, label: str) -> str:
    """The ConfigMap with every dashboard."""
    name, _, value = label.partition("=")
    head = _head("v1", "ConfigMap", "consul-client-dashboards", namespace)
    labels = f'  labels:\n    {name}: "{value}"\n'
    files = "".join(
        f"  {path.name}: |\n{indent(path.read_text('utf-8'), '    ')}"
        for path in sorted((GRAFANA / "dashboards").glob("*.json"))
    )
    return f"{head}{labels}data:\n{files}"


def rules(namespace: str) -> str:
    """The PrometheusRule with every recording and alert rule."""
    head = _head("monitoring.coreos.com/v1", "PrometheusRule", "consul-client", namespace)
    return f"{head}spec:\n{indent((GRAFANA / 'rules.yaml').read_text('utf-8'), '  ')}"


def _head(version: str, kind: str, name: str, namespace: str) -> str:
    return f"apiVersion: {version}\nkind: {kind}\nmetadata:\n  name: {name}\n  namespace: {namespace}\n"


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(prog="python -m examples.kubernetes.build", description=__doc__)
    parser.add_argument("--namespace", default="monitoring")
    parser.add_argument("--label", default="grafana_dashboard=1", help="NAME=VALUE (default: %(default)s)")
    options = parser.parse_args()
    sys.stdout.write(f"{dashboards(options.namespace, options.label)}---\n{rules(options.namespace)}")


if __name__ == "__main__":
    main()

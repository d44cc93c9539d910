"""Faults over HTTP, for a driver in another process: `PUT /stub/fault`, `GET /stub/requests` and more."""

from __future__ import annotations

from testbed.stub_agent.faults import Fault, Faults
from testbed.stub_agent.messages import Answer, Request

CONTROL_PREFIX = "/stub/"


def control(request: Request, faults: Faults, requests: list[Request]) -> Answer:
    """Carry out a control request.

    - `PUT /stub/fault` with the fields of `Fault` as JSON: `{"ID": 1}`
    - `GET /stub/fault`: those in force, with `hits`
    - `DELETE /stub/fault` or `/stub/fault/1`: end all, or one; held answers go on
    - `GET /stub/requests`: method, target and connection of each so far
    """
    head, _, number = request.path.removeprefix(CONTROL_PREFIX).partition("/")
    match request.method, head:
        case "PUT", "fault":
            try:
                return Answer.of({"ID": faults.add(Fault.from_json(request.json())).number})
            except (TypeError, ValueError, AttributeError) as error:
                return Answer.text(400, str(error))
        case "GET", "fault":
            return Answer.of([{"ID": i.number, "hits": i.hits, "path": i.fault.path} for i in faults.all()])
        case "DELETE", "fault":
            return Answer.of({"ended": faults.release(int(number) if number.isdigit() else None)})
        case "GET", "requests":
            return Answer.of([{"method": r.method, "target": r.target, "connection": r.connection} for r in requests])
        case _:
            return Answer(404)

"""Calls that hang, and programs in processes of their own."""

from tests.support.hanging import hanging, in_thread, logs, program, receiver

__all__ = ["hanging", "in_thread", "logs", "program", "receiver"]

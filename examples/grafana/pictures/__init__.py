"""The dashboards drawn for the documentation."""

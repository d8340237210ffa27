"""Plumbline's engine: events in, trustworthy numbers out. Knows nothing of the dashboard."""

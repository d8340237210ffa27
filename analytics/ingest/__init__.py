"""Bytes from senders to rows: STEPS in intake.py, reasons for refusal in reasons.py."""

"""Bytes in, messages out: Tornado handlers that translate and leave every decision to the service."""

"""Where events are kept and asked for. `base.py` is the whole contract."""

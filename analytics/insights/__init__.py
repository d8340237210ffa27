"""From numbers to statements: how sure, and what changed."""

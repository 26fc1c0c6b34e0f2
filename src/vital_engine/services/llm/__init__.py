"""Models: whoever answers a prompt. Each fulfils :class:`vital_engine.ports.LLM`."""

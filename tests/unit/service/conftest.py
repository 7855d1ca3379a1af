"""Fixtures of the service: the scripted gateway of the core's tests."""

from __future__ import annotations

from tests.unit.core.core_servers import closed_port, gateway

__all__ = ["closed_port", "gateway"]

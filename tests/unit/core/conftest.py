"""Fixtures of the client core: small real servers and certificates."""

from __future__ import annotations

from tests.unit.core.core_servers import certificate, closed_port, gateway, other_certificate

__all__ = ["certificate", "closed_port", "gateway", "other_certificate"]

"""The gateway's private run folder: configuration, log settings, key and certificate.

login.md §9.1 (keys of the configuration, found through the class path), §9.7 (address
list: both keys must be there, or every address passes). The delivered log settings write
cookies and the session secret in clear, the delivered certificate is public and expired
in 2019: none of them is used.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ibtui.checks import unfit_address
from ibtui.errors import UsageError
from ibtui.gateway.diagnose import unwritable
from ibtui.paths import private, write_private

API_HOST = "https://api.ibkr.com"
"""Where the delivered configuration sends everything."""
LOCAL = "127.0.0.1"
LOG_SIZE = "2MB"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The files of a run folder (0700); all of them are 0600."""

    path: Path

    @property
    def conf(self) -> Path:
        """The gateway's configuration."""
        return self.path / "conf.yaml"

    @property
    def logback(self) -> Path:
        """The gateway's log settings."""
        return self.path / "logback.xml"

    @property
    def key(self) -> Path:
        """Our private key, PEM."""
        return self.path / "gateway.key"

    @property
    def certificate(self) -> Path:
        """Our certificate, PEM: the one file a client trusts."""
        return self.path / "gateway.pem"

    @property
    def store(self) -> Path:
        """Key and certificate as the gateway reads them, PKCS#12."""
        return self.path / "gateway.p12"

    @property
    def log(self) -> Path:
        """What the gateway writes through its log."""
        return self.path / "gateway.log"

    @property
    def output(self) -> Path:
        """What the process prints."""
        return self.path / "output.log"

    @property
    def pid(self) -> Path:
        """Which process is ours."""
        return self.path / "gateway.pid"

    @property
    def lock(self) -> Path:
        """Held while one of us starts or stops."""
        return self.path / "gateway.lock"


def write(
    folder: RunFolder,
    port: int,
    *,
    tls: bool = True,
    proxy_host: str = API_HOST,
    proxy_ssl: bool = True,
    allow: Sequence[str] = (LOCAL,),
    region: str = "US",
    auth_delay_ms: int = 3000,
    now: datetime | None = None,
) -> Path | None:
    """Write everything the gateway reads; returns the certificate (PEM), None without TLS.

    Call it only while no gateway of this folder runs: the certificate may be renewed.

    Args:
        port: where the gateway listens.
        tls: HTTPS; False serves plain HTTP.
        proxy_host: IBKR's origin, or a simulator's.
        proxy_ssl: whether `proxy_host` is spoken to with TLS.
        allow: client addresses that may use the gateway, beside 127.0.0.1.
        region: of the login page it leads to, two letters.
        auth_delay_ms: its pause between a login and opening the brokerage session.

    Raises:
        UsageError: `port` or an address in `allow` is not one.
        GatewayFault: the folder cannot be written.
    """
    if not 1 <= port <= 65535:
        raise UsageError(f"{port} is not a port.", "Correct the port in the profile's gateway_url.")
    for address in allow:
        why = unfit_address(address)
        if why:
            raise UsageError(f"{why[0].upper()}{why[1:]}", "Correct allowed_addresses in the profile.")
    try:
        private(folder.path)
        _clear(folder)
        write_log_settings(folder)
        password = ""
        if tls:
            from ibtui.gateway.certificate import key_store

            password = key_store(folder, now or datetime.now(UTC))
        text = conf_text(folder, port, password, proxy_host, proxy_ssl=proxy_ssl, allow=allow)
        text += f"ip2loc: {json.dumps(region)}\nauthDelay: {auth_delay_ms}\n"
        write_private(folder.conf, text.encode())
    except OSError as error:
        raise unwritable(folder.path, error) from None
    return folder.certificate if tls else None


def write_log_settings(folder: RunFolder) -> None:
    """Write logback.xml alone, for a gateway that runs on the user's own configuration."""
    try:
        write_private(folder.logback, logback_text(folder).encode())
    except OSError as error:
        raise unwritable(folder.path, error) from None


def conf_text(
    folder: RunFolder, port: int, password: str, proxy_host: str, *, proxy_ssl: bool, allow: Sequence[str]
) -> str:
    """The configuration, YAML. Strings are JSON strings, which YAML reads as they are.

    `portalBaseURL` has no default in the gateway: without it everything under /v1/ is a 500.
    `cors` names our own addresses: the delivered one allows every web page to call the session, and so
    does a configuration without the key. No `webApps`.
    """
    lines = [f"listenPort: {port}", f"listenSsl: {_flag(bool(password))}"]
    if password:
        lines += [f"sslCert: {json.dumps(str(folder.store))}", f"sslPwd: {json.dumps(password)}"]
    lines += [
        f"proxyRemoteHost: {json.dumps(proxy_host)}",
        f"proxyRemoteSsl: {_flag(proxy_ssl)}",
        'portalBaseURL: ""',
        "cors:",
        f"  origin.allowed: {json.dumps(_own_origins(port, tls=bool(password)))}",
        "  allowCredentials: false",
        "ips:",
        "  allow:",
        # Without it our own probes are refused.
        *(f"    - {json.dumps(address)}" for address in dict.fromkeys((LOCAL, *allow))),
        "  deny: []",
    ]
    return "\n".join(lines) + "\n"


def _own_origins(port: int, *, tls: bool) -> str:
    """Pages of the gateway itself (its login page), as the regular expression that it wants."""
    return rf"{'https' if tls else 'http'}://(localhost|127\.0\.0\.1):{port}"


def logback_text(folder: RunFolder) -> str:
    """Log settings: warnings into one rotated file, names of cookies and secrets without values."""
    path = str(folder.log).replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    named = r"(?i)((?:cookie|session|token|secret|xyzab|userid|api|pwd)[\w.-]*\W{0,3}[=:]\s*)[^\s;,&amp;]+"
    text = f"%replace(%message%n%ex{{6}}){{'{named}', '$1***'}}"
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<configuration>
  <statusListener class="ch.qos.logback.core.status.NopStatusListener"/>
  <appender name="FILE" class="ch.qos.logback.core.rolling.RollingFileAppender">
    <file>{path}</file>
    <rollingPolicy class="ch.qos.logback.core.rolling.FixedWindowRollingPolicy">
      <fileNamePattern>{path}.%i</fileNamePattern>
      <minIndex>1</minIndex>
      <maxIndex>3</maxIndex>
    </rollingPolicy>
    <triggeringPolicy class="ch.qos.logback.core.rolling.SizeBasedTriggeringPolicy">
      <maxFileSize>{LOG_SIZE}</maxFileSize>
    </triggeringPolicy>
    <encoder>
      <pattern>%d{{HH:mm:ss.SSS}} %-5level %logger{{0}} : {text}%nopex</pattern>
    </encoder>
  </appender>
  <logger name="HttpMessageLogger" level="OFF" additivity="false"/>
  <logger name="ibgroup.web.core.clientportal.gw.core.CookieManager" level="OFF" additivity="false"/>
  <root level="WARN">
    <appender-ref ref="FILE"/>
  </root>
</configuration>
"""


def _clear(folder: RunFolder) -> None:
    """Remove what a killed gateway left behind (its unpacked files)."""
    shutil.rmtree(folder.path / ".vertx", ignore_errors=True)


def _flag(value: bool) -> str:
    return "true" if value else "false"

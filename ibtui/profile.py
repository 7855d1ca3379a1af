"""The shapes of the settings: a profile, the looks, outside addresses, where a secret comes from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Source:
    """`[profiles.NAME.password]` and its like: where one secret comes from; one of these, or none."""

    command: tuple[str, ...] = ()
    """A program and its arguments, no shell; the first line it prints."""
    file: str = ""
    """A file that only its owner may read; its first line."""
    credential: str = ""
    """The name of a systemd credential."""
    keyring: str = ""
    """SERVICE/USER in the keyring, which must be installed."""
    env: str = ""
    """The name of an environment variable."""

    @property
    def kind(self) -> str:
        """The one that is set; empty for none."""
        return next((name for name in HOWS if getattr(self, name)), "")

    def __bool__(self) -> bool:
        return bool(self.kind)

    def __str__(self) -> str:
        """`command pass`, `file /run/secrets/ibkr`: for people; arguments stay unsaid."""
        found = getattr(self, self.kind) if self.kind else ""
        return f"{self.kind} {found[0] if isinstance(found, tuple) else found}".strip()


HOWS = ("command", "file", "credential", "keyring", "env")
SECRETS = ("password", "totp_secret", "twilio_token", "passphrase", "serve_token")
"""The keys of a profile that hold a `Source`."""


@dataclass(frozen=True, slots=True)
class Profile:
    """`[profiles.NAME]`: one account at one door."""

    name: str = "default"
    mode: str = "gateway"
    """gateway, oauth1, oauth2 or demo."""
    account_type: str = "paper"
    """paper or live: what you mean this profile to be."""
    trading: bool = False
    """Only true lets an order-changing request out."""
    username: str = ""
    gateway_url: str = "https://localhost:5000"
    gateway_dir: str = ""
    """Folder of a Client Portal Gateway, or `installed`: what `gateway install` put here. Empty: that one,
    if there is one and gateway_url is on this machine; else the gateway is somebody else's."""
    gateway_command: tuple[str, ...] = ()
    """A program to run in place of java (argument list, no shell). A gateway's own bin/run.sh is not run:
    java is started directly, with the configuration that the list names."""
    gateway_cwd: str = ""
    """Folder in which gateway_command runs; empty: a private one of the profile."""
    upstream: str = "https://api.ibkr.com"
    """Where a gateway of ours passes requests on to; a simulator's address for trying things."""
    java: str = ""
    """Path of java; empty: JAVA_HOME, then PATH."""
    ca_file: str = ""
    """Certificates to trust for the gateway, PEM; empty: pin on first use."""
    fingerprint: str = ""
    """SHA-256 of the gateway's certificate, hex; empty: pinned on first use on loopback."""
    insecure_http: bool = False
    """Allow http:// to a gateway that is not on this machine."""
    region: str = "US"
    """Region of the login page that a gateway of ours leads to (`ip2loc`)."""
    allowed_addresses: tuple[str, ...] = ("127.0.0.1",)
    """Addresses that a gateway of ours lets in; it listens on every interface, and only this protects it."""
    auth_delay_ms: int = 3000
    """Pause of a gateway of ours between a login and opening the brokerage session."""
    keep_alive: bool = True
    """Keep the session alive, in a process of its own that outlives the terminal."""
    relogin: str = "source"
    """Log in again when the session has ended: off; source (where the password has one); memory (also with a
    typed password, which then stays in the keep-alive's memory until logout or refusal)."""
    competing: str = "ask"
    """Another program holds the brokerage session: ask, yield (for `yield_minutes`) or take (no question)."""
    yield_minutes: int = 30
    """How long the brokerage session is left to another program."""
    hook: tuple[str, ...] = ()
    """A program told of each change (argument list, no shell), as one JSON object on its standard input."""
    stop_gateway_on_exit: bool = False
    """Whether `ibtui serve` stops a gateway of ours when it is told to end."""
    second_factor: str = ""
    """Which to use where IBKR offers several: sms, ibkey, totp, an SF code; empty: asked, and remembered."""
    use_ibkey: bool = False
    """Enroll IB Key without asking, where Twilio is set up: at first, and when its counter is used up."""
    max_attempts: int = 4
    """Failed logins in a row before nothing is tried any more."""
    max_counter: int = 95
    """IB Key is enrolled again when its counter gets here; IBKR refuses 100."""
    counter_encoding: str = "digits"
    """digits (known to work) or rfc (RFC 6287's own; never tried against IBKR)."""
    data_store_path: str = ""
    """Folder of a data.json shared with the node service; empty: a file of our own for each user name."""
    twilio_sid: str = ""
    """Account SID at Twilio, to read the text messages with the codes."""
    password: Source = Source()
    totp_secret: Source = Source()
    twilio_token: Source = Source()
    passphrase: Source = Source()
    """Opens a sealed IB Key."""
    serve_token: Source = Source()
    """What callers of `ibtui serve` must show (`Authorization: Bearer`)."""
    oauth_file: str = ""
    """The `oauth1.json` of mode oauth1; empty: what `ibtui oauth configure` wrote for this profile."""
    oauth_query: str = "left_out"
    """What of a query is signed: left_out, raw (form-decoded) or url; which IBKR wants is not published."""
    oauth2_client_id: str = ""
    oauth2_key_id: str = "main"
    oauth2_credential: str = ""
    """The user name that is acted for."""
    oauth2_key_file: str = ""
    """The client's RSA private key, PEM, 0600."""
    oauth2_ip: str = ""
    """This machine's public address as IBKR sees it; the session is tied to it."""
    oauth2_scope: str = "sso-sessions.write sso-sessions.read"
    oauth2_audience: str = "/token"
    proxy: str = ""
    """HTTP proxy for requests; the environment's proxies are not used."""
    demo_seed: int = 7
    """Seed of the built-in simulator, for mode demo."""

    @property
    def direct(self) -> bool:
        """Whether IBKR is asked directly, with OAuth, and not through a gateway."""
        return self.mode.startswith("oauth")


@dataclass(frozen=True, slots=True)
class Ui:
    """`[ui]`: how it looks."""

    theme: str = "ibtui-dark"
    refresh_hz: int = 10
    """Repaints a second of live values at most."""
    privacy: bool = False
    """Start with amounts and account ids masked."""
    mouse: bool = True


@dataclass(frozen=True, slots=True)
class Serve:
    """`[serve]`: the HTTP door of `ibtui serve`."""

    host: str = "127.0.0.1"
    port: int = 5050
    insecure_bind: bool = False
    """Listen beyond this machine without a token."""
    allowed_hosts: tuple[str, ...] = ()
    """Names by which callers may address it, beside localhost and its own address."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """`[addresses]`: outside hosts."""

    login_host: str = "https://ndcdyn.interactivebrokers.com"
    login_ca_file: str = ""
    """Certificates to trust for login_host, PEM; empty: the system's."""
    api_host: str = "https://api.ibkr.com"
    """Direct access with OAuth."""
    api_ca_file: str = ""
    """Certificates to trust for api_host, PEM; empty: the system's."""
    twilio: str = "https://api.twilio.com"
    twilio_ca_file: str = ""
    """Certificates to trust for Twilio, PEM; empty: the system's."""
    gateway_download: str = "https://download2.interactivebrokers.com/portal/clientportal.gw.zip"
    """Where `gateway install` gets IBKR's zip."""
    gateway_download_ca_file: str = ""
    """Certificates to trust for gateway_download, PEM; empty: the system's."""

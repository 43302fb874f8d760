"""Passwords on command lines whose options do not name them: `mysql -pPASSWORD`.

Options such as `--password` are found by their names (`cues.py`).
"""

from semloop.redaction.finding import Found, pattern_finder
from semloop.redaction.shapes import Strength, strength


def _argument(text: bytes, start: int, end: int) -> Found | None:
    found = text[start:end].strip(b"\"'`")
    if strength(found) is Strength.NONE or found.startswith((b"-", b"/", b"$")):
        return None
    at = text.find(found, start)
    return Found(found, at + len(found) - start)


V = r"""("[^"\r\n]+"|'[^'\r\n]+'|[^\s"'`;|&<>]+)"""
OPTIONS = r"(?:[ \t]+[^\s|;&]+){0,12}?[ \t]+"
COMMANDS = (
    # tool, gate, options before the secret
    ("redis-cli", rf"\bredis-cli{OPTIONS}-a[ \t]+{V}"),
    ("mysql", rf"\b(?:mysql|mysqldump|mysqladmin|mariadb){OPTIONS}-p{V}"),
    ("login[ \\t]", rf"\b(?:docker|podman|helm registry|nerdctl|az|oc|cf|vault|crane|skopeo|faas-cli|kubectl|registry)[ \t]+(?:registry )?login{OPTIONS}-p[ \t=]*{V}"),
    ("curl", rf"\bcurl{OPTIONS}(?:-u|--user|--proxy-user|-U)[ \t=]*[\"']?[^\s:\"']+:([^\s\"'`|;&]+)"),
    ("sshpass", rf"\bsshpass[ \t]+-p[ \t]*{V}"),
    ("sudo", rf"""\becho[ \t]+(?:-n[ \t]+)?{V}[ \t]*\|[ \t]*(?:sudo|passwd|docker|podman|gh|vault|kinit|openssl|cryptsetup|su|base64|chpasswd)\b"""),
    ("<<<", rf"(?i)(?:token|password|passwd|secret|login|passphrase)[^\r\n<]{{0,40}}<<<[ \t]*{V}"),
    ("chpasswd", r"""\becho[ \t]+["']?[\w.\-]+:([^\s"'|]+)["']?[ \t]*\|[ \t]*(?:sudo[ \t]+)?chpasswd"""),
    ("pass:", rf"-pass(?:in|out)?[ \t]+pass:{V}"),
    ("htpasswd", rf"\bhtpasswd[ \t]+-\w*b\w*{OPTIONS}[\w.@\-]+[ \t]+{V}[ \t]*(?:$|[\r\n|;&])"),
    ("mongo", rf"\bmongo(?:sh|dump|restore|import|export)?{OPTIONS}-p[ \t]+{V}"),
    ("ldap", rf"\bldap\w+{OPTIONS}-w[ \t]+{V}"),
    ("sqlcmd", rf"\b(?:sqlcmd|bcp|isql){OPTIONS}-P[ \t]*{V}"),
    ("zip[ \\t]", rf"\b(?:zip|unzip){OPTIONS}-P[ \t]*{V}"),
    ("7z[ar]?[ \\t]", rf"\b7z[ar]?{OPTIONS}-p{V}"),
    ("smbclient", rf"\b(?:smbclient|rpcclient|net|winexe|mount\.cifs){OPTIONS}-U[ \t]+[\"']?[\w.\\/@\-]+%{V}"),
    ("net user", rf"(?i)\bnet user[ \t]+[\w.\-]+[ \t]+{V}"),
    ("keytool", rf"-(?:store|key|src|dest|deststore|srcstore)pass[ \t]+{V}"),
    ("https?[ \\t]", rf"\bhttps?{OPTIONS}(?:-a|--auth)[ \t=]+[^\s:]+:{V}"),
    ("ftp", rf"\b(?:lftp|ncftp|ftp){OPTIONS}-u[ \t]+[\w.@\-]+,{V}"),
    ("rabbitmqctl", rf"\brabbitmqctl[ \t]+(?:add_user|change_password)[ \t]+[\w.\-]+[ \t]+{V}"),
    ("machine[ \\t]", rf"\bmachine[ \t]+\S+\s+login[ \t]+\S+\s+password[ \t]+{V}"),
    ("psexec", rf"(?i)\bpsexec\S*{OPTIONS}-p[ \t]+{V}"),
    ("ansible", rf"-e[ \t]+[\"']?ansible_(?:ssh_|become_)?pass(?:word)?={V}"),
    ("requirepass", rf"\b(?:requirepass|masterauth)[ \t]+{V}"),
    ("git config", rf"\bgit config{OPTIONS}\S*(?:token|password)[ \t]+{V}"),
    ("snowsql", rf"\b(?:snowsql|psql|clickhouse-client|cqlsh|influx|impala-shell|beeline|sqlplus|isql|jq){OPTIONS}(?:-p|--password)[ \t=]+{V}"),
)  # fmt: skip
FINDERS = tuple(
    pattern_finder(
        "password", f"(?i:{gate})", pattern, _argument, rule="password of a command"
    )
    for gate, pattern in COMMANDS
)

"""Names whose values are private, and what their values must look like."""

import re
from collections.abc import Iterable, Sequence
from enum import Enum
from functools import lru_cache
from typing import Literal, NamedTuple

from semloop.errors import ConfigError

# Size of the cache of names, which repeat from event to event.
NAMES_MAX = 4096
NAME_BYTES_MAX = 64


Level = Literal["keys", "standard", "strict"]


class Values(Enum):
    """Which values of a name are private."""

    ALL = "all"  # of names in the settings
    TEXTS = "texts"  # what a password can be
    MIXED = "mixed"  # letters with digits, or random letters
    STRONG = "strong"  # only what is hardly a name: `pass`, `auth` and `key` are words
    NUMBERS = "numbers"  # with a digit: dates, phone numbers, ids
    HEADERS = "headers"  # a scheme with credentials, or pairs `name=value`


class Name(NamedTuple):
    """A class of private values."""

    name: str
    values: Values


# Between the words of a phrase.
BETWEEN = r"[ _.\-']{0,2}"
SHORT = 5
START = "(?:^|[^A-Za-z\xff])"
# In raw JSON the letter of an escape may precede a name.
RAW_START = r"(?:^|[^A-Za-z\xff]|\\[bfnrt]|\\u[0-9A-Fa-f]{4})"
# Most events have `input_tokens`, which is a count.
TOKENS = (
    "(?:^|[^_A-Za-z])(?i:tokens)"
    r"|(?i:(?:access|api|auth|bearer|device|refresh|secret|session|user)[ _\-]?tokens)"
)
WORDS = re.compile("[A-Z]+(?![a-z])|[A-Z]?[a-z\xff]+|[0-9]+")
BEYOND_ASCII = re.compile("[^\0-\x7f]")


def _words(name: str) -> tuple[str, ...]:
    """Split a name of any style into words: `dateOfBirth`, `x-api-key`, `cvv2`.

    Letters beyond ASCII are all the same, as in the text that is searched.
    """
    same = BEYOND_ASCII.sub("\xff", name)
    return tuple(word.lower() for word in WORDS.findall(same))


def _named(values: Values, **classes: str) -> dict[tuple[str, ...], Name]:
    return {
        _words(phrase): Name(name, values)
        for name, phrases in classes.items()
        for phrase in phrases.split(",")
    }


# A name is split into lower-case words; the longest of these phrases in it counts.
KNOWN = {
    **_named(
        Values.TEXTS,
        password="password, passwords, passwd, passphrase, passcode, pass word, pass phrase,"
        "pass code, mot de passe, contraseña, contrasena, passwort, kennwort, senha,"
        "wachtwoord, lösenord, losenord, passord, haslo, hasło, heslo, parola, salasana,"
        "passwrd, sshpass, pgpassword, mysql pwd, user pwd, db pwd, root pwd, identified by",
        client_secret="client secret",
        secret_key="secret key, secretkey, secret access key",
        private_key="private key, privatekey, private key pem",
        api_key="api key, apikey, api keys, apikeys, api secret",
    ),
    **_named(
        Values.MIXED,
        password="pwd, pword, pswd, passw, passwds, wifi key, wi fi key, wlan key, network key,"
        "wpa key, router key, pre shared secret, zugangspasswort, adgangskode, jelszo, jelszó",
        token="token, tokens, authtoken, jwt, bearer, pat",
        access_token="access token", refresh_token="refresh token", id_token="id token",
        secret="secret, secrets, shared secret, credential, credentials, creds, psk,"
        "pre shared key, seed phrase, mnemonic",
        key="access key, auth key, account key, shared key, encryption key, signing key,"
        "master key, service key, session key, storage key, subscription key, deploy key,"
        "webhook key, hmac key, aes key, ssh key, service role key, app key, client key,"
        "client key data, access keys, secret keys, private keys, functions key,"
        "shared access key, cookie secret, session secret, jwt secret, secret base",
        recovery_code="backup code, backup codes, recovery code, recovery codes, recovery key,"
        "backup key",
        license_key="lizenzschlüssel, clé de licence, cle de licence, clave de licencia,"
        "chiave di licenza, licentiesleutel, license key, licence key, product key, activation key, serial key,"
        "activation code, license code",
        session="phpsessid, jsessionid, aspsessionid, connect sid, csrftoken, xsrf token,"
        "csrf token, session token, session cookie, asp net sessionid",
    ),
    **_named(
        Values.STRONG,
        password="pass, pw, psw, login, clave, code d acces, geheim, zugangscode",
        session="sid",
        signature="signature, amz signature, hub signature, sig",
    ),
    **_named(
        Values.HEADERS,
        authorization="auth, authorization, proxy authorization, authorisation",
        cookie="cookie, set cookie, cookies",
    ),
    **_named(
        Values.NUMBERS,
        date_of_birth="dob, d o b, date of birth, birth date, birthdate, birthday,"
        "birth day, geburtsdatum, geboren am, date de naissance, née le, né le,"
        "fecha de nacimiento, data di nascita, data de nascimento, geboortedatum,"
        "fødselsdato, födelsedatum, born on, born",
        ssn="ssn, social security, social security number, social security no",
        card="card number, card no, card num, credit card number, debit card number, pan",
        cvv="cvv, cvc, cvv2, cvc2, card security code",
        otp="otp, otp code, verification code, one time code, one time password,"
        "one time passcode, security code, login code, auth code, authentication code,"
        "confirmation pin, einmalcode, einmalpasswort, bestätigungscode, code de vérification,"
        "código de verificación, codigo de verificacion, puk, tan code, two factor code, 2fa code, 2fa, mfa code, sms code, pin, pin code",
        iban="iban",
        phone="phone, phones, phone number, phone numbers, phone no, mobile, mobile number,"
        "mobile phone, mobile no, telephone, telephone number, tel, cell, cellphone,"
        "cell phone, fax, fax number, whatsapp, telefon, telefonnummer, handy, handynummer,"
        "ph, mob, mobil, mobiel, gsm, cellulare, cellulaire, mobilnummer, rufnummer,"
        "téléphone, portable, móvil, celular, telefono, teléfono",
        account_number="account number, account no, acct, acct no, account num, bank account,"
        "routing, routing number, routing no, sort code, konto, kontonummer, bic account,"
        "aba number, account nr",
        national_id="passport, passport no, passport number, passport num, passeport,"
        "pasaporte, reisepass, driver license, drivers license, driver s license,"
        "driving licence, driving license, license number, licence number,"
        "driver licence, drivers licence, national id, national id number,"
        "national identification number, identity card, id card, id number, tax id,"
        "tax number, tax no, tin, itin, ein, steuer id, steuernummer, steueridentifikationsnummer,"
        "identifikationsnummer, codice fiscale, cpf, cnpj, national insurance,"
        "national insurance number, ni number, nino, nhs, nhs number, nhs no, aadhaar,"
        "aadhar, aadhaar number, pan number, pan card, dni, nie, nif, nir, insee, bsn,"
        "burgerservicenummer, pesel, personnummer, henkilötunnus, hetu, tfn, pasport, personal number, citizen id, cpr, cpr number, rodne cislo, ahv, avs,"
        "sozialversicherungsnummer, svnr, sin, social insurance number, curp, rut,"
        "nric, hkid, my number, medicare, medicare number, medicaid id, vat id,"
        "numéro de sécurité sociale, personalausweis, ausweisnummer, social number,"
        "numero de seguridad social",
        medical_record="medical record, medical record number, medical record no, mrn,"
        "patient id, patient number, patient no, health card number, health insurance number,"
        "insurance number, member id, policy number",
    ),
}  # fmt: skip
# Only of members of JSON objects, and only if redaction is strict.
OF_PEOPLE = _named(
    Values.TEXTS,
    person="first name, last name, full name, given name, family name, surname,"
    "middle name, maiden name, customer name, passenger name, patient name, firstname,"
    "lastname, fullname",
    address="address, address1, address2, street, street address, postal address,"
    "zip code, postal code, postcode",
)
# A word that ends in one of these: `authtoken`, `mypassword`.
ENDINGS = {
    "password": Name("password", Values.TEXTS), "passwd": Name("password", Values.TEXTS),
    "passphrase": Name("password", Values.TEXTS), "token": Name("token", Values.MIXED),
    "secret": Name("secret", Values.MIXED), "apikey": Name("api_key", Values.TEXTS),
    "secretkey": Name("secret_key", Values.TEXTS), "accesskey": Name("key", Values.MIXED),
    "privatekey": Name("private_key", Values.TEXTS), "sessid": Name("session", Values.MIXED),
}  # fmt: skip
# The last word of a name says what its value is: `token_type` is a type.
OTHER_VALUES = frozenset(
    "age, algorithm, alg, amount, attempts, author, available, balance, bits, budget, change,"
    " changed, class, column, confirmation, count, counter, counts, created, date, days,"
    " description, details, duration, enabled, encoding, endpoint, env, error, exists, exp,"
    " expiration, expired, expires, expiry, family, field, file, filename, folder, form,"
    " format, group, header, help, hint, hints, icon, id, ids, in, index, input, is, issuer,"
    " kind, label, length, len, level, limit, limits, link, list, location, logic, manager,"
    " max, maximum, message, method, min, minimum, mode, model, name, names, parser, party,"
    " path, pattern, per, permissions, placeholder, policies, policy, pos, position, prefix,"
    " prompt, provider, pruner, rate, ratio, ref, reference, regex, required, requirements,"
    " reset, rotation, rules, scope, scopes, score, set, setting, settings, size, sizes,"
    " source, spec, start, state, stats, status, store, strategy, strength, support, test,"
    " text, time, title, ttl, type, types, uri, url, usage, used, valid, validation,"
    " validator, version, warning, wizard, stdin, screen, callback, handler, provided,"
    " variable, command, consent, banner, jar, page, dialog, at, by, from, on, dir, directory, service, info"
    .replace(" ", "").split(",")
)  # fmt: skip
# With one of these words a name counts or asks: `max_tokens`, `has_token`.
COUNTING = frozenset(
    "avg cached completion count expires has input is length limit max maximum min minimum"
    " n num number output per prompt reasoning remaining require required requires total"
    " used usage vocab pad bos eos unk sep cls mask logprobs stop special".split()
)
# Tokens that mark a place in a list, a request or a public key.
PUBLIC_TOKENS = frozenset(
    ("next", "change", "continuation", "page", "paging", "pagination", "idempotency",
     "public", "starting", "marker", "cursor", "sync", "resume", "scan")
)  # fmt: skip


class NameTable:
    """Classifies names by whether their values are private."""

    def __init__(self, own: Sequence[str] = (), level: Level = "standard") -> None:
        """Create the table.

        Args:
            own: names of the settings; all their values are private, and unlike
                built-in names they match next to any other words.
            level: `keys` leaves out what identifies people, `strict` adds their names.

        Raises:
            ConfigError: a name without a letter or digit.
        """
        self._own = {
            _words(name): Name("_".join(_words(name)), Values.ALL) for name in own
        }
        if () in self._own:
            msg = "A name in redact_keys has no letter or digit."
            raise ConfigError(
                msg, "Use key names of JSON objects, for example ticket_number."
            )
        known = KNOWN | (OF_PEOPLE if level == "strict" else {})
        if level == "keys":
            known = {w: n for w, n in KNOWN.items() if n.values is not Values.NUMBERS}
        self._known = known | self._own
        self._longest = max(map(len, self._known))
        self._cached = lru_cache(NAMES_MAX)(self._of)
        self.expression = _alternatives(self._known, START)
        """Matches the names in text, perhaps with a character before them."""
        self.long_expression = f"(?i:{_phrases(self._known)[0]})"
        """Matches names that are no parts of other words."""
        others = self._known.keys() - {("tokens",)}
        self.gate = f"(?:{_alternatives(others, RAW_START)}|{TOKENS})(?:[^a-z]|$)"
        """Matches raw JSON if any name is in it."""

    def of(self, name: str) -> Name | None:
        """Return the class of a name's values, None if they are not private."""
        return (self._of if len(name) > NAME_BYTES_MAX else self._cached)(name)

    def _of(self, name: str) -> Name | None:
        words = _words(name)
        for size in range(min(self._longest, len(words)), 0, -1):
            for start in range(len(words) - size, -1, -1):
                sequence = words[start : start + size]
                if found := self._known.get(sequence):
                    return self._unless_counted(found, words, words[start + size :])
        for n in range(len(words) - 1, -1, -1):
            for ending, found in ENDINGS.items():
                if words[n].endswith(ending):
                    return self._unless_counted(found, words, words[n + 1 :])
        return None

    def _unless_counted(
        self, found: Name, words: tuple[str, ...], rest: tuple[str, ...]
    ) -> Name | None:
        if found.values is Values.ALL:
            return found
        if found.values is Values.NUMBERS:
            return None if rest and rest[-1] in OTHER_VALUES else found
        if found.name == "token" and not PUBLIC_TOKENS.isdisjoint(words):
            return None
        counted = found.name == "token" and not COUNTING.isdisjoint(words)
        if counted or (rest and rest[-1] in OTHER_VALUES) or words[0] in ("is", "has"):
            return Name(found.name, Values.STRONG)
        return found


def is_other(name: str) -> bool:
    """Return whether a name says that its value is a type, an id, a description, ..."""
    words = _words(name)
    return bool(words) and words[-1] in OTHER_VALUES


def _phrases(known: Iterable[tuple[str, ...]]) -> tuple[str, str]:
    """Return expressions for long and for short phrases, in any style of names."""
    phrases = sorted(known, key=lambda words: (-len("".join(words)), words))
    expressions = [BETWEEN.join(words) for words in phrases]
    long = [e for e in expressions if len(e) > SHORT]
    return "|".join(long), "|".join(e for e in expressions if len(e) <= SHORT)


def _alternatives(known: Iterable[tuple[str, ...]], start: str) -> str:
    """Return an expression for names in text.

    Short ones are parts of many words, so they need the start of a word.
    """
    long, short = _phrases(known)
    return f"(?i:{long})|{start}(?i:{short})|[a-z](?:{short.title()})"

"""Which host parameters a snapshot may keep: those with harmless names and harmless values.

If a value is left out by mistake, somebody has to type it in again.  If it is kept by mistake, a
secret is in a file and in all its backups.  So only values of a few known forms are kept, and no
value of a parameter whose name has anything to do with secrets.
"""

import ipaddress
import re
from typing import Any

_NAME = re.compile(r"[A-Za-z0-9_.:/ -]{1,100}")
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_LEET = str.maketrans("013457$@", "oieastsa")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# A name is split into its words (db_pw, dbPw, db-pw).  It counts as secret if it has one of these,
_SECRET_WORDS = _words("""
    access activation api bearer bind blob b64 base64 clave code community conn connection cookie
    cred dsa dsn ecdsa encoded geheim gpg heslo hook hmac jwt key keys krb5 licence license mdp
    nonce parola pat pgp phrase pin puk pw rsa salt sas seed senha session shadow sig sign signature
    sudo unlock webhook
""")
# if it contains one of these anywhere,
_SECRET_STEMS = _words("""
    apikey auth backdoor cert cipher communit connections connstr credent crypt digest hash jdbc
    kennw keystore keytab md5 otp passc passp passw pem privat psk pwd saml schluess secret serial
    sha1 sha2 sha5 snmp token vault
""")
# or if one of its words ends with one of these (rootpw, mailpass).
_SECRET_ENDS = tuple(_words("code cred creds dsn key keys pass pin pw salt"))

_NUMBER = re.compile(r"[+-]?\d{1,5}(?:\.\d{1,3})?")
_VERSION = re.compile(r"v?\d{1,4}(?:\.\d{1,4}){1,3}")
_DATE = re.compile(
    r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?)?(?: ?(?:UTC|Z|[+-]\d\d:?\d\d))?"
)
_FORMS = (_NUMBER, _VERSION, _DATE)
_URL = re.compile(
    r"(?:https?|ldaps?|ntp|nfs|ftp)://(?P<host>[A-Za-z0-9.-]+)(?::\d{1,5})?(?P<path>(?:/[^/]*)*)"
)
_BREAKS = re.compile(r"[ ,;:/._@+-]+")
# web, WEB, Web, RedHat, openStack; up to three digits may follow
_WORD = re.compile(
    r"(?:[a-z]{1,20}|[A-Z]{1,12}|(?:[a-z]{2,}|[A-Z][a-z]+)(?:[A-Z][a-z]{2,})*)\d{0,3}"
)
_HEX = re.compile(r"[0-9A-Fa-f]{8,}")
_HUMP = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_USUAL_PAIRS = _words("""
    ab ac ad ag ai al am an ap ar as at au av ay ba be bl bo br ca ce ch ci ck co ct da de di do du
    ea ec ed ee ef ei el em en er es et ev ex fa fe fi fo fr ge gh gr ha he hi ho ia ic id ie if ig
    il im in io ir is it iv ke la ld le li ll lo lt ly ma me mi mo mp na nc nd ne ng ni nn no ns nt
    od of og ol om on oo op or os ot ou ow pa pe pl po pr ra re ri ro rs rt ry sa sc se sh si so ss
    st su ta te th ti to tr ts tt tu ty ub uc ui ul un up ur us ut va ve vi wa we wh wi wo
""")
_MAX_LENGTH = 100
_MAX_WORDS = 8
_MAX_CAPITAL_WORDS = 2
_MAX_DIGITS = 8
_MAX_ITEMS = 20
_MAX_DEPTH = 3


def is_harmless(name: str, value: Any) -> bool:
    """Whether neither the name nor the value of a parameter looks like a secret.

    `value`: as it comes from JSON.
    """
    return is_harmless_name(name) and is_harmless_value(value)


def is_harmless_name(name: str) -> bool:
    """Whether a name has nothing to do with secrets, in any spelling and with any separators."""
    if not _NAME.fullmatch(name) or _mentions_a_secret(name):
        return False
    return not any(map(_is_secret_word, _words_of(name)))


def is_harmless_value(value: Any) -> bool:
    """Whether a value has a form in which nobody writes a secret.

    These are: true and false, a small number, a version, a date, an IP address, a host name, a path
    or URL of plain words without a login, a few plain words; or a short list or mapping of these.
    """
    return _is_harmless_value(value, _MAX_DEPTH)


def _mentions_a_secret(text: str) -> bool:
    plain = text.lower()
    joined = re.sub(r"[^a-z0-9]", "", plain)
    without_leet = re.sub(r"[^a-z]", "", plain.translate(_LEET))
    return any(stem in joined or stem in without_leet for stem in _SECRET_STEMS)


def _words_of(name: str) -> set[str]:
    """The words of a name in lower case, also with leet digits as letters, and without digits."""
    words = set(re.findall(r"[a-z0-9]+", name.lower()))
    for part in _PARTS.findall(name):
        words.add(part.lower())
    for word in list(words):
        words.add(word.translate(_LEET))
    for word in list(words):
        words.add(word.rstrip("0123456789"))
    return words


def _is_secret_word(word: str) -> bool:
    return word in _SECRET_WORDS or word.endswith(_SECRET_ENDS)


def _is_harmless_value(value: Any, depth: int) -> bool:
    """`depth`: how many levels of lists and mappings may be left."""
    if value is None or isinstance(value, bool):
        return True
    if isinstance(value, (int, float)):
        return bool(_NUMBER.fullmatch(str(value)))
    if isinstance(value, str):
        return _is_harmless_text(value.strip(" "))
    if not isinstance(value, (list, dict)):
        return False
    if len(value) > _MAX_ITEMS or depth == 0:
        return False
    if isinstance(value, dict):
        if not all(map(is_harmless_name, value)):
            return False
        value = value.values()
    return all(_is_harmless_value(item, depth - 1) for item in value)


def _is_harmless_text(text: str) -> bool:
    if len(text) > _MAX_LENGTH:
        return False
    if not text.isascii() or not text.isprintable():
        return False
    if _mentions_a_secret(text):
        return False
    if not text or _is_address(text):
        return True
    if any(form.fullmatch(text) for form in _FORMS):
        return True
    url = _URL.fullmatch(text)
    if url:
        return _are_plain_words(url["host"]) and _are_plain_words(url["path"])
    return not _may_have_a_login(text) and _are_plain_words(text)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_interface(text)
    except ValueError:
        return False
    return True


def _may_have_a_login(text: str) -> bool:
    """Whether a text is another kind of URL, or has the form user:password@host."""
    if ":/" in text or text.startswith("//"):
        return True
    return ":" in text and "@" in text


def _are_plain_words(text: str) -> bool:
    """Whether a text is at most a few readable words; a random text hardly ever passes."""
    words = [word for word in _BREAKS.split(text) if word]
    if len(words) > _MAX_WORDS:
        return False
    capital_words = [word for word in words if word.isupper() and len(word) > 1]
    if len(capital_words) > _MAX_CAPITAL_WORDS:
        return False
    digits = sum(map(str.isdigit, text))
    if digits > _MAX_DIGITS:
        return False
    return all(map(_is_plain_word, words))


def _is_plain_word(word: str) -> bool:
    if re.fullmatch(r"\d{1,4}", word):
        return True
    if not _WORD.fullmatch(word) or _HEX.fullmatch(word):
        return False
    return all(map(_is_pronounceable, _HUMP.findall(word)))


def _is_pronounceable(word: str) -> bool:
    """Whether half of the letter pairs in a longer word are usual; in random text a fifth are."""
    letters = word.lower()
    if len(letters) <= 5:
        return True
    usual = 0
    pairs = 0
    for first, second in zip(letters, letters[1:]):
        usual += f"{first}{second}" in _USUAL_PAIRS
        pairs += 1
    return 2 * usual >= pairs

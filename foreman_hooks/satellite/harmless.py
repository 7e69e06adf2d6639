"""Which host parameters may be kept on file with their value: harmless names, harmless values.

A parameter that is wrongly left out has to be typed in again; one that is wrongly kept is a secret
in a file and in its backups.  So only values of a few known forms are kept, and none whose name has
anything to do with secrets.
"""

import ipaddress
import re
from typing import Any

_NAME = re.compile(r"[A-Za-z0-9_.:/ -]{1,100}")
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_LEET = str.maketrans("013457$@", "oieastsa")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# A name is cut into its words (db_pw, dbPw, db-pw), and these make it secret: as a whole word,
_SECRET_WORDS = _words("""
    access activation api bearer bind blob b64 base64 clave code community conn connection cookie
    cred dsa dsn ecdsa encoded geheim gpg heslo hook hmac jwt key keys krb5 licence license mdp
    nonce parola pat pgp phrase pin puk pw rsa salt sas seed senha session shadow sig sign signature
    sudo unlock webhook
""")
# anywhere in the name,
_SECRET_STEMS = _words("""
    apikey auth backdoor cert cipher communit connections connstr credent crypt digest hash jdbc
    kennw keystore keytab md5 otp passc passp passw pem privat psk pwd saml schluess secret serial
    sha1 sha2 sha5 token vault
""")
# and as the end of a word that is written together (rootpw, mailpass).
_SECRET_ENDS = ("code", "cred", "creds", "dsn", "key", "keys", "pass", "pin", "pw", "salt")

_NUMBER = re.compile(r"[+-]?\d{1,5}(?:\.\d{1,3})?")
_VERSION = re.compile(r"v?\d{1,4}(?:\.\d{1,4}){1,3}")
_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?)?(?: ?(?:UTC|Z|[+-]\d\d:?\d\d))?")
_URL = re.compile(
    r"(?:https?|ldaps?|ntp|nfs|ftp)://(?P<host>[A-Za-z0-9.-]+)(?::\d{1,5})?(?P<path>(?:/[^/]*)*)"
)
_BREAKS = re.compile(r"[ ,;:/._@+-]+")
# web, WEB, Web, RedHat, openStack; up to three digits may follow
_WORD = re.compile(
    r"(?:[a-z]{1,20}|[A-Z]{1,12}|(?:[a-z]{2,}|[A-Z][a-z]+)(?:[A-Z][a-z]{2,})*)\d{0,3}"
)
_HUMP = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_USUAL_PAIRS = _words("""
    ab ac ad ag ai al am an ap ar as at au av ay ba be bl bo br ca ce ch ci ck co ct da de di do du
    ea ec ed ee ef ei el em en er es et ev ex fa fe fi fo fr ge gh gr ha he hi ho ia ic id ie if ig
    il im in io ir is it iv ke la ld le li ll lo lt ly ma me mi mo mp na nc nd ne ng ni nn no ns nt
    od of og ol om on oo op or os ot ou ow pa pe pl po pr ra re ri ro rs rt ry sa sc se sh si so ss
    st su ta te th ti to tr ts tt tu ty ub uc ui ul un up ur us ut va ve vi wa we wh wi wo
""")
_LONGEST, _MOST_WORDS, _MOST_ITEMS, _DEEPEST = 100, 8, 20, 3


def is_harmless(name: str, value: Any) -> bool:
    """Whether neither the name of a parameter nor its value, as JSON has it, looks like a secret."""
    return is_harmless_name(name) and is_harmless_value(value)


def is_harmless_name(name: str) -> bool:
    """Whether a name has nothing to do with secrets, however its words are joined or spelt."""
    if not _NAME.fullmatch(name):
        return False
    if _names_a_secret(name):
        return False
    words = {word.lower() for word in _PARTS.findall(name)}
    words.update(re.findall(r"[a-z0-9]+", name.lower()))
    words |= {word.translate(_LEET) for word in words}
    words |= {word.rstrip("0123456789") for word in words}
    return not any(word in _SECRET_WORDS or word.endswith(_SECRET_ENDS) for word in words)


def _names_a_secret(text: str) -> bool:
    plain = text.lower()
    spellings = {re.sub(r"[^a-z0-9]", "", plain), re.sub(r"[^a-z]", "", plain.translate(_LEET))}
    return any(stem in spelling for stem in _SECRET_STEMS for spelling in spellings)


def is_harmless_value(value: Any) -> bool:
    """Whether a value is of a form in which nobody writes a secret.

    That is: a switch, a small number, a version, a date, an address, a host's name, a path or URL
    of plain words without a login, a few plain words; or a short list or mapping of such.
    """
    return _is_harmless_value(value, _DEEPEST)


def _is_harmless_value(value: Any, depth: int) -> bool:
    if value is None or isinstance(value, bool):
        return True
    if isinstance(value, (int, float)):
        return bool(_NUMBER.fullmatch(str(value)))
    if isinstance(value, str):
        return _is_harmless_text(value.strip(" "))
    if not isinstance(value, (list, dict)) or len(value) > _MOST_ITEMS or not depth:
        return False
    names, items = (value, value.values()) if isinstance(value, dict) else ((), value)
    return all(map(is_harmless_name, names)) and all(
        _is_harmless_value(item, depth - 1) for item in items
    )


def _is_harmless_text(text: str) -> bool:
    if len(text) > _LONGEST or not (text.isascii() and text.isprintable()) or _names_a_secret(text):
        return False
    if not text or _is_address(text):
        return True
    if any(form.fullmatch(text) for form in (_NUMBER, _VERSION, _DATE)):
        return True
    url = _URL.fullmatch(text)
    if url:
        return _are_plain_words(url["host"]) and _are_plain_words(url["path"])
    with_login = ":/" in text or text.startswith("//") or (":" in text and "@" in text)
    return not with_login and _are_plain_words(text)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_interface(text)
    except ValueError:
        return False
    return True


def _are_plain_words(text: str) -> bool:
    """A few words, or none, that a person can read; a random text hardly ever passes."""
    words = [word for word in _BREAKS.split(text) if word]
    capitals = sum(word.isupper() and len(word) > 1 for word in words)
    digits = sum(map(str.isdigit, text))
    few = len(words) <= _MOST_WORDS and capitals <= 2 and digits <= 8
    return few and all(map(_is_plain_word, words))


def _is_plain_word(word: str) -> bool:
    if re.fullmatch(r"\d{1,4}", word):
        return True
    if not _WORD.fullmatch(word) or (len(word) >= 8 and re.fullmatch(r"[0-9A-Fa-f]+", word)):
        return False
    return all(map(_can_be_spoken, _HUMP.findall(word)))


def _can_be_spoken(letters: str) -> bool:
    """Whether half the pairs of letters in a longer word are usual ones; at random a fifth is."""
    low = letters.lower()
    pairs = [low[i : i + 2] for i in range(len(low) - 1)]
    return len(low) <= 5 or 2 * sum(pair in _USUAL_PAIRS for pair in pairs) >= len(pairs)

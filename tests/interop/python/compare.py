"""What two Access Tokens for the same inputs may differ in, and every way to spoil one. Pure."""

import base64
import copy
import hashlib
import hmac
import json

CLAIMS = {"jti", "iss", "sub", "nbf", "iat", "exp", "grants"}
LONGEST_LIFE_SECONDS = 86_400


def differences(ours, theirs, signed_at):
    """The fields in which our token isn't what theirs says it must be. Each token is its (header, claims); the instant is in seconds."""
    (header, claims), (their_header, their_claims) = ours, theirs
    found = unequal("header", header, their_header)
    found += sorted(CLAIMS ^ claims.keys())
    for name in ("iss", "sub", "grants"):
        found += unequal(name, claims.get(name), their_claims.get(name))
    # Ours goes on after theirs: theirs is the same for all tokens of one second.
    jti = claims.get("jti")
    if not (isinstance(jti, str) and jti.startswith(their_claims["jti"] + "-")):
        found.append("jti")
    second = int(signed_at)
    exp, iat, nbf = (claims[name] if type(claims.get(name)) is int else None for name in ("exp", "iat", "nbf"))
    if exp is None or exp - second != their_claims["exp"] - second:
        found.append("exp")
    # The platform refuses longer lives (error 20157).
    if iat is None or iat > second or exp is not None and exp - iat > LONGEST_LIFE_SECONDS:
        found.append("iat")
    if nbf is None or nbf > second:
        found.append("nbf")
    return sorted(set(found))


def unequal(path, ours, theirs):
    """The paths at which two values differ; 1, 1.0 and True are three values."""
    if type(ours) is not type(theirs):
        return [path]
    if isinstance(ours, dict):
        both = ours.keys() & theirs.keys()
        return [f"{path}.{key}" for key in ours.keys() ^ theirs.keys()] + [
            found for key in both for found in unequal(f"{path}.{key}", ours[key], theirs[key])
        ]
    if isinstance(ours, list) and len(ours) == len(theirs):
        return [found for index, pair in enumerate(zip(ours, theirs)) for found in unequal(f"{path}.{index}", *pair)]
    return [] if ours == theirs else [path]


def mutants(token, signed_at):
    """Each field of the token, first with another value, then left out: (manner, field, token). Fields are named as in `differences`."""
    whole = dict(zip(("header", "claims"), token))
    for path in paths(whole):
        if len(path) == 1:
            continue
        for manner in ("another", "no"):
            mutant = copy.deepcopy(whole)
            *above, field = path
            parent = mutant
            for key in above:
                parent = parent[key]
            if manner == "no":
                del parent[field]
            else:
                parent[field] = int(signed_at) + 1 if field in ("iat", "nbf") else another(parent[field])
            yield manner, ".".join(map(str, path)).removeprefix("claims."), (mutant["header"], mutant["claims"])


def paths(node, above=()):
    entries = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in entries:
        if isinstance(node, dict):
            yield (*above, key)
        yield from paths(value, (*above, key))


def another(value):
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1
    if isinstance(value, str):
        return "x" + value
    return [value]


def fields(token):
    """How many fields the token has, counted by the parser and not by what makes the mutants."""
    count = 0

    def counted(pairs):
        nonlocal count
        count += len(pairs)

    for part in token.split(".")[:2]:
        json.loads(decoded(part), object_pairs_hook=counted)
    return count


def parts(token):
    header, claims, _ = token.split(".")
    return json.loads(decoded(header)), json.loads(decoded(claims))


def signed(token, secret):
    """A token of these (header, claims), signed by an HMAC that is neither theirs nor ours."""
    message = unsigned(token)
    return f"{message}.{encoded(hmac.new(secret.encode(), message.encode(), hashlib.sha256).digest())}"


def unsigned(token):
    return ".".join(encoded(json.dumps(part).encode()) for part in token)


def encoded(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decoded(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))

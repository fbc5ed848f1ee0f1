"""Holds our Access Tokens against the vendor's Python library, and PyJWT against them: check.py INPUTS SIGN…

SIGN is the command that signs with ours. Nothing secret is printed: of a token no more than the names of its fields.
"""

import json
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from unittest import mock

import jwt
from compare import CLAIMS, differences, fields, mutants, parts, signed, unsigned
from twilio.jwt import JwtDecodeError
from twilio.jwt.access_token import AccessToken
from twilio.jwt.access_token.grants import PlaybackGrant

failed = False


def row(what, done, wrong):
    """One line of the table. A check that looked at nothing has failed."""
    global failed
    good = done > 0 and not wrong
    failed = failed or not good
    told = "" if good else ": " + ("; ".join(sorted(set(wrong))) or "nothing to check")
    print(f"{'ok' if good else 'FAILED':<6} {done:>4}  {what}{told}", flush=True)


def ours(inputs, command):
    lines = "".join(json.dumps(line) + "\n" for line in inputs)
    return subprocess.run(command, input=lines, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()


def theirs(asked):
    token = AccessToken(
        asked["accountSid"],
        asked["keySid"],
        asked["keySecret"],
        grants=[PlaybackGrant(grant=asked["grant"])],
        identity=asked["identity"],
        ttl=asked["ttlSeconds"],
    )
    with mock.patch("time.time", return_value=asked["signedAtMillisecond"] / 1000):
        return token.to_jwt()


def pyjwt(token, asked, secret):
    options = {"require": sorted(CLAIMS), "enforce_minimum_key_length": True}
    jwt.decode(token, secret, algorithms=["HS256"], issuer=asked["keySid"], subject=asked["accountSid"], options=options)


def library(token, _asked, secret):
    AccessToken.from_jwt(token, secret)


# What each raises for a signature that is wrong, or for an algorithm that it doesn't take.
VERIFIERS = {
    "PyJWT": (pyjwt, (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError)),
    "the library": (library, (JwtDecodeError,)),
}


def objection(verifier, *arguments):
    """The verifier's exception, None when it accepts."""
    try:
        verifier(*arguments)
    except Exception as exception:  # whatever it is, the caller tells it by its type
        return exception
    return None


def check_versions():
    with open(Path(__file__).with_name("requirements.txt"), encoding="utf-8") as file:
        pins = [line.split()[0].split("==") for line in file if not line.startswith("#")]
    row("the packages are those that are pinned", len(pins), [name for name, pinned in pins if version(name) != pinned])


def check_signatures(now):
    accepted, refused = [], []
    for asked, token in now:
        for name, (verifier, refusals) in VERIFIERS.items():
            found = objection(verifier, token, asked, asked["keySecret"])
            accepted += [f"{name}: {type(found).__name__}"] if found else []
            found = objection(verifier, token, asked, asked["keySecret"][::-1])
            refused += [] if isinstance(found, refusals) else [f"{name}: {type(found).__name__}"]
    row("PyJWT and the library accept our signature and times", len(now) * len(VERIFIERS), accepted)
    row("neither accepts it with another key", len(now) * len(VERIFIERS), refused)


def check_mutants(now):
    done, kept, signed_anew, control, number = 0, [], [], [], []
    for asked, token in now:
        secret, signed_at = asked["keySecret"], asked["signedAtMillisecond"] / 1000
        original, their_parts = parts(token), parts(theirs(asked))
        # Unspoilt, what is encoded and signed here passes everywhere: a mutant is refused for what was changed.
        for name, (verifier, _) in VERIFIERS.items():
            found = objection(verifier, signed(original, secret), asked, secret)
            control += [f"{name}: {type(found).__name__}"] if found else []
        control += differences(parts(signed(original, secret)), their_parts, signed_at)
        spoilt = list(mutants(original, signed_at))
        number += [] if len({(manner, field) for manner, field, _ in spoilt}) == len(spoilt) == 2 * fields(token) else ["one was left out"]
        done += len(spoilt)
        for manner, field, mutant in spoilt:
            stale = f"{unsigned(mutant)}.{token.split('.')[2]}"
            for who, (verifier, refusals) in VERIFIERS.items():
                kept += [] if isinstance(objection(verifier, stale, asked, secret), refusals) else [f"{who} misses {manner} {field}"]
            if field not in differences(parts(signed(mutant, secret)), their_parts, signed_at):
                signed_anew.append(f"it misses {manner} {field}")
    row("encoded and signed anew without a change, it passes", len(now) * (len(VERIFIERS) + 1), control)
    row("every field of header and claims is among the mutations", len(now), number)
    row("each mutation under the old signature is refused", done * len(VERIFIERS), kept)
    row("each mutation signed anew is noticed by the comparison, by its name", done, signed_anew)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        cases = json.load(file)
    print(f"Python {sys.version.split()[0]}: twilio {version('twilio')}, PyJWT {version('pyjwt')}", flush=True)
    check_versions()
    frozen = [case["input"] | {"signedAtMillisecond": case["signedAtMillisecond"]} for case in cases]
    now = [case["input"] | {"signedAtMillisecond": int(time.time() * 1000)} for case in cases]
    tokens = ours(frozen + now, sys.argv[2:])
    pairs = list(zip(frozen + now, tokens, strict=True))
    wrong = [
        found for asked, token in pairs for found in differences(parts(token), parts(theirs(asked)), asked["signedAtMillisecond"] / 1000)
    ]
    row("header and claims are as the library's", len(pairs), wrong)
    check_signatures(pairs[len(frozen) :])
    check_mutants(pairs[len(frozen) :])
    sys.exit(failed)


main()

"""Signs with the vendor's Python library and takes the time: sign.py INPUT. Each line of its input says how many tokens to sign."""

import json
import sys
import time
from importlib.metadata import version

from twilio.jwt.access_token import AccessToken
from twilio.jwt.access_token.grants import PlaybackGrant

with open(sys.argv[1], encoding="utf-8") as file:
    asked = json.load(file)


def sign():
    return AccessToken(
        asked["accountSid"],
        asked["keySid"],
        asked["keySecret"],
        grants=[PlaybackGrant(grant=asked["grant"])],
        identity=asked["identity"],
        ttl=asked["ttlSeconds"],
    ).to_jwt()


def times(count):
    for _ in range(count):
        start = time.perf_counter_ns()
        sign()
        yield time.perf_counter_ns() - start


who = f"Python {sys.version.split()[0]}, twilio {version('twilio')} (PyJWT {version('pyjwt')})"
print(json.dumps({"who": who, "token": sign()}), flush=True)
for line in sys.stdin:
    print(json.dumps(list(times(int(line)))), flush=True)

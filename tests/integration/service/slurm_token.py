#!/usr/bin/python3
"""Makes a token as Slurm's auth/jwt does, or one that is wrong.

  slurm_token.py KEYFILE USER [SECONDS [ALGORITHM]]

SECONDS: how long it is good; "-": it does not say. ALGORITHM: what it is said to be signed with.
"""
import base64
import hashlib
import hmac
import json
import sys
import time


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def main():
    keyfile, user, *rest = sys.argv[1:]
    seconds = rest[0] if rest else "600"
    algorithm = rest[1] if len(rest) > 1 else "HS256"
    claims = {"iat": int(time.time()), "sun": user}
    if seconds != "-":
        claims["exp"] = int(time.time()) + int(seconds)
    with open(keyfile, "rb") as file:
        key = file.read()
    text = b".".join(encode(json.dumps(part).encode()) for part in ({"alg": algorithm, "typ": "JWT"}, claims))
    hashes = {"HS384": hashlib.sha384, "HS512": hashlib.sha512}
    mac = hmac.new(key, text, hashes.get(algorithm, hashlib.sha256)).digest()
    print((text + b"." + (b"" if algorithm == "none" else encode(mac))).decode())


main()

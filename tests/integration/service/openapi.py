#!/usr/bin/python3
"""Asks the coordinator, and holds its answers to docs/operations/openapi.yaml.

  openapi.py SEEN ask METHOD PATH [BODY]    with this user's MUNGE credential
  openapi.py SEEN stranger METHOD PATH      without one
  openapi.py SEEN unseen                    what the description has and nobody was answered

Prints the status, then the body. An answer that is not as described ends it with an error. SEEN is a
file of answers that were.
"""
import hashlib
import json
import re
import subprocess
import sys
import urllib.error
import urllib.request

import jsonschema
import yaml

with open("/src/docs/operations/openapi.yaml", encoding="utf-8") as file:
    API = yaml.safe_load(file)


def resolve(node):
    while "$ref" in node:
        target = API
        for step in node["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        node = target
    return node


def operation(method, path):
    for template, item in API["paths"].items():
        pattern = re.sub(r"\{\w+\}", "[^/]+", template)
        if re.fullmatch(pattern, path) and method.lower() in item:
            return template, item[method.lower()]
    sys.exit(f"{method} {path} is not described")


def ask(method, target, body, known):
    headers = {"Content-Type": "application/json"}
    if target.startswith("/v1/events"):
        headers["Last-Event-ID"] = "0"
    if known:
        digest = hashlib.blake2b(body, digest_size=32).hexdigest()
        made = subprocess.run(["munge"], input=f"holdfast-rest {method} {target} {digest}".encode(),
                              stdout=subprocess.PIPE, check=True)
        headers["Authorization"] = "Munge " + made.stdout.decode().strip()
    request = urllib.request.Request("http://ctl:6829" + target, method=method, headers=headers,
                                     data=body if method == "POST" else None)
    try:
        with urllib.request.urlopen(request, timeout=100) as answer:
            if answer.headers.get_content_type() == "text/event-stream":
                return answer.status, answer.headers, first_event(answer)
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as answer:
        return answer.code, answer.headers, answer.read()


def first_event(stream):
    """The first event of a stream, which has no end; held to its description, too."""
    event = b""
    while b"data: " not in event or not event.endswith(b"\n\n"):
        event += stream.readline()
    told = json.loads(event.split(b"data: ")[1])
    if not isinstance(told.pop("job_id"), int):
        sys.exit("an event without a job")
    jsonschema.validate(told, {"components": API["components"], "$ref": "#/components/schemas/Event"})
    return event


def check(described, status, headers, body):
    if str(status) not in described["responses"]:
        sys.exit(f"status {status} is not described: {body.decode()}")
    content = resolve(described["responses"][str(status)])["content"]
    kind = headers.get_content_type()
    if kind not in content:
        sys.exit(f"{kind} is not described, but {', '.join(content)}")
    value = json.loads(body) if kind.endswith("json") else body.decode()
    schema = {"components": API["components"], **content[kind]["schema"]}
    problems = list(jsonschema.Draft202012Validator(schema).iter_errors(value))
    if problems:
        sys.exit("\n".join(f"{error.json_path}: {error.message}" for error in problems))


def main():
    seen, command, *rest = sys.argv[1:]
    if command == "unseen":
        with open(seen, encoding="utf-8") as lines:
            answered = set(lines.read().splitlines())
        for template, item in API["paths"].items():
            for method in ("get", "post", "delete"):
                for status in item.get(method, {}).get("responses", {}):
                    if f"{method} {template} {status}" not in answered:
                        print(method, template, status)
        return
    method, target = rest[:2]
    template, described = operation(method, target.split("?")[0])
    status, headers, body = ask(method, target, "".join(rest[2:]).encode(), command == "ask")
    check(described, status, headers, body)
    with open(seen, "a", encoding="utf-8") as lines:
        print(method.lower(), template, status, file=lines)
    print(status)
    print(body.decode())


main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Judges a file of Kubernetes objects by the API's schema, without a cluster: kube_schema.py FILE

The models of Debian's python3-kubernetes are made from that schema: each object has to be of a known kind, with keys that its model knows, values of
their types, and all that is required. Kinds of others (Multus) are passed over. Exit code 1 and a line for each fault."""
import re, sys, yaml
from kubernetes import client

faults = []


def judge(value, kind, at):
    if kind.startswith(("list[", "dict(")):
        inner = re.match(r"list\[(.*)\]$|dict\([^,]*, (.*)\)$", kind)
        rows = enumerate(value) if inner[1] and isinstance(value, list) else value.items() if inner[2] and isinstance(value, dict) else None
        if rows is None:
            faults.append(f"{at}: expected {kind}")
            return
        for key, each in rows:
            judge(each, inner[1] or inner[2], f"{at}[{key}]")
        return
    if model := getattr(client, kind, None):
        if not isinstance(value, dict):
            faults.append(f"{at}: expected {kind}")
            return
        names = {outer: own for own, outer in model.attribute_map.items()}
        for key, each in value.items():
            if key in names:
                judge(each, model.openapi_types[names[key]], f"{at}.{key}")
            else:
                faults.append(f"{at}.{key}: {kind} has no such key")
        try:
            model(**{names[key]: each for key, each in value.items() if key in names})
        except ValueError as why: # what is required, and what is one of a few words
            faults.append(f"{at}: {why}")
    elif not isinstance(value, {"str": str, "int": int, "bool": bool, "float": float}.get(kind, object)):
        faults.append(f"{at}: expected {kind}, found {value!r}")


def objects(document):
    if document["kind"] == "List":
        for item in document["items"]:
            yield from objects(item)
    else:
        yield document


judged = 0
with open(sys.argv[1], encoding="utf-8") as file:
    for document in yaml.safe_load_all(file):
        for one in objects(document):
            group, _, version = one["apiVersion"].rpartition("/")
            if "." in group:
                continue
            kind = version.capitalize() + one["kind"]
            if not hasattr(client, kind):
                faults.append(f"{one['apiVersion']} has no kind {one['kind']}")
                continue
            judge(one, kind, f"{one['kind']} {one['metadata']['name']}")
            judged += 1
print("\n".join(faults) or f"{judged} objects")
sys.exit(bool(faults or not judged))

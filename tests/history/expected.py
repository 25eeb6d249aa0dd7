"""What the read models of a git history hold, worked out from the log itself.

    python3 expected.py LOG source|target

LOG holds the events in the versions they were written in, one CloudEvents line each, plain or compressed with gzip. The
other argument says whose revisions snapshots have: those of the log, or of the store that it is migrated to.
Standard output gets one JSON object a line, sorted: the table, the key, and what else is in the row.

Nothing here knows of rules or folds: renames are renames, texts are texts.
"""

import gzip
import json
import sys


def events(path):
    with open(path, "rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
    opened = gzip.open(path, "rt", encoding="utf-8") if compressed else open(path, encoding="utf-8")
    with opened as lines:
        return [json.loads(line) for line in lines]


def author(data):
    return data["author"] if "author" in data else data["author_first"] + " " + data["author_last"]


def changed_lines(data):
    """Lines added, and lines deleted."""
    if "lines" in data:
        added, deleted = data["lines"].split(" ")
        return int(added.removeprefix("+")), int(deleted.removeprefix("-"))
    return data.get("additions", 0), data.get("deletions", 0)


def commits_of(log):
    commits = {}
    for event in log:
        sha = event["metadata"]["correlation_id"]
        commit = commits.setdefault(sha, {"author": None, "recorded_at": None, "files": None, "lines": None})
        if event["type"] == "CommitRecorded":
            commit["author"] = author(event["data"])
            commit["recorded_at"] = event["time"]
        else:
            commit["files"] = (commit["files"] or 0) + 1
            commit["lines"] = (commit["lines"] or 0) + sum(changed_lines(event["data"]))
    return commits


def authors_of(commits):
    authors = {}
    for commit in commits.values():
        if commit["author"] is not None:
            one = authors.setdefault(commit["author"], {"commits": 0, "files": 0, "lines": 0})
            one["commits"] += 1
            one["files"] += commit["files"] or 0
            one["lines"] += commit["lines"] or 0
    return authors


def snapshots_of(log, store):
    """By stream: the revision of its last event, and the state. A stream is one file, through all its names."""
    snapshots = {}
    for event in log:
        if not event["subject"].startswith("file-"):
            continue
        kind, data = event["type"], event["data"]
        snapshot = snapshots.setdefault(event["subject"], {"revision": -1, "state": {}})
        # A migration makes two events of a rename.
        snapshot["revision"] += 2 if kind == "FileRenamed" and store == "target" else 1
        added, deleted = changed_lines(data)
        state = snapshot["state"]
        if kind == "FileAdded":
            state["commits"] = state["lines"] = 0
        if kind in ("FileAdded", "FileRenamed"):
            state["path"] = data["path"]
            state["deleted"] = False
            state.setdefault("paths", []).append(data["path"])
            state.setdefault("added_at", event["time"])
        if kind == "FileDeleted":
            state["deleted"] = True
        state["commits"] = state.get("commits", 0) + 1
        state["lines"] = state.get("lines", 0) + added - deleted
        state["changed_at"] = event["time"]
        state["last_commit"] = event["metadata"]["correlation_id"]
    return snapshots


def histories_of(snapshots):
    """The files that are still there."""
    kept = ("path", "commits", "lines")
    states = {stream: snapshot["state"] for stream, snapshot in snapshots.items()}
    return {
        stream: {name: state.get(name) for name in kept} for stream, state in states.items() if not state.get("deleted")
    }


def files_of(histories):
    files = {}
    for history in histories.values():
        if history["path"] is not None:
            file = files.setdefault(history["path"], {"files": 0, "commits": 0, "lines": 0})
            file["files"] += 1
            file["commits"] += history["commits"]
            file["lines"] += history["lines"]
    return files


def main(path, store):
    log = events(path)
    commits = commits_of(log)
    snapshots = snapshots_of(log, store)
    histories = histories_of(snapshots)
    tables = {
        "authors": authors_of(commits),
        "commits": commits,
        "file_snapshots": snapshots,
        "files": files_of(histories),
        "histories": histories,
    }
    for table, rows in sorted(tables.items()):
        for key, row in sorted(rows.items()):
            print(json.dumps({"table": table, "key": key, "row": row}, ensure_ascii=False))


if __name__ == "__main__":
    # Whatever the machine's own encoding is.
    sys.stdout.reconfigure(encoding="utf-8")
    main(*sys.argv[1:])

"""told_after.py AUDIT-LOG NAMESPACE NAME: seconds from a request's creation to the last status that it was given, by the API server's clock.

The creation counts from its answer: where the definition was just made, the API server itself takes up to 2 s for it.
"""

import json
import sys
from datetime import datetime

log, namespace, name = sys.argv[1:]
made, told = [], []
with open(log, encoding="utf-8") as lines:
    for line in lines:
        if f'"namespace":"{namespace}"' not in line or '"playbackgrantrequests"' not in line:
            continue
        event = json.loads(line)
        ref, code = event["objectRef"], event.get("responseStatus", {}).get("code")
        if event["stage"] != "ResponseComplete" or code not in (200, 201) or ref.get("name") != name:
            continue
        if event["verb"] == "create":
            made.append(event)
        if event["verb"] == "patch" and ref.get("subresource") == "status":
            told.append(event)
if not made or not told or told[-1]["stageTimestamp"] < made[-1]["requestReceivedTimestamp"]:
    sys.exit(f"error: the audit log doesn't tell when {namespace}/{name} was made and told of")
after = datetime.fromisoformat(told[-1]["stageTimestamp"]) - datetime.fromisoformat(made[-1]["stageTimestamp"])
print(f"{max(0.0, after.total_seconds()):.2f}")

//! Who was the last to set what: `metadata.managedFields`, as far as labels, annotations and a Secret's data go.

use serde_json::{Map, Value, json};

/// Where what is recorded stands in an object, and in the record.
const MAPS: [(&[&str], &[&str]); 3] = [
    (&["metadata", "labels"], &["f:metadata", "f:labels"]),
    (&["metadata", "annotations"], &["f:metadata", "f:annotations"]),
    (&["data"], &["f:data"]),
];

/// Records in `after` what `manager` has changed since `before`. What is gone is nobody's any more.
pub(super) fn record(before: &Value, after: &mut Value, manager: &str, api_version: &str) {
    let mut entries: Vec<Value> = before["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    for (place, recorded) in MAPS {
        let (was, is) = (map(before, place), map(after, place));
        let changed: Vec<&String> = is.iter().filter(|(key, value)| was.get(*key) != Some(*value)).map(|(key, _)| key).collect();
        let gone = was.keys().filter(|key| !is.contains_key(*key));
        for key in gone.chain(changed.iter().copied()) {
            for entry in &mut entries {
                forget(entry, recorded, key);
            }
        }
        if changed.is_empty() {
            continue;
        }
        let entry = entry_of(&mut entries, manager, api_version);
        let fields = recorded.iter().fold(&mut entry["fieldsV1"], |fields, name| &mut fields[*name]);
        for key in changed {
            fields[format!("f:{key}")] = json!({});
        }
    }
    if !entries.is_empty() {
        after["metadata"]["managedFields"] = Value::Array(entries);
    }
}

fn map(object: &Value, place: &[&str]) -> Map<String, Value> {
    place.iter().fold(object, |object, name| &object[*name]).as_object().cloned().unwrap_or_default()
}

fn forget(entry: &mut Value, recorded: &[&str], key: &str) {
    let fields = recorded.iter().try_fold(&mut entry["fieldsV1"], |fields, name| fields.get_mut(*name));
    if let Some(fields) = fields.and_then(Value::as_object_mut) {
        fields.remove(&format!("f:{key}"));
    }
}

fn entry_of<'a>(entries: &'a mut Vec<Value>, manager: &str, api_version: &str) -> &'a mut Value {
    let found = entries.iter().position(|entry| entry["manager"] == manager);
    let at = found.unwrap_or_else(|| {
        entries
            .push(json!({"manager": manager, "operation": "Update", "apiVersion": api_version, "fieldsType": "FieldsV1", "fieldsV1": {}}));
        entries.len() - 1
    });
    &mut entries[at]
}

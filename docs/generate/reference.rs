//! The resource's reference, from its definition.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use kube::CustomResourceExt as _;
use playback_grant_operator::api::PlaybackGrantRequest;
use serde_json::Value;

const INTRODUCTION: &str = "\
# PlaybackGrantRequest

<!-- Generated from the resource's definition: change src/api, then run `make docs`. -->

`kubectl explain playbackgrantrequests --recursive` shows the same from a cluster. What a request's conditions mean is in the
[README](../README.md#use).
";

/// The reference as Markdown.
pub fn text() -> Result<String> {
    let definition = serde_json::to_value(PlaybackGrantRequest::crd())?;
    let spec = &definition["spec"];
    let mut text = INTRODUCTION.to_owned();
    for version in spec["versions"].as_array().context("no versions")? {
        let schema = &version["schema"]["openAPIV3Schema"];
        let group = word(&spec["group"]);
        writeln!(
            text,
            "\n`apiVersion: {group}/{}`, `kind: {}`, namespaced; short name `{}`. {}",
            word(&version["name"]),
            word(&spec["names"]["kind"]),
            word(&spec["names"]["shortNames"][0]),
            word(&schema["description"])
        )?;
        for part in ["spec", "status"] {
            let schema = &schema["properties"][part];
            writeln!(text, "\n## {part}\n{}\n", line(word(&schema["description"])))?;
            text.push_str("| field | type | what it is |\n|---|---|---|\n");
            rows(&mut text, "", schema)?;
        }
        text.push_str("\n## Columns of `kubectl get`\n| column | shows |\n|---|---|\n");
        for column in version["additionalPrinterColumns"].as_array().into_iter().flatten() {
            let wide = if column["priority"].as_u64().unwrap_or(0) > 0 { " (with `--output wide`)" } else { "" };
            writeln!(text, "| {}{wide} | `{}` |", word(&column["name"]), word(&column["jsonPath"]))?;
        }
    }
    Ok(text)
}

/// A row for each field, those of an object after the object itself.
fn rows(text: &mut String, prefix: &str, schema: &Value) -> Result<()> {
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{prefix}{name}");
        let need = if required.contains(&name.as_str()) { ", required" } else { "" };
        let described = [line(word(&field["description"])), limits(field)].join(" ");
        writeln!(text, "| `{path}` | {}{need} | {} |", kind(field), described.trim())?;
        rows(text, &format!("{path}."), field)?;
        rows(text, &format!("{path}[]."), &field["items"])?;
    }
    Ok(())
}

fn kind(field: &Value) -> String {
    match word(&field["type"]) {
        "array" => format!("list of {}s", kind(&field["items"])),
        "object" if field["additionalProperties"].is_object() => format!("map of {}s", kind(&field["additionalProperties"])),
        other => [other, if word(&field["format"]) == "date-time" { " (time)" } else { "" }].concat(),
    }
}

/// What the schema says and the description may not: a default, the values that there are.
fn limits(field: &Value) -> String {
    let mut told = Vec::new();
    let allowed: Vec<String> =
        field["enum"].as_array().into_iter().flatten().filter(|value| !value.is_null()).map(|value| format!("`{}`", word(value))).collect();
    if !allowed.is_empty() {
        told.push(format!("One of {}.", allowed.join(", ")));
    }
    let described = word(&field["description"]);
    if !described.contains("Default") && !field["default"].is_null() {
        told.push(format!("Default: `{}`.", field["default"]));
    }
    told.join(" ")
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// As one cell of a table.
fn line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

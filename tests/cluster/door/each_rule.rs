//! Each rule of the shipped definition, shown from both sides: what is taken at its edge, and what it alone refuses, in its own words.

use anyhow::{Context, Result, bail, ensure};
use kube::Error;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::core::response::StatusCause;
use playback_grant_operator::api::{PlaybackGrantRequest, validate};
use serde_json::{Value, json};

use super::cases::{Case, cases};
use super::{Door, request};
use crate::harness::{ClusterTest, Scene, in_project, test};

pub fn tests() -> Vec<ClusterTest> {
    vec![test("door::each_rule_is_shown_from_both_sides", each_rule_is_shown_from_both_sides)]
}

async fn each_rule_is_shown_from_both_sides(scene: Scene) -> Result<()> {
    let definition = std::fs::read_to_string(in_project("crds/playbackgrantrequests.yaml"))?;
    let definition: Value = serde_yaml_ng::from_str(&definition)?;
    let mut rules = Vec::new();
    self::rules("", &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"], &mut rules)?;
    let (of_status, of_spec): (Vec<_>, Vec<_>) = rules.into_iter().partition(|rule| rule.field.starts_with("status."));
    ensure!(of_spec.len() > 30 && of_status.len() > 5, "found are only {} and {} rules", of_spec.len(), of_status.len());
    let door = Door::open(&scene);
    let mut cases = cases();
    for rule in &of_spec {
        let at = cases.iter().position(|case| case.field == rule.field && case.kind == rule.kind);
        let case = cases.remove(at.with_context(|| format!("no case shows the rule {}: {}", rule.field, rule.kind))?);
        show(&door, rule, &case, &of_spec).await.with_context(|| format!("{}: {}", rule.field, rule.kind))?;
    }
    let left: Vec<_> = cases.iter().map(|case| (case.field, case.kind)).collect();
    ensure!(left.is_empty(), "there are no such rules: {left:?}");
    show_status(&door, &of_status).await
}

/// Shows a rule of the spec.
async fn show(door: &Door, rule: &Rule, case: &Case, all: &[Rule]) -> Result<()> {
    let mut refused_object = request(&case.refused);
    if case.refused.is_null() {
        refused_object.as_object_mut().map(|object| object.remove("spec"));
    }
    let (taken, refused) = (&request(&case.taken), &refused_object);
    if let Some(limit) = rule.limit {
        let (taken, refused) = (measure(taken, &rule.field), measure(refused, &rule.field));
        let beyond = if rule.kind == "minimum" { limit.checked_sub(1) } else { Some(limit + 1) };
        ensure!(taken == Some(limit) && refused == beyond, "the edge is {limit}, shown are {taken:?} and {refused:?}");
    }
    // The others of the same field that speak too.
    let beside: Vec<&Rule> =
        all.iter().filter(|other| other.field == case.beside.0 && case.beside.1.contains(&other.kind.as_str())).collect();
    ensure!(beside.len() == case.beside.1.len(), "there are no such rules beside it: {:?}", case.beside);
    let causes = knock(door, taken).await?;
    let wrong = causes.iter().find(|cause| !beside.iter().any(|beside| beside.says(cause)));
    ensure!(wrong.is_none(), "at its edge it is refused: {wrong:?}");
    agrees(taken, causes.is_empty())?;

    let causes = knock(door, refused).await?;
    ensure!(causes.iter().filter(|cause| rule.says(cause)).count() == 1, "beyond its edge it isn't refused by this rule: {causes:?}");
    let wrong = causes.iter().find(|cause| !rule.says(cause) && !beside.iter().any(|beside| beside.says(cause)));
    ensure!(wrong.is_none(), "beyond its edge another rule speaks, too: {wrong:?}");
    agrees(refused, false)
}

/// What the API server finds wrong with an object.
async fn knock(door: &Door, object: &Value) -> Result<Vec<StatusCause>> {
    let object: DynamicObject = serde_json::from_value(object.clone())?;
    causes(door.requests.create(&PostParams { dry_run: true, ..PostParams::default() }, &object).await)
}

fn causes(answer: Result<DynamicObject, Error>) -> Result<Vec<StatusCause>> {
    match answer {
        Ok(_) => Ok(Vec::new()),
        Err(Error::Api(status)) if status.code == 422 => {
            let causes = status.details.into_iter().flat_map(|details| details.causes);
            // Of CEL rules that a mistake in the schema keeps from being checked; it names no field.
            let causes: Vec<_> = causes.filter(|cause| !cause.message.contains("some validation rules were not checked")).collect();
            ensure!(!causes.is_empty(), "refused without a cause: {}", status.message);
            Ok(causes)
        }
        Err(error) => Err(error).context("the API server neither took the object nor said what is wrong with it"),
    }
}

/// The operator's own check, of what can be read at all.
fn agrees(object: &Value, taken: bool) -> Result<()> {
    let Ok(typed) = serde_json::from_value::<PlaybackGrantRequest>(object.clone()) else {
        ensure!(object.get("spec").is_none(), "the operator can't read it");
        return Ok(());
    };
    let ours = validate(&typed);
    ensure!(ours.is_ok() == taken, "the API server and the operator disagree: {:?}", ours.err());
    Ok(())
}

/// The number, or the length, or the count, that stands in that field.
fn measure(object: &Value, field: &str) -> Option<u64> {
    let mut value = object;
    for name in field.trim_end_matches("[]").split('.') {
        value = &value[name];
    }
    match value {
        Value::Object(map) if field.ends_with("[]") => Some(map.values().next()?.as_str()?.chars().count() as u64),
        Value::Object(map) => Some(map.len() as u64),
        Value::String(text) => Some(text.chars().count() as u64),
        number => number.as_u64(),
    }
}

/// Shows the rules of the status: a whole one is taken, and refused without each field that it must have, and with a negative count.
async fn show_status(door: &Door, rules: &[Rule]) -> Result<()> {
    door.store(&request(&json!({}))).await?;
    let now = "2026-01-01T00:00:00Z";
    let whole = json!({"status": {
        "conditions": [{"type": "Ready", "status": "True", "reason": "GrantIssued", "message": "", "lastTransitionTime": now}],
        "consecutiveFailures": 0,
        "grant": {"playerStreamerSid": super::SID, "issueTime": now, "expiryTime": now},
    }});
    let patch = async |status: &Value| {
        let params = PatchParams { dry_run: true, ..PatchParams::default() };
        causes(door.requests.patch_status("keynote", &params, &Patch::Merge(status)).await)
    };
    let found = patch(&whole).await?;
    ensure!(found.is_empty(), "a whole status is refused: {found:?}");
    for rule in rules {
        let mut status = whole.clone();
        let pointer = format!("/{}", rule.field.replace("[]", "/0").replace('.', "/"));
        let (parent, name) = pointer.rsplit_once('/').context("a field without a parent")?;
        let parent = status.pointer_mut(parent).and_then(Value::as_object_mut).with_context(|| format!("{} isn't shown", rule.field))?;
        match (rule.kind.as_str(), rule.limit) {
            ("required", _) => drop(parent.remove(name)),
            ("minimum", Some(0)) => drop(parent.insert(name.to_owned(), json!(-1))),
            other => bail!("{}: {other:?} isn't shown yet", rule.field),
        }
        let found = patch(&status).await?;
        ensure!(found.len() == 1 && rule.says(&found[0]), "{}: {} is told as {found:?}", rule.field, rule.kind);
    }
    Ok(())
}

/// A rule as it stands in the definition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rule {
    /// The field that has it: `spec.secret.labels`, `[]` behind a map or list for what is in it.
    field: String,
    /// The keyword of the schema; of a CEL rule, how its words begin.
    kind: String,
    /// What the API server says where it is broken.
    words: String,
    /// The number that bounds the value, its length or its count.
    limit: Option<u64>,
}

impl Rule {
    /// Whether it is this rule that speaks.
    fn says(&self, cause: &StatusCause) -> bool {
        let field = match self.field.strip_suffix("[]") {
            Some(map) => cause.field.strip_prefix(map).is_some_and(|rest| rest.starts_with('.')),
            None => cause.field.replace("[0]", "[]") == self.field,
        };
        // The words of a rule end the message; those of the schema's keywords are in the midst of it.
        field && if self.is_in_words() { cause.message.ends_with(&self.words) } else { cause.message.contains(&self.words) }
    }

    /// Whether it is a CEL rule, which brings words of its own.
    fn is_in_words(&self) -> bool {
        self.words.starts_with(&self.kind)
    }
}

/// Keywords that bound nothing.
const DESCRIBING: [&str; 9] =
    ["description", "title", "type", "format", "default", "nullable", "properties", "items", "additionalProperties"];

/// How lists are merged is no matter of right and wrong.
const MERGING: [&str; 2] = ["x-kubernetes-list-type", "x-kubernetes-list-map-keys"];

/// The rules of a schema, and of all below it.
fn rules(field: &str, schema: &Value, found: &mut Vec<Rule>) -> Result<()> {
    let below = |name: &str| if field.is_empty() { name.to_owned() } else { format!("{field}.{name}") };
    for (keyword, value) in schema.as_object().with_context(|| format!("{field} has no schema"))? {
        let limit = value.as_f64().map(|limit| limit.to_string()).and_then(|limit| limit.parse().ok());
        let mut rule = |field: String, words: String| found.push(Rule { field, kind: keyword.clone(), words, limit });
        match keyword.as_str() {
            "maxLength" => rule(field.to_owned(), format!("Too long: may not be more than {value}")),
            "minimum" => rule(field.to_owned(), format!("should be greater than or equal to {}", limit.context("a minimum")?)),
            "maximum" => rule(field.to_owned(), format!("should be less than or equal to {}", limit.context("a maximum")?)),
            "maxProperties" => rule(field.to_owned(), format!("must have at most {value}")),
            "pattern" => rule(field.to_owned(), format!("should match '{}'", value.as_str().context("a pattern")?)),
            "enum" => {
                let names: Vec<String> = value.as_array().into_iter().flatten().map(Value::to_string).collect();
                rule(field.to_owned(), format!("supported values: {}", names.join(", ")));
            }
            "required" => {
                for name in value.as_array().into_iter().flatten().filter_map(Value::as_str) {
                    rule(below(name), "Required value".to_owned());
                }
            }
            "x-kubernetes-validations" => {
                for rule in value.as_array().into_iter().flatten() {
                    let field = format!("{field}{}", rule["fieldPath"].as_str().unwrap_or_default());
                    for words in words(rule).with_context(|| format!("a rule of {field} without words"))? {
                        let kind = words.split(' ').take(5).collect::<Vec<_>>().join(" ");
                        found.push(Rule { field: field.trim_start_matches('.').to_owned(), kind, words, limit: None });
                    }
                }
            }
            known if DESCRIBING.contains(&known) || MERGING.contains(&known) => {}
            unknown => bail!("{field}: {unknown} is a kind of rule that isn't shown here yet"),
        }
    }
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        rules(&below(name), schema, found)?;
    }
    for inner in ["items", "additionalProperties"] {
        if schema[inner].is_object() {
            rules(&format!("{field}[]"), &schema[inner], found)?;
        }
    }
    Ok(())
}

/// What a CEL rule says: its message, or each text of the expression that makes it which is long enough to be one.
fn words(rule: &Value) -> Option<Vec<String>> {
    if let Some(message) = rule["message"].as_str() {
        return Some(vec![message.to_owned()]);
    }
    let texts = rule["messageExpression"].as_str()?.split('\'').skip(1).step_by(2);
    let words: Vec<String> = texts.map(|text| text.trim_start().to_owned()).filter(|text| text.contains(": ")).collect();
    (!words.is_empty()).then_some(words)
}

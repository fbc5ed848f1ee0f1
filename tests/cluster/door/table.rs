//! What `kubectl get` shows, by the table that the API server makes for it.

use anyhow::{Context, Result, ensure};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::{Door, SID, request};
use crate::harness::{ClusterTest, Scene, test};

pub fn tests() -> Vec<ClusterTest> {
    vec![
        test("door::the_columns_tell_how_a_request_is", the_columns_tell_how_a_request_is),
        test("door::the_resource_has_a_short_name", the_resource_has_a_short_name),
    ]
}

/// So far ahead that it lies in the future of every run; a `date` column would show it as `<invalid>`.
const EXPIRY: &str = "2099-01-01T00:00:00.000Z";

async fn the_columns_tell_how_a_request_is(scene: Scene) -> Result<()> {
    let door = Door::open(&scene);
    door.store(&request(&json!({"ttlSeconds": 60}))).await?;
    let columns = |table: &Value| -> Option<Vec<(String, i64)>> {
        let columns = table["columnDefinitions"].as_array()?.iter();
        columns.map(|column| Some((column["name"].as_str()?.to_owned(), column["priority"].as_i64()?))).collect()
    };
    let table = table(&door).await?;
    let found = columns(&table).context("no columns")?;
    let shown: Vec<&str> = found.iter().filter(|(_, priority)| *priority == 0).map(|(name, _)| name.as_str()).collect();
    ensure!(shown == ["Name", "Ready", "Reason", "TTL", "Expires", "Secret", "Age"], "shown are {shown:?}");
    let wide: Vec<&str> = found.iter().filter(|(_, priority)| *priority > 0).map(|(name, _)| name.as_str()).collect();
    ensure!(wide == ["Streamer"], "shown by -o wide are {wide:?}");
    ensure!(cells(&table)? == ["keynote", "", "", "60", "", "", SID], "before there is a status: {:?}", cells(&table)?);

    let condition = json!({
        "type": "Ready", "status": "True", "reason": "GrantIssued", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
    });
    let status = json!({"status": {
        "conditions": [{"type": "Stalled", "status": "False", "reason": "Other", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}, condition],
        "secretName": "keynote-grant",
        "grant": {"playerStreamerSid": SID, "issueTime": "2098-12-31T23:59:00.000Z", "expiryTime": EXPIRY},
    }});
    door.requests.patch_status("keynote", &PatchParams::default(), &Patch::Merge(status)).await?;
    let cells = cells(&self::table(&door).await?)?;
    ensure!(cells == ["keynote", "True", "GrantIssued", "60", EXPIRY, "keynote-grant", SID], "shown are {cells:?}");
    Ok(())
}

async fn the_resource_has_a_short_name(scene: Scene) -> Result<()> {
    let door = Door::open(&scene);
    let group: Value = door.client.request(http::Request::get("/apis/playbackgrant.dev/v1alpha1").body(Vec::new())?).await?;
    let resources = group["resources"].as_array().context("no resources")?;
    let names: Vec<_> = resources.iter().map(|resource| (resource["name"].as_str(), &resource["shortNames"])).collect();
    let expected = [(Some("playbackgrantrequests"), &json!(["pgr"])), (Some("playbackgrantrequests/status"), &Value::Null)];
    ensure!(names == expected, "served are {names:?}");
    Ok(())
}

async fn table(door: &Door) -> Result<Value> {
    let asked = http::Request::get(door.path()).header("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").body(Vec::new())?;
    Ok(door.client.request(asked).await?)
}

/// The only row's cells as text, without the age, which is checked to be one.
fn cells(table: &Value) -> Result<Vec<String>> {
    let rows = table["rows"].as_array().context("no rows")?;
    ensure!(rows.len() == 1, "there are {} rows", rows.len());
    let cells = rows[0]["cells"].as_array().context("no cells")?.iter();
    let mut shown: Vec<String> = cells.map(|cell| cell.as_str().map_or_else(|| cell.to_string(), str::to_owned)).collect();
    shown.iter_mut().filter(|cell| *cell == "null").for_each(String::clear);
    ensure!(shown.len() == 8, "a row has {} cells", shown.len());
    let age = shown.remove(6);
    ensure!(age.ends_with('s') || age.ends_with('m'), "the age is {age}");
    Ok(shown)
}

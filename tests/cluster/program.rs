//! The program in its surroundings: health, metrics, a few namespaces, and one of them forbidden.

use std::ffi::OsStr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context as _, Result, ensure};
use playback_grant_testbed::{AuditQuery, Launch, service_account_user, start_on_free_port};
use serde_json::{Value, json};

use crate::harness::{ClusterTest, Scene, in_project, test};
use crate::stage::{ACCOUNT, MOST_VERBOSE, Operator, PATIENCE, Stage, eventually, status};

pub fn tests() -> Vec<ClusterTest> {
    vec![
        test("program::health_and_metrics_are_served", health_and_metrics_are_served),
        test("program::a_forbidden_namespace_holds_up_no_other", a_forbidden_namespace_holds_up_no_other),
        test("program::without_a_role_it_is_not_ready_and_says_why", without_a_role_it_is_not_ready_and_says_why),
        test("program::a_taken_port_is_no_hindrance", a_taken_port_is_no_hindrance),
        test("program::without_an_api_server_it_says_so_and_goes_on", without_an_api_server_it_says_so_and_goes_on),
        test("program::a_log_that_nobody_reads_holds_up_nothing", a_log_that_nobody_reads_holds_up_nothing),
    ]
}

async fn health_and_metrics_are_served(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let operator = stage.operator().await?;
    operator.ready().await?;
    ensure!(operator.get("/livez").await? == (200, "ok\n".to_owned()), "/livez: {:?}", operator.get("/livez").await?);
    ensure!(
        operator.get("/readyz").await? == (200, "[+] requests\n[+] secrets\n".to_owned()),
        "/readyz: {:?}",
        operator.get("/readyz").await?
    );
    stage.ready_request("lobby", 1, &json!({"ttlSeconds": 60})).await?;
    let (code, metrics) = operator.get("/metrics").await?;
    ensure!(code == 200 && metrics.ends_with("# EOF\n"), "/metrics isn't OpenMetrics");
    ensure!(
        metrics.contains("playback_grant_media_api_requests_total{result=\"Granted\",code=\"201\"} 1\n"),
        "one call is counted as: {metrics}"
    );
    ensure!(operator.get("/secrets").await?.0 == 404, "there is something else");
    Ok(())
}

async fn a_forbidden_namespace_holds_up_no_other(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let (forbidden, account) = (stage.plane.create_namespace("forbidden").await?, ("namespaced", "playback-grant-operator"));
    stage.plane.create_namespace_named(account.0).await?;
    stage.plane.create_service_account(account.0, account.1).await?;
    let role = std::fs::read_to_string(in_project("deploy/manifests/role/role.yaml"))?.replace("playback-grant-system", account.0);
    stage.plane.apply(&role, &stage.namespace).await?;
    let kubeconfig = stage.plane.service_account_kubeconfig(account.0, account.1).await?;
    let url = stage.simulator.base_url();
    let launch = Operator::launch(&stage.plane, &stage.namespace)
        .env("KUBECONFIG", kubeconfig)
        .args(["--media-api-url", &url, "--namespace", &forbidden])
        .env("PLAYBACK_GRANT_LOG_FORMAT", "json")
        .args(["--namespace", &stage.namespace]);
    let operator = Operator::start(launch).await?;
    stage.ready_request("lobby", 1, &json!({"ttlSeconds": 6})).await?;
    operator.ready().await?;
    let first = stage.requests.get("lobby").await?;
    stage.reaches("lobby", "refreshed", |request| status(request).grant != status(&first).grant).await?;

    let log = operator.log()?;
    let told: Vec<_> = log.lines().filter(|line| line.contains("not allowed to") && line.contains(&forbidden)).collect();
    ensure!((1..=2).contains(&told.len()), "the forbidden namespace is told of in {} lines, not once for each of two watches", told.len());
    ensure!(told.iter().all(|line| line.contains("deploy/manifests/role")), "the log doesn't say what to do: {told:?}");

    let user = service_account_user(account.0, account.1);
    let asked = stage.plane.audit_log().requests(&AuditQuery { user: Some(&user), ..AuditQuery::default() })?;
    let beyond: Vec<_> = asked.iter().filter(|request| request.namespace != stage.namespace && request.namespace != forbidden).collect();
    ensure!(!asked.is_empty() && beyond.is_empty(), "asked beyond its namespaces: {beyond:?}");

    // Once the Role is given, the namespace is served.
    stage.plane.apply(&role, &forbidden).await?;
    let other = Stage::set(&Scene { namespace: forbidden, ..scene }).await?;
    other.ready_request("kiosk", 2, &json!({})).await.map(drop)
}

async fn without_a_role_it_is_not_ready_and_says_why(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    stage.plane.create_service_account(&stage.namespace, ACCOUNT.1).await?;
    let kubeconfig = stage.plane.service_account_kubeconfig(&stage.namespace, ACCOUNT.1).await?;
    let launch = Operator::launch(&stage.plane, &stage.namespace).env("KUBECONFIG", kubeconfig);
    let launch = launch.args(["--namespace", &stage.namespace, "--media-api-url", &stage.simulator.base_url()]);
    let operator = Operator::start(launch).await?;
    let said = async || operator.log();
    eventually("the log tells what is missing", said, |log| log.contains("not allowed to list (403)"), |_| ()).await?;
    ensure!(operator.get("/readyz").await? == (503, "[-] requests\n[-] secrets\n".to_owned()), "{:?}", operator.get("/readyz").await?);
    ensure!(operator.get("/livez").await?.0 == 200, "it isn't alive for want of a Role");
    // Once it has its rights, it is ready by itself.
    let role = std::fs::read_to_string(in_project("deploy/manifests/role/role.yaml"))?.replace("playback-grant-system", &stage.namespace);
    stage.plane.apply(&role, &stage.namespace).await?;
    let ready = async || operator.get("/readyz").await;
    let all_open = (200, "[+] requests\n[+] secrets\n".to_owned());
    eventually("it is ready", ready, |answer| *answer == all_open, Clone::clone).await?;
    eventually("the log tells of it", said, |log| log.contains("the watch works again"), |_| ()).await.map(drop)
}

async fn a_taken_port_is_no_hindrance(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let (taken, attempts) = (stage.simulator.addr().port(), AtomicU16::new(0));
    let kubeconfig = stage.plane.service_account_kubeconfig(ACCOUNT.0, ACCOUNT.1).await?;
    let launch = Operator::launch(&stage.plane, &stage.namespace).env("KUBECONFIG", kubeconfig);
    let launch = launch.args(["--namespace", &stage.namespace, "--media-api-url", &stage.simulator.base_url()]);
    let (process, port) = start_on_free_port(|free| {
        // Somebody has taken the first port between its choice and its use.
        let port = if attempts.fetch_add(1, Ordering::Relaxed) == 0 { taken } else { free };
        launch.clone().args(["--bind-address", &format!("127.0.0.1:{port}")])
    })
    .await?;
    let operator = Operator { process, url: format!("http://127.0.0.1:{port}") };
    operator.ready().await?;
    ensure!(attempts.load(Ordering::Relaxed) == 2, "it took {attempts:?} attempts");
    let log = operator.log()?;
    ensure!(
        log.contains(&format!("can't listen on 127.0.0.1:{taken}")) && log.contains("--bind-address"),
        "the log doesn't tell of the first"
    );
    Ok(())
}

async fn without_an_api_server_it_says_so_and_goes_on(scene: Scene) -> Result<()> {
    let stage = Stage::set(&scene).await?;
    let [port] = playback_grant_testbed::free_ports()?;
    // Of the second one the kubeconfig doesn't name the authority.
    for (name, server, words) in [
        ("nowhere", format!("http://127.0.0.1:{port}"), "could not list: nothing listens"),
        ("untrusted", stage.plane.url().to_owned(), "could not list: the API server's certificate isn't trusted"),
    ] {
        let kubeconfig = stage.plane.folder().join(format!("{name}.kubeconfig"));
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": name,
            "clusters": [{"name": name, "cluster": {"server": server}}],
            "users": [{"name": "user", "user": {}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": "user"}}],
        });
        std::fs::write(&kubeconfig, config.to_string())?;
        let launch = Operator::launch(&stage.plane, &stage.namespace)
            .env("KUBECONFIG", kubeconfig)
            .args(["--media-api-url", &stage.simulator.base_url()]);
        let operator = Operator::start(launch).await?;
        let said = async || operator.log();
        crate::stage::eventually(&format!("the log tells of {name}"), said, |log| log.contains(words), |_| ()).await?;
        ensure!(operator.get("/readyz").await?.0 == 503 && operator.get("/livez").await?.0 == 200, "{name}: it isn't alive and unready");
        let log = operator.log()?;
        let told: Vec<_> = log.lines().filter(|line| line.contains(" WARN ") || line.contains(" ERROR ")).collect();
        ensure!(told.len() == 1, "{name}: it is told more than once, or more than that: {told:?}");
        ensure!(operator.process.terminate(PATIENCE).await? == 0, "{name}: it did not end with 0");
    }
    Ok(())
}

/// Who writes into a pipe that is full waits until somebody reads it.
async fn a_log_that_nobody_reads_holds_up_nothing(scene: Scene) -> Result<()> {
    const REFRESHED: &str = r#"playback_grant_refreshes_total{result="success",reason="GrantIssued"} "#;
    // Held open for reading and writing by the program itself, which reads it never.
    const UNREAD: &str = r#"pipe=$1 && shift && rm -f "$pipe" && mkfifo "$pipe" && exec 3<>"$pipe" && exec "$@" 2>"$pipe""#;
    let stage = Stage::set(&scene).await?;
    let kubeconfig = stage.plane.service_account_kubeconfig(ACCOUNT.0, ACCOUNT.1).await?;
    let folder = tempfile::tempdir()?;
    let launch = Launch::new("/bin/bash", folder.path().join("log"))
        .args([OsStr::new("-c"), OsStr::new(UNREAD), OsStr::new("bash"), folder.path().join("pipe").as_os_str()])
        .args([env!("CARGO_BIN_EXE_playback-grant-operator"), "controller", "--log-level", MOST_VERBOSE, "--log-format", "json"])
        .args(["--namespace", &stage.namespace, "--media-api-url", &stage.simulator.base_url()])
        .env("KUBECONFIG", kubeconfig);
    let operator = Operator::start(launch).await?;
    stage.ready_request("lobby", 1, &json!({"ttlSeconds": 6})).await?;
    // So many lines as no pipe holds, and for longer than a grant lives.
    let metrics = async || Ok(operator.get("/metrics").await?.1);
    let is_enough = |count: &str| count.parse::<u64>().is_ok_and(|count| count >= 4);
    let is_refreshed = |line: &str| line.strip_prefix(REFRESHED).is_some_and(is_enough);
    let refreshes = |metrics: &String| metrics.lines().any(is_refreshed);
    let told = eventually("it is refreshed", metrics, refreshes, |_| ()).await?;
    ensure!(told.contains("playback_grants{state=\"fresh\"} 1\n") && told.contains("playback_grant_expired_seconds_total 0.0\n"), "{told}");
    let is_dropped = |metrics: &String| {
        metrics.lines().any(|line| line.strip_prefix("playback_grant_log_lines_dropped_total ").is_some_and(|count| count != "0"))
    };
    for n in 2..=30 {
        stage.request(&format!("kiosk-{n}"), n, &json!({"ttlSeconds": 4})).await?;
    }
    eventually("what nobody has read is counted", metrics, is_dropped, |_| ()).await?;
    let mut waiting = vec![0; PIPE];
    let pipe = std::fs::File::options().read(true).write(true).custom_flags(NON_BLOCKING).open(folder.path().join("pipe"))?;
    let held = std::io::Read::read(&mut &pipe, &mut waiting)?;
    ensure!(held > PIPE / 2, "the pipe wasn't full, with {held} bytes in it");
    // Each line is whole, but for the one that had no room any more.
    let lines = waiting[..held].split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
    for line in lines {
        let told: Value = serde_json::from_slice(line).with_context(|| String::from_utf8_lossy(line).into_owned())?;
        let is_told = |field: &str| told.pointer(field).is_some_and(Value::is_string);
        ensure!(["/timestamp", "/level", "/target"].into_iter().all(is_told) && told["fields"].is_object(), "{told}");
    }
    ensure!(operator.process.terminate(PATIENCE).await? == 0, "it didn't end in order");
    Ok(())
}

/// `O_NONBLOCK` of Linux on the processors that are served.
const NON_BLOCKING: i32 = 0o4000;

/// As much as a pipe holds.
const PIPE: usize = 64 * 1024;

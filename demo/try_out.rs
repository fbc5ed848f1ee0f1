//! What a person may try while the demo runs, a command a line.

use crate::in_project;
use crate::simulator;
use crate::stage::{NAMESPACE, Stage, program};

/// The commands, with what each does.
pub fn text(stage: &Stage) -> String {
    let kubectl = kubectl(stage);
    let url = &stage.simulator_url;
    format!(
        "
Try, in another terminal:
  export KUBECONFIG={kubeconfig}
  {kubectl} get pgr --watch                                 # as users see it
  {error}   # the Media API fails for 30 s
  {throttled}   # it throttles for 20 s
  {hang}   # it takes calls and doesn't answer for 10 s
  {program} token decode --secret kiosk --key-secret media-api   # what the Access Token in the kiosk's Secret says
  {kubectl} delete secret keynote-grant                     # it is back at once, without a call
  {kubectl} patch secret media-api -p '{{\"stringData\":{{\"apiKeySecret\":\"wrong\"}}}}'   # told at the next refresh; the token is signed with it at once
  {kubectl} apply --server-side --force-conflicts -f {credentials}   # the right ones again
  curl {operator}/metrics
There is no garbage collector here: the Secret of a deleted request stays.
The namespace is {NAMESPACE}; logs are in {folder}; Ctrl-C ends.
",
        kubeconfig = stage.plane.admin_kubeconfig().display(),
        program = program("playback-grant-operator").display(),
        error = simulator::fault_command(url, "500:30s"),
        throttled = simulator::fault_command(url, "429:20s"),
        hang = simulator::fault_command(url, "hang:10s"),
        credentials = in_project("deploy/sample/credentials.yaml").display(),
        operator = stage.operator_url,
        folder = stage.plane.folder().display(),
    )
}

/// kubectl by its name where the shell finds one, else the pinned one by its path.
fn kubectl(stage: &Stage) -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| folder.join("kubectl").is_file());
    if found { "kubectl".to_owned() } else { stage.plane.tool("kubectl").display().to_string() }
}

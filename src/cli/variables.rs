//! The environment variables that the controller reads, and those that only look like them.

use clap::CommandFactory as _;

const PREFIX: &str = "PLAYBACK_GRANT_";

/// Of these variables, those that aren't read, each with the one that was probably meant. (Kubernetes sets others of that prefix for Services of that name.)
pub(super) fn misspelt(set: impl Iterator<Item = String>) -> Vec<(String, String)> {
    let command = super::Cli::command();
    let controller = command.find_subcommand("controller").into_iter().flat_map(clap::Command::get_arguments);
    let known: Vec<String> = controller.filter_map(|known| Some(known.get_env()?.to_str()?.to_owned())).collect();
    let others = set.filter(|name| name.to_uppercase().starts_with(PREFIX) && !known.contains(name));
    others.filter_map(|name| known.iter().find(|known| plain(known) == plain(&name)).map(|known| (name, known.clone()))).collect()
}

/// Without what is easily got wrong.
fn plain(name: &str) -> String {
    name.to_uppercase().replace('_', "").trim_end_matches('S').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nearly_a_variables_name_is_told_from_what_is_another() {
        let set = [
            "PLAYBACK_GRANT_NAMESPACE",
            "PLAYBACK_GRANT_NAMESPACES",
            "PLAYBACK_GRANT_LOGLEVEL",
            "playback_grant_log_format",
            "PLAYBACK_GRANT_STATUS_INTERVAL",
            "PLAYBACK_GRANT_OPERATOR_SERVICE_HOST",
            "PLAYBACK_GRANT_CACHE",
            "NAMESPACES",
        ];
        let meant = [
            ("PLAYBACK_GRANT_NAMESPACES", "PLAYBACK_GRANT_NAMESPACE"),
            ("PLAYBACK_GRANT_LOGLEVEL", "PLAYBACK_GRANT_LOG_LEVEL"),
            ("playback_grant_log_format", "PLAYBACK_GRANT_LOG_FORMAT"),
        ];
        assert_eq!(misspelt(set.into_iter().map(str::to_owned)), meant.map(|(set, meant)| (set.to_owned(), meant.to_owned())));
    }
}

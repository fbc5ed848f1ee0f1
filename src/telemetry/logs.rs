//! Logs: one line for a transition, none for a refresh as usual.

use std::io::Write;
use std::panic::PanicHookInfo;

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::transition::Transition;
use crate::lifecycle::Identity;

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For a person.
    Text,
    /// One JSON object a line.
    Json,
}

/// kube's client logs the whole of an answer that it can't decode, and an answer may be a Secret: that module is kept silent at every level.
const NEVER_LOGGED: &str = "kube_client::client";

/// kube's runtime would put its own words around each line, and logs each reconcile; its watches warn at each attempt, of which the operator
/// tells once. The look-up of names warns at each about a line of /etc/resolv.conf that it doesn't know. `--log-level` may ask for them by
/// these names. The check of certificates says at each connection what the operator tells once.
const QUIETER: &str = "kube_runtime=warn,kube_runtime::watcher=error,hickory_resolver=error,hickory_net=error,rustls_platform_verifier=off";

/// So many lines wait at the most; of more, the newest are dropped.
const MOST_LINES: usize = 4096;

/// The log. When it is dropped, the lines that still wait are written, unless nobody takes them at once.
#[derive(Debug)]
pub struct Log {
    dropped: ErrorCounter,
    _writer: WorkerGuard,
}

impl Log {
    /// How many lines nobody has read, so far.
    pub fn dropped(&self) -> impl Fn() -> u64 + Send + Sync + 'static {
        let dropped = self.dropped.clone();
        move || u64::try_from(dropped.dropped_lines()).unwrap_or(u64::MAX)
    }
}

/// Starts logging to standard error.
pub fn init(format: LogFormat, level: &str) -> Result<Log, ParseError> {
    let filter = filter(level)?;
    let (writer, log) = beside(std::io::stderr());
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    match format {
        LogFormat::Text => tracing_subscriber::registry().with(lines.with_ansi(false)).with(filter).init(),
        LogFormat::Json => tracing_subscriber::registry().with(lines.json()).with(filter).init(),
    }
    std::panic::set_hook(Box::new(tell_of_panic));
    Ok(log)
}

/// What is logged; of two levels for the same name the last counts.
fn filter(level: &str) -> Result<Targets, ParseError> {
    Ok(format!("{QUIETER},{level}").parse::<Targets>()?.with_target(NEVER_LOGGED, LevelFilter::OFF))
}

/// A panic is a line as any other: as the standard library tells of it, whoever panicked would wait for who reads standard error.
fn tell_of_panic(panic: &PanicHookInfo<'_>) {
    let at = panic.location().map(ToString::to_string);
    tracing::error!(at, "a panic, which is a bug: {}", panic.payload_as_str().unwrap_or("without a message"));
}

/// Writes on a thread of its own: who writes into a pipe that nobody reads waits, and that must not be who refreshes grants.
fn beside(to: impl Write + Send + 'static) -> (NonBlocking, Log) {
    let (writer, guard) = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(MOST_LINES).thread_name("log").finish(to);
    let log = Log { dropped: writer.error_counter(), _writer: guard };
    (writer, log)
}

/// Logs what has come about. `shared`: it is told already of all that the Media API fails together.
pub fn log(identity: &Identity, transition: &Transition, shared: bool) {
    let (Identity { namespace, name, .. }, Transition { is_warning, reason, text, is_of_failure, .. }) = (identity, transition);
    if *is_of_failure && shared {
        tracing::debug!(namespace, request = name, reason, "{text}");
    } else if *is_warning {
        tracing::warn!(namespace, request = name, reason, "{text}");
    } else {
        tracing::info!(namespace, request = name, reason, "{text}");
    }
}

#[cfg(test)]
pub(crate) use self::tests::logged;

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::Level;

    use super::*;

    /// What is written to it is taken only once it is unlocked.
    #[derive(Clone, Default)]
    struct Pipe(Arc<Mutex<Vec<u8>>>);

    impl Write for Pipe {
        fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(text)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What is logged on this thread meanwhile, each line as JSON.
    pub(crate) fn logged(action: impl FnOnce()) -> Vec<serde_json::Value> {
        let pipe = Pipe::default();
        let (writer, log) = beside(pipe.clone());
        let subscriber = tracing_subscriber::fmt().with_writer(writer).json().with_max_level(Level::DEBUG).finish();
        tracing::subscriber::with_default(subscriber, action);
        drop(log);
        let lines = String::from_utf8(pipe.0.lock().unwrap().clone()).unwrap();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_transition_is_a_line_and_of_what_is_told_of_all_together_one_for_who_asks_for_more() {
        let identity = Identity { namespace: "web".into(), name: "lobby".into(), uid: "u1".into() };
        for (is_warning, is_of_failure, shared, level) in [
            (true, true, false, "WARN"),
            (true, true, true, "DEBUG"),
            (false, true, false, "INFO"),
            (false, true, true, "DEBUG"),
            (true, false, true, "WARN"),
            (false, false, true, "INFO"),
        ] {
            let reason = Some("Unauthorized".to_owned());
            let told = Transition { is_warning, reason, text: "so it is".into(), event: None, lasting_text: None, is_of_failure };
            let lines = logged(|| log(&identity, &told, shared));
            let [line] = &lines[..] else { panic!("one line is expected: {lines:?}") };
            let fields = serde_json::json!({"message": "so it is", "namespace": "web", "request": "lobby", "reason": "Unauthorized"});
            assert_eq!((&line["level"], &line["fields"]), (&level.into(), &fields), "{is_warning} {is_of_failure} {shared}");
        }
    }

    #[test]
    fn what_may_be_asked_for_by_its_name_is_logged_and_what_may_hold_secrets_never() {
        let logged = |asked: &str, target: &str, level: Level| filter(asked).unwrap().would_enable(target, &level);
        assert!(logged("info", "playback_grant_operator::controller", Level::INFO));
        assert!(!logged("info", "playback_grant_operator::controller", Level::DEBUG));
        assert!(
            !logged("info", "kube_runtime::controller", Level::INFO)
                && logged("info,kube_runtime=info", "kube_runtime::controller", Level::INFO)
        );
        assert!(!logged("trace", "kube_runtime::watcher", Level::WARN) && logged("trace", "hyper_util::client", Level::TRACE));
        for asked in ["trace", "kube_client=trace", "trace,kube_client::client=trace"] {
            assert!(!logged(asked, "kube_client::client", Level::ERROR), "{asked}");
        }
    }

    #[test]
    fn of_what_nobody_reads_a_bounded_part_waits_and_the_rest_is_counted() {
        let pipe = Pipe::default();
        let (mut writer, log) = beside(pipe.clone());
        let stuck = pipe.0.lock().unwrap();
        for _ in 0..2 * MOST_LINES {
            writer.write_all(b"line\n").unwrap();
        }
        let dropped = usize::try_from(log.dropped()()).unwrap();
        assert!(
            (MOST_LINES - 1..=MOST_LINES).contains(&dropped),
            "{dropped} lines were dropped: but for the one being written, none too many"
        );
        drop(stuck);
        // The end, too, needs its place in the queue.
        while pipe.0.lock().unwrap().is_empty() {
            std::thread::yield_now();
        }
        drop(log);
        assert_eq!(pipe.0.lock().unwrap().len(), (2 * MOST_LINES - dropped) * 5, "the others are written before it ends");
    }

    #[test]
    fn a_panic_is_a_line_of_the_log_with_its_message_and_place() {
        let lines = logged(|| {
            let of_tests = std::panic::take_hook();
            std::panic::set_hook(Box::new(tell_of_panic));
            let caught = std::panic::catch_unwind(|| panic!("seven {}", "eggs"));
            std::panic::set_hook(of_tests);
            assert!(caught.is_err());
        });
        let [line] = &lines[..] else { panic!("one line is expected: {lines:?}") };
        assert_eq!((&line["level"], &line["fields"]["message"]), (&"ERROR".into(), &"a panic, which is a bug: seven eggs".into()));
        assert!(line["fields"]["at"].as_str().is_some_and(|at| at.contains("logs.rs:")), "{line}");
    }
}

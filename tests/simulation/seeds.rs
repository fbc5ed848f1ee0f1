//! Many histories, each from its seed and in a process of its own; one that fails is made as short as it can be.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proptest::strategy::{Strategy as _, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::history::{History, any_history};
use crate::judge::Share;
use crate::live::{Verdict, live, lived};

/// A history takes a second or so.
const LONGEST_RUN: Duration = Duration::from_mins(3);

/// A failing history is made shorter in so many steps at most.
const SHRINKS: usize = 300;

/// Lives through the history that is told on standard input, and tells the verdict on standard output.
pub fn child() -> ExitCode {
    // What goes round without time passing would go round for ever.
    std::thread::spawn(|| {
        std::thread::sleep(LONGEST_RUN);
        eprintln!("the history wasn't over after {LONGEST_RUN:?}");
        std::process::exit(1);
    });
    let history: History = serde_json::from_reader(std::io::stdin()).unwrap();
    let verdict = live(&history);
    serde_json::to_writer(std::io::stdout(), &verdict).unwrap();
    ExitCode::SUCCESS
}

/// The verdict of a process of the history's own.
fn verdict(history: &History) -> Verdict {
    let failed = |problem: String| Verdict { problems: vec![problem], ..Verdict::default() };
    let mut child = Command::new(std::env::current_exe().unwrap())
        .arg("history")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(serde_json::to_string(history).unwrap().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| failed(format!("it broke: {}", String::from_utf8_lossy(&output.stderr))))
}

fn history_of(seed: u64) -> impl ValueTree<Value = History> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    any_history().new_tree(&mut runner).unwrap()
}

/// Makes a history that fails shorter, as long as it fails.
fn shrunk(mut tree: impl ValueTree<Value = History>) -> (History, Verdict) {
    let mut shortest = (tree.current(), verdict(&tree.current()));
    for _ in 0..SHRINKS {
        let history = tree.current();
        let verdict = verdict(&history);
        let fails = !verdict.problems.is_empty();
        if fails {
            shortest = (history, verdict);
        }
        if !(if fails { tree.simplify() } else { tree.complicate() }) {
            break;
        }
    }
    shortest
}

fn described(seed: u64) -> String {
    let (history, verdict) = shrunk(history_of(seed));
    let mut told = format!("seed {seed} fails; the shortest history like it:\n  {:?}\n", history.requests);
    let _ = writeln!(
        told,
        "  latency of the API server, the Media API and the watches, in ms: {:?}; chance {}",
        history.latency, history.chance
    );
    for (at, happening) in &history.events {
        let _ = writeln!(told, "  at {at} ms {happening:?}");
    }
    for problem in &verdict.problems {
        let _ = writeln!(told, "  → {problem}");
    }
    told
}

/// What came of many.
#[derive(Default)]
struct Tally {
    lived: Duration,
    calls: (usize, usize),
    share: Share,
    /// Each with what was first wrong.
    failed: Vec<(u64, String)>,
}

fn run(seeds: std::ops::Range<u64>) -> Tally {
    let (next, tally) = (AtomicU64::new(seeds.start), Mutex::<Tally>::default());
    let at_once = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= seeds.end {
                        break;
                    }
                    let verdict = verdict(&history_of(seed).current());
                    let mut tally = tally.lock().unwrap();
                    tally.lived += verdict.lived;
                    tally.share += verdict.share;
                    tally.calls = (tally.calls.0 + verdict.calls.0, tally.calls.1 + verdict.calls.1);
                    if let Some(problem) = verdict.problems.into_iter().next() {
                        tally.failed.push((seed, problem));
                    }
                }
            });
        }
    });
    tally.into_inner().unwrap()
}

/// The histories that belong to the tests; and that the same history is lived through the same way again.
pub fn fixed(count: u64) -> Result<(), String> {
    for seed in 0..3 {
        let history = history_of(seed).current();
        let [one, two] = [verdict(&history), verdict(&history)];
        if one.trace != two.trace {
            return Err(format!("seed {seed} isn't the same again: {one:?} {two:?}"));
        }
    }
    let Tally { failed, share, .. } = run(0..count);
    enough_is_judged(share)?;
    failed.first().map_or(Ok(()), |(first, _)| Err(format!("of {count} histories these fail: {failed:#?}\n{}", described(*first))))
}

/// So much of the time in which things happen and grants are asked for is judged, of four fifths in all histories.
const LEAST_JUDGED: f64 = 0.75;

/// Excuses that grow would let anything pass.
fn enough_is_judged(share: Share) -> Result<(), String> {
    if share.judged < share.asked.mul_f64(LEAST_JUDGED) {
        return Err(format!("of {:?} in which grants were asked for only {:?} were judged", share.asked, share.judged));
    }
    Ok(())
}

/// One of so few may be excused for most of its time.
const FEW: u64 = 100;

/// So many are lived through before it is looked whether one failed.
const AT_ONCE: u64 = 8;

/// As many as asked, until one fails: how many that takes.
pub fn until_one_fails(most: &str) -> ExitCode {
    let Ok(most) = most.parse::<u64>() else {
        eprintln!("error: until-one-fails MOST");
        return ExitCode::from(2);
    };
    for first in (0..most).step_by(usize::try_from(AT_ONCE).unwrap()) {
        let mut failed = run(first..(first + AT_ONCE).min(most)).failed;
        failed.sort();
        if let Some((seed, problem)) = failed.first() {
            println!("seed {seed}, after {} histories: {problem}", seed + 1);
            return ExitCode::SUCCESS;
        }
    }
    println!("not within {most} histories");
    ExitCode::FAILURE
}

/// One of them, with all that was asked for and all that changed.
pub fn told(seed: &str) -> ExitCode {
    let Ok(seed) = seed.parse::<u64>() else {
        eprintln!("error: told SEED");
        return ExitCode::from(2);
    };
    let history = history_of(seed).current();
    println!("{history:#?}");
    let (Verdict { problems, .. }, told) = lived(&history);
    println!("{}", told.join("\n"));
    println!("{problems:#?}");
    ExitCode::SUCCESS
}

/// So many are lived through before it is told how far it is.
const TOLD_EACH: usize = 500;

fn told_on_the_way(seeds: std::ops::Range<u64>) -> Tally {
    let mut all = Tally::default();
    for first in seeds.clone().step_by(TOLD_EACH) {
        let last = (first + TOLD_EACH as u64).min(seeds.end);
        let some = run(first..last);
        all.lived += some.lived;
        all.share += some.share;
        all.calls = (all.calls.0 + some.calls.0, all.calls.1 + some.calls.1);
        all.failed.extend(some.failed);
        all.failed.sort();
        eprintln!("seeds {} to {}: {} fail", seeds.start, last - 1, all.failed.len());
    }
    all
}

/// As many as asked.
pub fn all(first: &str, count: &str) -> ExitCode {
    let (Ok(first), Ok(count)) = (first.parse::<u64>(), count.parse::<u64>()) else {
        eprintln!("error: seeds FIRST COUNT");
        return ExitCode::from(2);
    };
    let Tally { lived, calls, share, failed } = told_on_the_way(first..first + count);
    println!(
        "{count} histories from seed {first} on: {:.1} hours with {} calls of the Media API and {} of the API server, in which for {:.0} % of the time \
         that grants were asked for nothing excused the lack of one; {} fail",
        lived.as_secs_f64() / 3600.0,
        calls.0,
        calls.1,
        100.0 * share.judged.as_secs_f64() / share.asked.as_secs_f64(),
        failed.len()
    );
    for (seed, problem) in &failed {
        println!("  seed {seed}: {problem}");
    }
    if let Some((seed, _)) = failed.first() {
        println!("{}", described(*seed));
        return ExitCode::FAILURE;
    }
    if count >= FEW
        && let Err(problem) = enough_is_judged(share)
    {
        eprintln!("error: {problem}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

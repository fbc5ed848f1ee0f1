//! `docs/logging.md`, held to what the operators of a whole run have logged.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

const PAGE: &str = include_str!("../../docs/logging.md");

/// Lines that no operator of a whole run need log in the folder of its control plane: they are of operators with a plane of their own, of what comes about by chance,
/// or of bugs.
const ELSEWHERE: [&str; 7] = [
    "INFO the API server does what it is asked again…",
    "WARN can't look at credentials…",
    "WARN the environment variable…is not read",
    "WARN a write…is unanswered…",
    "WARN the controller reports…",
    "ERROR a panic, which is a bug…",
    "ERROR a reconcile panicked…",
];

/// A line that the page tells of.
struct Row {
    level: String,
    /// Its words; where the page has `…` there may be any between them.
    words: Vec<&'static str>,
}

impl Row {
    fn fits(&self, level: &str, said: &str) -> bool {
        let mut rest = Some(said).filter(|_| self.level == level);
        for (n, words) in self.words.iter().enumerate() {
            rest = rest.and_then(|rest| if n == 0 { rest.strip_prefix(words) } else { Some(rest.split_once(words)?.1) });
        }
        rest.is_some()
    }

    fn shown(&self) -> String {
        format!("{} {}", self.level, self.words.join("…"))
    }
}

/// Those of the page's second table.
fn rows() -> Vec<Row> {
    let cells = PAGE.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        Some((cells.next()?, cells.next()?))
    });
    let told = cells.filter(|(level, _)| ["info", "warn", "error"].contains(level)).flat_map(|(level, cell)| {
        // What has no space in it is a field, or a reason.
        let quoted = cell.split('`').skip(1).step_by(2).filter(|words| words.contains(' '));
        quoted.map(move |words| Row { level: level.to_uppercase(), words: words.split('…').map(str::trim).collect() })
    });
    told.collect()
}

/// Level and words of a line of the operator's own, at `info` and above.
fn of_the_operator(line: &str) -> Option<(String, String)> {
    const TARGET: &str = "playback_grant_operator";
    let (level, said) = if line.starts_with('{') {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        line["target"].as_str().filter(|target| target.starts_with(TARGET))?;
        (line["level"].as_str()?.to_owned(), line["fields"]["message"].as_str()?.to_owned())
    } else {
        let (level, rest) = line.split_once(' ')?.1.trim_start().split_once(' ')?;
        // The library puts its own words before it.
        let at = rest.find(&format!("{TARGET}::"))?;
        (level.to_owned(), rest.get(at..)?.split_once(": ")?.1.to_owned())
    };
    ["INFO", "WARN", "ERROR"].contains(&&*level).then_some((level, said))
}

/// Everything that was logged in that folder is told of, and everything that is told of was logged.
pub fn is_true_of(folder: &Path) -> Result<String> {
    let rows = rows();
    ensure!(rows.len() > 20, "of the page no more than {} lines were read", rows.len());
    let (mut lines, mut untold, mut met) = (0, BTreeSet::new(), BTreeSet::new());
    for file in std::fs::read_dir(folder)? {
        let path = file?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !name.starts_with("operator-") || path.extension().is_none_or(|extension| extension != "log") {
            continue;
        }
        let log = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        for (level, said) in String::from_utf8_lossy(&log).lines().filter_map(of_the_operator) {
            lines += 1;
            let fitting: Vec<_> = rows.iter().filter(|row| row.fits(&level, &said)).map(Row::shown).collect();
            if fitting.is_empty() {
                untold.insert(format!("{level} {said}"));
            }
            met.extend(fitting);
        }
    }
    ensure!(untold.is_empty(), "docs/logging.md doesn't tell of {untold:#?}");
    let unmet: Vec<_> = rows.iter().map(Row::shown).filter(|row| !met.contains(row) && !ELSEWHERE.contains(&&**row)).collect();
    ensure!(unmet.is_empty(), "docs/logging.md tells of what no operator has logged: {unmet:#?}");
    Ok(format!("docs/logging.md is true of {lines} lines"))
}

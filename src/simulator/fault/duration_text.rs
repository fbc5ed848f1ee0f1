//! Durations as people write them: `30s`, `1.5s`, `250ms`, `2m`, `1h`.

use std::time::Duration;

/// Longer ones are refused: a fault that shall last has no duration.
const LONGEST_MS: f64 = 7.0 * 24.0 * 3_600_000.0;

/// Reads a number and a unit; to the nearest millisecond.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(unit_at);
    let unit_ms = match unit {
        "ms" => 1.0,
        "s" => 1_000.0,
        "m" => 60_000.0,
        "h" => 3_600_000.0,
        _ => return None,
    };
    let ms = (number.parse::<f64>().ok()? * unit_ms).round();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, not negative, and within the bound")]
    (ms <= LONGEST_MS).then(|| Duration::from_millis(ms as u64))
}

/// Writes a duration so that [`parse_duration`] reads the same, to the millisecond.
pub(crate) fn show_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    if ms.is_multiple_of(1_000) { format!("{}s", ms / 1_000) } else { format!("{ms}ms") }
}

#[cfg(test)]
mod tests {
    use super::{parse_duration, show_duration};
    use proptest::prelude::*;
    use std::time::Duration;

    proptest! {
        #[test]
        fn what_is_shown_is_read(ms in 0_u64..600_000_000) {
            let duration = Duration::from_millis(ms);
            prop_assert_eq!(parse_duration(&show_duration(duration)), Some(duration));
        }

        #[test]
        fn no_text_breaks_the_reader(text in ".{0,20}") {
            let _ = parse_duration(&text);
        }
    }

    #[test]
    fn units_and_fractions() {
        let read = [("30s", 30_000), ("1.5s", 1_500), ("250ms", 250), ("2m", 120_000), ("1h", 3_600_000), ("0s", 0)];
        for (text, ms) in read {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "30", "s", "-1s", "+1s", "1e3s", "1..2s", "1 s", "1d", "9999h", "infs", "NaNs"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}

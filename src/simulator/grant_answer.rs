//! The answer to a call that is granted, as the vendor's fixtures shape it, and its spoiled variants.

use super::answer::{Answer, Pace, vendor_time};
use super::fault::AnswerFault;
use super::token::PlaybackToken;
use serde_json::{Value, json};

/// What the URLs in answers start with: the vendor's own, as in the API description, wherever the simulator listens.
pub(crate) const VENDOR_BASE: &str = "https://media.twilio.com/v1/PlayerStreamers";

/// A grant to be answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Granted<'a> {
    pub(crate) streamer: &'a str,
    pub(crate) account: &'a str,
    pub(crate) token: PlaybackToken,
}

impl Granted<'_> {
    /// The 201.
    pub(crate) fn answer(&self) -> Answer {
        Answer::json(201, &self.json(self.streamer, 0))
    }

    /// The 201 with something wrong.
    pub(crate) fn spoiled(&self, fault: AnswerFault) -> Answer {
        let plain = self.json(self.streamer, 0);
        let with_field = |name: &str, value: Value| {
            let mut json = plain.clone();
            json[name] = value;
            Answer::json(201, &json)
        };
        let url = self.token.playback_url();
        match fault {
            AnswerFault::Garbage => Answer { body: format!("grant: {{{{ {url} }}\n").into(), ..self.answer() },
            AnswerFault::NullGrant => with_field("grant", Value::Null),
            AnswerFault::NullFields => {
                let json = json!({"sid": null, "url": null, "account_sid": null, "date_created": null, "grant": plain["grant"]});
                Answer::json(201, &json)
            }
            AnswerFault::WrongTypes => {
                let json = json!({"sid": {"playbackUrl": url}, "url": 42, "account_sid": [url], "date_created": url, "grant": [url]});
                Answer::json(201, &json)
            }
            AnswerFault::OtherStreamer => Answer::json(201, &self.json(&another(self.streamer), 0)),
            AnswerFault::StringGrant => with_field("grant", Value::String(plain["grant"].to_string())),
            AnswerFault::DateSkew(skew_ms) => Answer::json(201, &self.json(self.streamer, skew_ms)),
            AnswerFault::Trickle(interval) => Answer { pace: Pace::Trickle(interval), ..self.answer() },
            AnswerFault::Oversized(bytes) => {
                let missing = bytes.saturating_sub(with_field("padding", "".into()).body.len());
                with_field("padding", "x".repeat(missing).into())
            }
            AnswerFault::Torn => Answer { pace: Pace::Torn, ..self.answer() },
        }
    }

    fn json(&self, streamer: &str, skew_ms: i64) -> Value {
        let created = i64::try_from(self.token.issued_at_unix_ms).unwrap_or(i64::MAX).saturating_add(skew_ms);
        json!({
            "sid": streamer,
            "url": format!("{VENDOR_BASE}/{streamer}/PlaybackGrant"),
            "account_sid": self.account,
            "date_created": vendor_time(created),
            "grant": {
                "playbackUrl": self.token.playback_url(),
                "playerStreamerSid": streamer,
                "requestCredentials": null,
            },
        })
    }
}

/// Another PlayerStreamer's SID: the last digit differs.
fn another(streamer: &str) -> String {
    let mut sid = streamer.to_owned();
    let last = sid.pop();
    sid.push(if last == Some('0') { '1' } else { '0' });
    sid
}

/// The PlayerStreamer resource, for reading.
pub(crate) fn player_streamer(streamer: &str, account: &str, ended: bool, created_unix_ms: u64) -> Answer {
    let created = vendor_time(i64::try_from(created_unix_ms).unwrap_or(i64::MAX));
    let (status, ended_reason) = if ended { ("ended", json!("ended-via-api")) } else { ("started", Value::Null) };
    let json = json!({
        "sid": streamer,
        "account_sid": account,
        "date_created": created,
        "date_updated": created,
        "video": true,
        "status": status,
        "ended_reason": ended_reason,
        "max_duration": 90000,
        "status_callback": null,
        "status_callback_method": null,
        "url": format!("{VENDOR_BASE}/{streamer}"),
        "links": {
            "playback_grant": format!("{VENDOR_BASE}/{streamer}/PlaybackGrant"),
            "timed_metadata": format!("{VENDOR_BASE}/{streamer}/TimedMetadata"),
        },
    });
    Answer::json(200, &json)
}

#[cfg(test)]
#[path = "grant_answer_tests.rs"]
mod tests;

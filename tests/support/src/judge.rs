//! Judges the grants in the Secrets by what the simulator wrote into them, and by nothing that the operator says.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::runtime::watcher::Event;

use crate::clock::unix_millis;

/// The life of a grant, as its playback URL's token tells it: milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// When the simulator issued it.
    pub issued: u64,
    /// When it stops to be valid.
    pub expires: u64,
}

/// What has been seen of one Secret.
#[derive(Clone, Copy, Debug, Default)]
pub struct Record {
    /// The grant that it holds now.
    pub held: Option<Life>,
    /// How many different grants it has held, one after the other.
    pub grants: u32,
    /// For how long it has held an expired one, in milliseconds.
    pub expired: u64,
    /// How often it held something that wasn't a grant of the simulator.
    pub unreadable: u32,
    /// The grant that it holds now or, where it holds none, held last.
    last: Option<Life>,
    /// Up to when `expired` is counted.
    settled: u64,
}

impl Record {
    /// How often the grant has been replaced by a newer one.
    #[must_use]
    pub fn refreshes(&self) -> u32 {
        self.grants.saturating_sub(1)
    }

    fn settle(&mut self, now: u64) {
        if let Some(held) = self.held {
            self.expired += now.saturating_sub(held.expires.max(self.settled));
        }
        self.settled = self.settled.max(now);
    }
}

/// The observer's book: a record for each Secret, by its name.
#[derive(Debug, Default)]
pub struct Judge {
    records: BTreeMap<String, Record>,
}

impl Judge {
    /// What has been seen of the Secret.
    #[must_use]
    pub fn record(&self, secret: &str) -> Record {
        self.records.get(secret).copied().unwrap_or_default()
    }

    /// The Secret has been seen with this grant; `None`: with something else in a grant's place.
    pub fn seen(&mut self, secret: &str, life: Option<Life>, now: u64) {
        let record = self.records.entry(secret.to_owned()).or_default();
        record.settle(now);
        match life {
            None => record.unreadable += 1,
            Some(life) if record.last != Some(life) => record.grants += 1,
            Some(_) => {}
        }
        record.held = life;
        record.last = life.or(record.last);
    }

    /// The Secret is gone: nobody can be given an expired grant.
    pub fn gone(&mut self, secret: &str, now: u64) {
        if let Some(record) = self.records.get_mut(secret) {
            record.settle(now);
            record.held = None;
        }
    }

    /// An event of a watch of Secrets. `life` reads the life of the grant out of a playback URL, which stands under the key `url_key`.
    ///
    /// A Secret that has never held a grant is none of the judge's.
    pub fn watched(&mut self, event: &Event<Secret>, url_key: &str, life: impl Fn(&[u8]) -> Option<Life>) {
        let (Event::Apply(secret) | Event::InitApply(secret) | Event::Delete(secret)) = event else { return };
        let Some(name) = secret.metadata.name.as_deref() else { return };
        let url = secret.data.as_ref().and_then(|data| data.get(url_key));
        if matches!(event, Event::Delete(_)) {
            self.gone(name, unix_millis());
        } else if url.is_some() || self.record(name).grants > 0 {
            self.seen(name, url.and_then(|url| life(&url.0)), unix_millis());
        }
    }

    /// Time has passed.
    pub fn settle(&mut self, now: u64) {
        for record in self.records.values_mut() {
            record.settle(now);
        }
    }

    /// What is wrong with the Secrets of the requests, a sentence each; empty when grants were refreshed and none stood expired.
    #[must_use]
    pub fn complaints<'a>(&self, secrets: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        let mut complaints = Vec::new();
        let mut refreshes = 0;
        for secret in secrets {
            let record = self.record(secret);
            refreshes += record.refreshes();
            if record.grants == 0 {
                complaints.push(format!("{secret} never held a grant"));
            }
            if record.expired > 0 {
                complaints.push(format!("{secret} held an expired grant for {:.1} s", seconds(record.expired)));
            }
            if record.unreadable > 0 {
                complaints.push(format!("{secret} held {} times what is no grant of the simulator", record.unreadable));
            }
        }
        if refreshes == 0 {
            complaints.push("no grant was refreshed".to_owned());
        }
        complaints
    }
}

/// Milliseconds as seconds, for people.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "what a person reads has one decimal")]
pub fn seconds(millis: u64) -> f64 {
    millis as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Life = Life { issued: 0, expires: 15_000 };
    const SECOND: Life = Life { issued: 10_000, expires: 25_000 };

    fn complaints(judge: &Judge) -> String {
        judge.complaints(["lobby"]).join("; ")
    }

    #[test]
    fn a_grant_replaced_in_time_gives_no_complaint() {
        let mut judge = Judge::default();
        judge.seen("lobby", Some(FIRST), 100);
        judge.settle(14_900);
        judge.seen("lobby", Some(SECOND), 15_000);
        judge.settle(25_000);
        assert_eq!(complaints(&judge), "");
        assert_eq!(judge.record("lobby").refreshes(), 1);
    }

    #[test]
    fn each_expired_millisecond_counts_once_however_often_it_is_looked_at() {
        let mut judge = Judge::default();
        judge.seen("lobby", Some(FIRST), 100);
        for now in (14_000..16_000).step_by(7) {
            judge.settle(now);
        }
        judge.seen("lobby", Some(Life { issued: 16_000, expires: 31_000 }), 16_200);
        judge.settle(20_000);
        assert_eq!(judge.record("lobby").expired, 1200);
        assert_eq!(complaints(&judge), "lobby held an expired grant for 1.2 s");
    }

    #[test]
    fn the_same_grant_written_again_is_no_refresh() {
        let mut judge = Judge::default();
        judge.seen("lobby", Some(FIRST), 100);
        judge.seen("lobby", Some(FIRST), 200);
        judge.gone("lobby", 300);
        judge.seen("lobby", Some(FIRST), 400);
        assert_eq!(complaints(&judge), "no grant was refreshed", "nor is one that was put back");
    }

    #[test]
    fn a_secret_that_is_gone_holds_nothing_expired() {
        let mut judge = Judge::default();
        judge.seen("lobby", Some(FIRST), 100);
        judge.gone("lobby", 5000);
        judge.seen("lobby", Some(SECOND), 20_000);
        assert_eq!(judge.record("lobby").expired, 0);
    }

    #[test]
    fn what_never_came_and_what_cannot_be_read_is_told() {
        let mut judge = Judge::default();
        assert_eq!(complaints(&judge), "lobby never held a grant; no grant was refreshed");
        judge.seen("lobby", None, 100);
        assert!(complaints(&judge).contains("what is no grant of the simulator"));
    }
}

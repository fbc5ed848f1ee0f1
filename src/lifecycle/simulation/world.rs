//! Simulated time, and all that happens in it.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::acts::Act;
use super::api_server::ApiServer;
use super::dispatcher::Out;
use super::histories::{History, ServerFault, ServerTrouble};
use super::judge::{Before, Judge};
use super::media_api::MediaApi;
use super::objects::{Answer, Call, Change, Failure};
use super::operator::Operator;
use crate::media::{FailureClass, Grant};
use crate::time::{Instant, Now};

/// Until the operator gives up on the API server.
const SERVER_LIMIT: Duration = Duration::from_secs(10);

/// Until a rival has undone what the operator wrote.
const RIVAL_REACTS: Duration = Duration::from_millis(20);

/// How long things take when they go well.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    /// To the API server, and as long back.
    pub(super) server: Duration,
    /// Until a watch tells.
    pub(super) watch: Duration,
    /// A call of the Media API.
    pub(super) media: Duration,
}

#[derive(Debug)]
pub(super) enum Event {
    /// Somebody or something acts.
    Outside(Act),
    /// A fault begins or ends.
    Tick,
    /// An operator starts.
    Start,
    /// A call arrives at the API server, and is carried out also when its operator is no more.
    Arrives {
        operator: u64,
        request: String,
        call: Box<Call>,
    },
    Answers {
        operator: u64,
        request: String,
        call: Box<Call>,
        answer: Box<Result<Answer, Failure>>,
    },
    Watched {
        operator: u64,
        change: Box<Change>,
    },
    /// A request's reconcile is due.
    Run {
        operator: u64,
        request: String,
    },
    /// A lane may let somebody through.
    Lanes,
    MediaAnswers {
        operator: u64,
        out: Out,
        result: Result<Grant, FailureClass>,
    },
    /// The garbage collector runs.
    Collect,
}

pub(super) struct World {
    pub(super) now: Instant,
    /// By so many seconds the wall clock is off.
    pub(super) wall_offset: i64,
    pub(super) timing: Timing,
    pub(super) server: ApiServer,
    pub(super) server_faults: Vec<ServerFault>,
    pub(super) media: MediaApi,
    pub(super) operator: Option<Operator>,
    /// The number of the present operator, or of the last.
    pub(super) operators: u64,
    pub(super) judge: Judge,
    pub(super) random: Random,
    /// What somebody does at each write of the operator.
    pub(super) rival: Option<Act>,
    events: BTreeMap<(Instant, u64), Event>,
    scheduled: u64,
}

impl World {
    pub(super) fn new(history: &History) -> Self {
        let nameless = history.requests.iter().filter(|asked| asked.nameless).map(|asked| asked.number).collect();
        let mut world = Self {
            now: start(),
            wall_offset: 0,
            timing: history.timing,
            server: ApiServer::default(),
            server_faults: history.server_faults.clone(),
            media: MediaApi { faults: history.media_faults.clone(), nameless, ..MediaApi::default() },
            operator: None,
            operators: 0,
            judge: Judge::new(history),
            random: Random(history.seed | 1),
            rival: history.rival,
            events: BTreeMap::new(),
            scheduled: 0,
        };
        for pair in 0..super::media_api::PAIRS {
            world.server.set_credentials(&credentials_name(pair), Some(pair));
        }
        for asked in &history.requests {
            world.server.add_request(asked.object());
        }
        world.server.changes.clear();
        let ends = history.media_faults.iter().flat_map(|fault| [fault.from, fault.until]);
        let ends: Vec<Instant> = ends.chain(history.server_faults.iter().flat_map(|fault| [fault.from, fault.until])).collect();
        for at in ends {
            world.schedule(at, Event::Tick);
        }
        for (at, act) in &history.acts {
            world.schedule(*at, Event::Outside(*act));
        }
        world.schedule(start(), Event::Start);
        world
    }

    pub(super) fn schedule(&mut self, at: Instant, event: Event) {
        self.scheduled += 1;
        self.events.insert((at.max(self.now), self.scheduled), event);
    }

    /// Lets everything happen that happens until then.
    pub(super) fn run_until(&mut self, end: Instant) {
        while let Some(((at, _), event)) = self.events.pop_first() {
            if at > end {
                self.events.insert((at, 0), event);
                break;
            }
            self.look_on(at);
            self.now = at;
            self.trace(&event);
            self.happen(event);
            self.spread_changes();
            self.let_calls_through();
        }
        self.look_on(end);
        self.now = end;
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Outside(act) => self.act(act),
            Event::Start => self.start_operator(),
            Event::Arrives { operator, request, call } => self.arrive(operator, request, call),
            Event::Collect => self.server.collect(),
            Event::Answers { operator, request, call, answer } if self.is_present(operator) => self.answered(&request, *call, *answer),
            Event::Watched { operator, change } if self.is_present(operator) => self.watched(*change),
            Event::Run { operator, request } if self.is_present(operator) => self.run(&request),
            Event::MediaAnswers { operator, out, result } if self.is_present(operator) => self.media_answered(out, result),
            // A tick lets the judge look on, and lanes are looked at after every event.
            Event::Tick | Event::Lanes | Event::Answers { .. } | Event::Watched { .. } | Event::Run { .. } | Event::MediaAnswers { .. } => {
            }
        }
    }

    fn is_present(&self, operator: u64) -> bool {
        self.operator.is_some() && self.operators == operator
    }

    fn spread_changes(&mut self) {
        for change in std::mem::take(&mut self.server.changes) {
            if self.operator.is_some() {
                self.schedule(self.now + self.timing.watch, Event::Watched { operator: self.operators, change: Box::new(change) });
            }
        }
    }

    pub(super) fn trouble(&self) -> Option<ServerTrouble> {
        self.server_faults.iter().find(|fault| fault.from <= self.now && self.now < fault.until).map(|fault| fault.trouble)
    }

    /// How long the operator waits for the API server's answer.
    fn server_limit(&self, request: &str) -> Duration {
        let caller = self.operator.as_ref().and_then(|operator| operator.by_name.get(request).map(|caller| &operator.entries[caller]));
        caller.map_or(SERVER_LIMIT, |entry| entry.memory.server_limit())
    }

    fn arrive(&mut self, operator: u64, request: String, call: Box<Call>) {
        let back = self.now + self.timing.server;
        let (at, answer) = match self.trouble() {
            Some(ServerTrouble::Unavailable) => (back, Err(Failure::Unavailable)),
            Some(ServerTrouble::Hangs) => (self.now + self.server_limit(&request), Err(Failure::Unavailable)),
            Some(ServerTrouble::RefusesSecrets) if call.writes_secret() => (back, Err(Failure::Refused)),
            Some(ServerTrouble::RefusesStatuses) if matches!(*call, Call::WriteStatus { .. }) => (back, Err(Failure::Refused)),
            Some(ServerTrouble::LosesAnswers) if call.is_write() => {
                let _lost = self.carry_out(&request, &call);
                (back, Err(Failure::Unavailable))
            }
            _ => (back, self.carry_out(&request, &call)),
        };
        self.schedule(at, Event::Answers { operator, request, call, answer: Box::new(answer) });
    }

    fn carry_out(&mut self, request: &str, call: &Call) -> Result<Answer, Failure> {
        let before = Before::of(&self.server, request, call);
        let answer = self.server.answer(call);
        self.judge.after_call(&before, &self.server, &self.media, call, answer.is_ok(), self.now);
        if let (Call::Create { .. } | Call::Patch { .. }, Ok(_), Some(rival)) = (call, &answer, self.rival) {
            self.schedule(self.now + RIVAL_REACTS, Event::Outside(rival));
        }
        answer
    }

    pub(super) fn wall(&self) -> Timestamp {
        let since = SignedDuration::try_from(self.now.since(start())).unwrap() + SignedDuration::from_secs(self.wall_offset);
        Timestamp::from_millisecond(1_790_000_000_123).unwrap().checked_add(since).unwrap()
    }

    pub(super) fn instants(&self) -> Now {
        Now { instant: self.now, wall: self.wall() }
    }
}

/// The simulation's first instant: long after the clock's.
pub(super) fn start() -> Instant {
    Instant::after_start(Duration::from_hours(24))
}

pub(super) fn credentials_name(pair: usize) -> String {
    format!("credentials-{pair}")
}

/// Numbers that are the same for the same seed.
#[derive(Clone, Debug)]
pub(super) struct Random(pub(super) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 11) % end
    }

    /// From 0 to 1.
    pub(super) fn draw(&mut self) -> f64 {
        f64::from(u32::try_from(self.next() >> 32).unwrap()) / f64::from(u32::MAX)
    }
}

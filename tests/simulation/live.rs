//! One history, lived through: what happens in it, and the verdict.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use playback_grant_testbed::Change;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::task::AbortOnDropHandle;

use crate::cast::Cast;
use crate::history::{ACCOUNTS, EVENTFUL, Happening, History};
use crate::judge::{Judge, Share, What};
use crate::world::{self, World, name};
use crate::{ending, facts, happenings};

/// After everything is mended, all is well within this: a look that has become slow, and a back-off.
const SETTLING: Duration = Duration::from_secs(60 + 30 + 15);

/// Then nothing happens for so long, but what is due.
pub const QUIET: Duration = Duration::from_secs(45);

/// A watch that was cut, or an operator that starts, needs so long until it sees what is there.
pub const NOTICES: Duration = Duration::from_secs(1);

/// What came of a history.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Verdict {
    /// What must not have been.
    pub problems: Vec<String>,
    /// How many calls of the Media API were made, and how many of the API server.
    pub calls: (usize, usize),
    /// For how long Secrets have held no good grant, all together.
    pub bad: Duration,
    /// How much time passed.
    pub lived: Duration,
    /// How much of it was judged.
    pub share: Share,
    /// The same for the same history.
    pub trace: u64,
}

/// What has been, and when.
type Log = Vec<(Duration, String)>;

/// Everything that takes part in a history.
pub struct Stage<'a> {
    pub world: &'a World,
    pub history: &'a History,
    pub judge: Arc<Mutex<Judge>>,
    pub cast: Mutex<Cast>,
}

impl Stage<'_> {
    pub fn judge(&self) -> MutexGuard<'_, Judge> {
        self.judge.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long those happenings last, all together.
    pub fn lasted(&self, is: impl Fn(Happening) -> bool) -> Duration {
        let lasting = self.history.events.iter().filter(|(_, happening)| is(*happening));
        lasting.filter_map(|(_, happening)| happenings::lasts(*happening)).map(|millis| Duration::from_millis(millis.into())).sum()
    }

    pub fn cast(&self) -> MutexGuard<'_, Cast> {
        self.cast.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The names of all requests.
    pub fn everybody(&self) -> Vec<String> {
        (0..self.history.requests.len()).map(name).collect()
    }

    /// Whether several requests name the Secret.
    pub fn is_contested(&self, secret: &str) -> bool {
        self.cast().is_contested(secret, self.history.requests.len())
    }

    /// The names of an account's requests.
    pub fn of_account(&self, account: usize) -> Vec<String> {
        let requests = self.history.requests.iter().enumerate();
        requests.filter(|(_, wish)| wish.account == account).map(|(n, _)| name(n)).collect()
    }
}

/// Lives through it.
pub fn live(history: &History) -> Verdict {
    lived(history).0
}

/// Lives through it; also tells all that was asked for and all that changed, in order.
pub fn lived(history: &History) -> (Verdict, Vec<String>) {
    playback_grant_chance::seed(history.chance);
    let (server, media, lag) = history.latency;
    let [server, media, lag] = [server, media, lag].map(|millis| Duration::from_millis(millis.into()));
    world::live(media, async |world| {
        world.server.suffer(|trouble| (trouble.latency, trouble.watch_lag) = (server, lag));
        // A wait of a second, and what it takes to see, to call and to write between it and a fresh grant.
        let slack = Duration::from_millis(1100) + media * 2 + server * 8 + lag * 3;
        let judge = Arc::new(Mutex::new(Judge::new(slack, world.clock.wall())));
        let changes = Arc::<Mutex<Log>>::default();
        let following = follow(world.server.follow(), (judge.clone(), changes.clone()), world.clock, world.start);
        let _follower = AbortOnDropHandle::new(tokio::spawn(following));
        let stage = Stage { world, history, judge, cast: Mutex::default() };
        furnish(&stage).await;
        happenings::all(&stage).await;
        tokio::time::sleep((EVENTFUL + SETTLING).saturating_sub(world.awake())).await;
        let before = ending::Figures::of(world);
        tokio::time::sleep(QUIET).await;
        ending::look(&stage, &before).await;
        let changes = std::mem::take(&mut *changes.lock().unwrap_or_else(PoisonError::into_inner));
        (verdict(&stage), told(world, changes))
    })
}

fn told(world: &World, changes: Log) -> Vec<String> {
    let asked = world.server.asked().into_iter().map(|asked| (asked.at, format!("{} {} {}", asked.method, asked.path, asked.code)));
    let called = world.media.told().into_iter().map(|(at, call)| (at, format!("Media API: {call}")));
    let mut all: Log = asked.chain(called).chain(changes).collect();
    all.sort_by_key(|(at, _)| *at);
    all.into_iter().map(|(at, what)| format!("{at:.3?} {what}")).collect()
}

async fn follow(
    mut changes: UnboundedReceiver<Change>,
    (judge, log): (Arc<Mutex<Judge>>, Arc<Mutex<Log>>),
    clock: playback_grant_operator::clock::Clock,
    start: playback_grant_operator::time::Instant,
) {
    while let Some(change) = changes.recv().await {
        let now = clock.instant().since(start);
        log.lock().unwrap_or_else(PoisonError::into_inner).push((now, facts::change(&change)));
        let mut judge = judge.lock().unwrap_or_else(PoisonError::into_inner);
        if change.kind() == "Secret" {
            judge.secret_changed(change.name(), change.after.as_ref(), now);
            continue;
        }
        if let (Some(before), Some(after)) = (&change.before, &change.after)
            && let Some(late) = facts::written_late(before, after)
        {
            judge.complain(format!("{now:.1?} {late}"));
        }
        judge.request_changed(change.name(), change.after.as_ref(), now);
    }
}

async fn furnish(stage: &Stage<'_>) {
    for account in 0..ACCOUNTS {
        stage.world.make_credentials(account, 0).await;
    }
    for (n, wish) in stage.history.requests.iter().enumerate() {
        stage.world.make_request(n, &happenings::spec(wish)).await;
    }
    // Another's, of which nobody here may touch anything.
    let bystander =
        serde_json::from_value(json!({"metadata": {"name": "bystander", "labels": {"app.kubernetes.io/managed-by": "us"}}})).unwrap();
    stage.world.secrets().create(&kube::api::PostParams::default(), &bystander).await.unwrap();
    let everybody = stage.everybody();
    let now = stage.world.now();
    stage.judge().obstruct(What::GrantsAndStatuses, &everybody, now);
    happenings::start_operator(stage);
}

fn verdict(stage: &Stage<'_>) -> Verdict {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let Stage { world, .. } = stage;
    stage.judge().settle(world.now());
    let asked = world.server.asked();
    let mut trace = DefaultHasher::new();
    asked.hash(&mut trace);
    world.media.told().hash(&mut trace);
    let judge = stage.judge();
    judge.problems().hash(&mut trace);
    Verdict {
        problems: judge.problems().to_vec(),
        calls: (world.media.calls(), asked.len()),
        bad: judge.bad(),
        lived: world.now(),
        share: judge.share(),
        trace: trace.finish(),
    }
}

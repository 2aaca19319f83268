//! What becomes of a request: dealt out by dice, in a measure of its own for each sort of request.

use crate::dice::Dice;
use axum::http::{Method, Uri};
use std::{collections::BTreeMap, fmt, sync::Mutex, time::Duration};
use tokio::sync::watch;

/// What networks and busy API servers do to requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    Delayed,
    /// It never reaches the API server.
    Lost,
    /// It is carried out, and the answer gets lost.
    Unanswered,
    /// Its sender is told that the connection broke; after that it is carried out.
    Late,
    /// It is carried out, answered, and carried out again.
    Twice,
    /// 409, without reaching the API server.
    Conflict,
    /// 429, with the time after which to try again.
    TooMany,
    /// 500
    Internal,
    /// 503
    Unavailable,
    /// A watch ends.
    Cut,
    /// The events of one watch, and so of one kind, are held back while others go on.
    Held,
    /// A watch is told that the version it asks for is gone.
    Expired,
}

impl Fault {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delayed => "delayed",
            Self::Lost => "lost",
            Self::Unanswered => "unanswered",
            Self::Late => "late",
            Self::Twice => "twice",
            Self::Conflict => "409",
            Self::TooMany => "429",
            Self::Internal => "500",
            Self::Unavailable => "503",
            Self::Cut => "cut",
            Self::Held => "held",
            Self::Expired => "410",
        }
    }
}

/// Requests that meet faults in the same measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sort {
    Read,
    Write,
    Watch,
    Lease,
}

impl Sort {
    pub fn of(method: &Method, uri: &Uri) -> Self {
        let watch = uri.query().is_some_and(|query| query.split('&').any(|pair| pair == "watch=true"));
        if uri.path().starts_with("/apis/coordination.k8s.io/") {
            Self::Lease
        } else if watch {
            Self::Watch
        } else if method == Method::GET {
            Self::Read
        } else {
            Self::Write
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "reads",
            Self::Write => "writes",
            Self::Watch => "watches",
            Self::Lease => "leases",
        }
    }
}

/// How much is dealt out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// Everything passes, and what was held back comes.
    Clear,
    /// Leadership is kept for most of the time.
    Foul,
    /// Leases fare as badly as all else.
    FoulForLeases,
}

/// Of a thousand requests, so many meet the fault.
type Measure = &'static [(Fault, u64)];

const READS: Measure = &[
    (Fault::Delayed, 120),
    (Fault::Lost, 20),
    (Fault::Unanswered, 10),
    (Fault::TooMany, 10),
    (Fault::Internal, 10),
    (Fault::Unavailable, 10),
];
const WRITES: Measure = &[
    (Fault::Delayed, 120),
    (Fault::Lost, 20),
    (Fault::Unanswered, 20),
    (Fault::Late, 15),
    (Fault::Twice, 20),
    (Fault::Conflict, 15),
    (Fault::TooMany, 10),
    (Fault::Internal, 10),
    (Fault::Unavailable, 10),
];
const WATCHES: Measure = &[
    (Fault::Delayed, 100),
    (Fault::Lost, 20),
    (Fault::Expired, 40),
    (Fault::TooMany, 20),
    (Fault::Internal, 20),
    (Fault::Unavailable, 20),
];
const LEASES: Measure = &[(Fault::Delayed, 80), (Fault::Lost, 10), (Fault::Unanswered, 10)];
const LEASES_IN_TROUBLE: Measure = &[
    (Fault::Delayed, 150),
    (Fault::Lost, 150),
    (Fault::Unanswered, 150),
    (Fault::Late, 50),
    (Fault::Twice, 50),
    (Fault::Conflict, 50),
    (Fault::Unavailable, 100),
];
/// Of a thousand pieces of watches that arrive, so many are held back.
const HELD: u64 = 8;

impl Weather {
    fn measure(self, sort: Sort) -> Measure {
        match (self, sort) {
            (Self::Clear, _) => &[],
            (Self::FoulForLeases, Sort::Lease) => LEASES_IN_TROUBLE,
            (Self::Foul, Sort::Lease) => LEASES,
            (_, Sort::Read) => READS,
            (_, Sort::Write) => WRITES,
            (_, Sort::Watch) => WATCHES,
        }
    }
}

/// How a watch ends before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// As if the API server had said all there is to say.
    Closed,
    /// In the middle of it.
    Broken,
    Expired,
}

/// Deals, and keeps count.
#[derive(Debug)]
pub struct Dealer {
    dice: Dice,
    weather: watch::Sender<Weather>,
    tally: Mutex<Tally>,
}

impl Dealer {
    pub fn new(seed: u64, weather: Weather) -> Self {
        Self { dice: Dice::new(seed), weather: watch::Sender::new(weather), tally: Mutex::default() }
    }

    pub fn turn(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    pub async fn cleared(&self) {
        // The sender is ours: it doesn't end.
        let _ = self.weather.subscribe().wait_for(|weather| *weather == Weather::Clear).await;
    }

    pub fn tally(&self) -> Tally {
        self.tally.lock().unwrap().clone()
    }

    pub fn deal(&self, sort: Sort) -> Option<Fault> {
        let mut roll = self.dice.roll(0..1000);
        let measure = self.weather.borrow().measure(sort);
        let mut tally = self.tally.lock().unwrap();
        *tally.requests.entry(sort).or_default() += 1;
        for (fault, share) in measure {
            if roll < *share {
                *tally.faults.entry((*fault, sort)).or_default() += 1;
                return Some(*fault);
            }
            roll -= share;
        }
        None
    }

    /// Most delays are short, and some are very long.
    pub fn delay(&self, sort: Sort) -> Duration {
        match (sort, self.dice.roll(0..100)) {
            (Sort::Lease, _) | (_, 0..75) => self.dice.millis(5..250),
            (_, 75..95) => self.dice.millis(250..1_000),
            _ => self.dice.millis(1_000..5_000),
        }
    }

    /// How long after its sender has given it up a request arrives.
    pub fn lateness(&self) -> Duration {
        match self.dice.roll(0..3) {
            0 => self.dice.millis(0..100),
            _ => self.dice.millis(100..5_000),
        }
    }

    /// Whether a lost answer is not even told to be lost.
    pub fn silent(&self) -> bool {
        self.dice.roll(0..6) == 0
    }

    pub fn seconds_to_wait(&self) -> u64 {
        self.dice.roll(1..3)
    }

    /// When and how this watch ends, if it does so before its time.
    pub fn end_of_watch(&self) -> Option<(Duration, End)> {
        if *self.weather.borrow() == Weather::Clear || self.dice.roll(0..4) == 0 {
            return None;
        }
        Some((self.dice.millis(500..45_000), *self.dice.pick(&[End::Closed, End::Broken, End::Expired])))
    }

    pub fn ended(&self, end: End) {
        let fault = if end == End::Expired { Fault::Expired } else { Fault::Cut };
        *self.tally.lock().unwrap().faults.entry((fault, Sort::Watch)).or_default() += 1;
    }

    /// How long what has just arrived of a watch is held back, and all that follows it.
    pub fn hold(&self) -> Option<Duration> {
        if *self.weather.borrow() == Weather::Clear || self.dice.roll(0..1000) >= HELD {
            return None;
        }
        *self.tally.lock().unwrap().faults.entry((Fault::Held, Sort::Watch)).or_default() += 1;
        Some(match self.dice.roll(0..20) {
            0 => self.dice.millis(10_000..40_000),
            1..5 => self.dice.millis(2_000..8_000),
            _ => self.dice.millis(100..2_000),
        })
    }
}

/// What passed through, and what became of it.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub requests: BTreeMap<Sort, u64>,
    pub faults: BTreeMap<(Fault, Sort), u64>,
}

impl Tally {
    pub fn requests(&self) -> u64 {
        self.requests.values().sum()
    }

    pub fn of(&self, fault: Fault) -> u64 {
        self.faults.iter().filter(|((is, _), _)| *is == fault).map(|(_, count)| count).sum()
    }

    /// In one line: `delayed 17, lost 2`.
    pub fn words(&self) -> String {
        let mut faults: Vec<_> = self.faults.keys().map(|(fault, _)| *fault).collect();
        faults.dedup();
        let words: Vec<_> = faults.into_iter().map(|fault| format!("{} {}", fault.as_str(), self.of(fault))).collect();
        words.join(", ")
    }
}

/// As a table: a line for each fault, a column for each sort of request.
impl fmt::Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sorts = [Sort::Read, Sort::Write, Sort::Watch, Sort::Lease];
        let mut line = |name: &str, numbers: [u64; 4]| {
            let numbers: Vec<_> = numbers.iter().map(|number| format!("{number:>9}")).collect();
            writeln!(out, "{name:<12}{}", numbers.concat())
        };
        line("requests", sorts.map(|sort| self.requests.get(&sort).copied().unwrap_or_default()))?;
        let mut faults: Vec<_> = self.faults.keys().map(|(fault, _)| *fault).collect();
        faults.dedup();
        for fault in faults {
            line(fault.as_str(), sorts.map(|sort| self.faults.get(&(fault, sort)).copied().unwrap_or_default()))?;
        }
        let names: Vec<_> = sorts.iter().map(|sort| format!("{:>9}", sort.as_str())).collect();
        write!(out, "{:<12}{}", "", names.concat())
    }
}

//! Who gets a place: pure bookkeeping, without a clock and without waiting.

use std::collections::{BTreeMap, HashMap};

/// Places among all requests in flight, and how many of them one namespace or one source may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub all: usize,
    pub namespace: usize,
    pub source: usize,
    /// Of one source by one namespace: a source that hangs leaves room for the namespace's others.
    pub both: usize,
}

/// Whose place it is, and where it asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Share {
    pub namespace: String,
    /// Host and port.
    pub source: String,
}

/// Those that hold places, and those that wait, in the order in which they came.
pub struct Shares<T> {
    limits: Limits,
    held: usize,
    by_namespace: HashMap<String, usize>,
    by_source: HashMap<String, usize>,
    by_both: HashMap<Share, usize>,
    waiting: BTreeMap<Share, BTreeMap<u64, T>>,
    next: u64,
}

/// Where somebody waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number(u64);

impl<T> Shares<T> {
    pub fn new(limits: Limits) -> Self {
        let (by_namespace, by_source, by_both) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { limits, held: 0, by_namespace, by_source, by_both, waiting: BTreeMap::new(), next: 0 }
    }

    /// Whether a place is taken at once. Nobody who may have one waits, so that nobody is overtaken.
    pub fn take(&mut self, share: &Share) -> bool {
        let free = self.is_free(share);
        if free {
            self.add(share);
        }
        free
    }

    pub fn wait(&mut self, share: &Share, ticket: T) -> Number {
        let number = self.next;
        self.next += 1;
        self.waiting.entry(share.clone()).or_default().insert(number, ticket);
        Number(number)
    }

    /// Who waited doesn't want a place any more.
    pub fn give_up(&mut self, share: &Share, Number(number): Number) {
        if let Some(tickets) = self.waiting.get_mut(share) {
            tickets.remove(&number);
            if tickets.is_empty() {
                self.waiting.remove(share);
            }
        }
    }

    /// Gives a place back. Several may be able to take one then: one for its namespace, another for its source.
    pub fn leave(&mut self, share: &Share) {
        self.held = self.held.saturating_sub(1);
        less(&mut self.by_namespace, &share.namespace);
        less(&mut self.by_source, &share.source);
        less(&mut self.by_both, share);
    }

    /// A place for the next who waits and may have one: of the namespace that holds the fewest, there at the source that it holds the
    /// fewest of, there who came first.
    pub fn grant(&mut self) -> Option<(Share, T)> {
        let holds = |share: &Share, number: u64| (self.of_namespace(share), self.of_both(share), number);
        let open = self.waiting.iter().filter(|(share, _)| self.is_free(share));
        let first = open.filter_map(|(share, tickets)| Some((share, *tickets.first_key_value()?.0)));
        let (next, number) = first.min_by_key(|(share, number)| holds(share, *number)).map(|(share, number)| (share.clone(), number))?;
        let ticket = self.waiting.get_mut(&next)?.remove(&number)?;
        self.give_up(&next, Number(number));
        self.add(&next);
        Some((next, ticket))
    }

    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.held
    }

    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        self.waiting.values().map(BTreeMap::len).sum()
    }

    /// Which limit somebody waits for, in words.
    pub fn told(&self, share: &Share) -> String {
        let Limits { all, namespace, source, both } = self.limits;
        let Share { namespace: name, source: address } = share;
        if self.of_both(share) >= both {
            format!("namespace {name} has {both} requests to {address} in flight, the most for one source")
        } else if self.of_namespace(share) >= namespace {
            format!("namespace {name} has {namespace} requests in flight, the most for one namespace")
        } else if self.by_source.get(address).copied().unwrap_or_default() >= source {
            format!("{source} requests to {address} are in flight, the most for one source")
        } else {
            format!("{all} requests are in flight, the most for this operator")
        }
    }

    fn is_free(&self, share: &Share) -> bool {
        self.held < self.limits.all
            && self.of_namespace(share) < self.limits.namespace
            && self.by_source.get(&share.source).copied().unwrap_or_default() < self.limits.source
            && self.of_both(share) < self.limits.both
    }

    fn of_namespace(&self, share: &Share) -> usize {
        self.by_namespace.get(&share.namespace).copied().unwrap_or_default()
    }

    fn of_both(&self, share: &Share) -> usize {
        self.by_both.get(share).copied().unwrap_or_default()
    }

    fn add(&mut self, share: &Share) {
        self.held += 1;
        *self.by_namespace.entry(share.namespace.clone()).or_default() += 1;
        *self.by_source.entry(share.source.clone()).or_default() += 1;
        *self.by_both.entry(share.clone()).or_default() += 1;
    }
}

fn less<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits { all: 8, namespace: 4, source: 5, both: 3 };

    fn share(namespace: &str, source: &str) -> Share {
        Share { namespace: namespace.into(), source: source.into() }
    }

    #[test]
    fn one_namespace_and_one_source_hold_only_a_part() {
        let mut shares = Shares::<()>::new(LIMITS);
        let taken =
            |shares: &mut Shares<()>, namespace: &str, source: &str| (0..20).filter(|_| shares.take(&share(namespace, source))).count();
        assert_eq!(taken(&mut shares, "a", "hangs"), 3, "of one source by one namespace");
        assert_eq!(taken(&mut shares, "a", "other"), 1, "of one namespace");
        assert_eq!(taken(&mut shares, "b", "hangs"), 2, "of one source");
        assert_eq!(taken(&mut shares, "c", "quick"), 2, "of all");
        assert_eq!(shares.told(&share("a", "hangs")), "namespace a has 3 requests to hangs in flight, the most for one source");
        assert_eq!(shares.told(&share("a", "new")), "namespace a has 4 requests in flight, the most for one namespace");
        assert_eq!(shares.told(&share("c", "hangs")), "5 requests to hangs are in flight, the most for one source");
        assert_eq!(shares.told(&share("d", "new")), "8 requests are in flight, the most for this operator");
    }

    #[test]
    fn a_free_place_goes_to_who_holds_the_fewest() {
        let mut shares = Shares::new(Limits { all: 4, namespace: 4, source: 4, both: 4 });
        for source in ["1", "2", "3", "4"] {
            assert!(shares.take(&share("greedy", source)));
        }
        shares.wait(&share("greedy", "5"), "greedy, long before");
        shares.wait(&share("modest", "1"), "modest");
        let left = |shares: &mut Shares<&'static str>, source: &str| {
            shares.leave(&share("greedy", source));
            shares.grant().map(|(_, who)| who)
        };
        assert_eq!(left(&mut shares, "1"), Some("modest"));
        assert_eq!(left(&mut shares, "2"), Some("greedy, long before"));
        assert_eq!((left(&mut shares, "3"), shares.waiting()), (None, 0));
    }

    #[test]
    fn one_place_may_let_two_in_who_waited_for_different_limits() {
        let mut shares = Shares::new(Limits { all: 9, namespace: 1, source: 1, both: 1 });
        assert!(shares.take(&share("a", "x")));
        shares.wait(&share("a", "y"), "for the namespace");
        shares.wait(&share("b", "x"), "for the source");
        shares.leave(&share("a", "x"));
        let granted = [shares.grant(), shares.grant()].map(|granted| granted.unwrap().1);
        assert_eq!(granted, ["for the namespace", "for the source"]);
    }

    proptest! {
        /// Whatever comes and goes: no limit is passed, nobody who may have a place waits, and each place comes back.
        #[test]
        fn no_share_is_passed_and_no_place_is_lost(steps in prop::collection::vec((0..3_u8, 0..4_usize, 0..4_usize), 0..200)) {
            let mut shares = Shares::new(LIMITS);
            let (mut holders, mut waiters) = (Vec::new(), Vec::new());
            for (what, namespace, source) in steps {
                let share = share(["a", "b", "c", "d"][namespace], ["w", "x", "y", "z"][source]);
                match what {
                    0 if shares.take(&share) => holders.push(share),
                    0 => waiters.push((share.clone(), shares.wait(&share, share.clone()))),
                    1 if !holders.is_empty() => {
                        let left = holders.swap_remove(namespace % holders.len());
                        shares.leave(&left);
                        while let Some((next, ticket)) = shares.grant() {
                            prop_assert_eq!(&next, &ticket);
                            let first = waiters.iter().position(|(waits, _)| *waits == next).unwrap();
                            waiters.remove(first);
                            holders.push(next);
                        }
                    }
                    2 if !waiters.is_empty() => {
                        let (share, number) = waiters.remove(source % waiters.len());
                        shares.give_up(&share, number);
                    }
                    _ => {}
                }
                let of = |is: &dyn Fn(&&Share) -> bool| holders.iter().filter(is).count();
                prop_assert!(holders.len() <= LIMITS.all && shares.waiting() == waiters.len() && shares.held == holders.len());
                for one in &holders {
                    prop_assert!(of(&|other| other.namespace == one.namespace) <= LIMITS.namespace);
                    prop_assert!(of(&|other| other.source == one.source) <= LIMITS.source);
                    prop_assert!(of(&|other| *other == one) <= LIMITS.both);
                }
                for (waits, _) in &waiters {
                    prop_assert!(!shares.is_free(waits), "{waits:?} waits for nothing");
                }
            }
            while let Some(left) = holders.pop() {
                shares.leave(&left);
                while let Some((next, _)) = shares.grant() {
                    holders.push(next);
                }
            }
            prop_assert!(shares.waiting() == 0 && shares.by_namespace.is_empty() && shares.by_source.is_empty() && shares.by_both.is_empty());
        }
    }
}

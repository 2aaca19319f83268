//! The buckets of histograms, as Prometheus counts them.

/// Buckets that are taken: they are kept in status, which is bounded.
const MOST: usize = 64;

/// Counters above it no longer tell of a single request.
const LARGEST: f64 = 1e15;

/// The buckets of one side at one moment: for each upper bound the requests that took no longer. The smallest bound is the first, the last is
/// infinite, and no count is less than the one before it.
#[derive(Clone, Debug, PartialEq)]
pub struct Buckets(Vec<Bucket>);

#[derive(Clone, Copy, Debug, PartialEq)]
struct Bucket {
    bound: f64,
    count: f64,
}

impl Buckets {
    /// Of series with the label `le` and a count; else what is wrong with them, in a sentence.
    pub fn of<'a>(series: impl IntoIterator<Item = (Option<&'a str>, f64)>) -> Result<Self, String> {
        let buckets: Result<Vec<Bucket>, String> = series.into_iter().map(|(le, count)| Bucket::of(le, count)).collect();
        let mut buckets = buckets?;
        if buckets.len() > MOST {
            let count = buckets.len();
            return Err(format!("the query returned {count} buckets, at most {MOST} are allowed: query fewer, e.g. with le=~\"…\""));
        }
        buckets.sort_by(|one, other| one.bound.total_cmp(&other.bound));
        for (lower, upper) in buckets.iter().zip(buckets.iter().skip(1)) {
            let le = written(upper.bound);
            if lower.bound == upper.bound {
                return Err(format!("the query returned several series with le=\"{le}\": add them up with sum by (le) (…)"));
            }
            if lower.count > upper.count {
                return Err(format!(
                    "the bucket up to {le} holds {}, fewer than the {} of the one below, which it counts too: ask for raw counters of \
                     histograms that all have the same buckets",
                    upper.count, lower.count
                ));
            }
        }
        match buckets.last() {
            Some(last) if last.bound.is_infinite() => Ok(Self(buckets)),
            _ => Err("the query returned no series with le=\"+Inf\": include it".to_owned()),
        }
    }
}

impl Buckets {
    /// Upper bounds and counts, the smallest bound first.
    pub fn pairs(&self) -> impl Iterator<Item = (f64, f64)> + Clone {
        self.0.iter().map(|bucket| (bucket.bound, bucket.count))
    }
}

impl Bucket {
    fn of(le: Option<&str>, count: f64) -> Result<Self, String> {
        let Some(le) = le else {
            return Err("the query returned a series without the label le: ask for buckets, with sum by (le) (…_bucket)".to_owned());
        };
        let bound = le.parse::<f64>().ok().filter(|bound| *bound > f64::NEG_INFINITY);
        let Some(bound) = bound else {
            return Err(format!("le={le:?} is not a bucket bound: query the buckets of a histogram, …_bucket"));
        };
        if (0.0..=LARGEST).contains(&count) {
            return Ok(Self { bound, count });
        }
        Err(format!("the bucket up to {le} holds {count}, which is not a count: query raw counters, without rate or increase"))
    }
}

/// A bound as Prometheus has it.
pub fn written(bound: f64) -> String {
    if bound == f64::INFINITY { "+Inf".to_owned() } else { format!("{bound:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(series: &[(&str, f64)]) -> Result<Buckets, String> {
        Buckets::of(series.iter().map(|(le, count)| (Some(*le), *count)))
    }

    #[test]
    fn buckets_come_in_any_order_and_are_kept_by_their_bounds() {
        let mixed = of(&[("+Inf", 9.0), ("0.5", 7.0), ("1e-2", 2.0), ("10.0", 9.0)]).unwrap();
        assert_eq!(mixed.0.iter().map(|bucket| written(bucket.bound)).collect::<Vec<_>>(), ["0.01", "0.5", "10.0", "+Inf"]);
        assert_eq!(mixed.0.iter().map(|bucket| bucket.count).collect::<Vec<_>>(), [2.0, 7.0, 9.0, 9.0]);
    }

    #[test]
    fn what_is_wrong_with_buckets_is_told_with_what_to_ask_for() {
        let cases: [(&[(&str, f64)], &str); 9] = [
            (&[("0.1", 1.0)], "the query returned no series with le=\"+Inf\": include it"),
            (
                &[("+Inf", 1.0), ("0.1", 1.0), ("0.10", 1.0)],
                "the query returned several series with le=\"0.1\": add them up with sum by (le) (…)",
            ),
            (
                &[("0.1", 3.0), ("0.2", 2.0), ("+Inf", 3.0)],
                "the bucket up to 0.2 holds 2, fewer than the 3 of the one below, which it counts too: ask for raw counters of histograms that \
                 all have the same buckets",
            ),
            (&[("fast", 1.0)], "le=\"fast\" is not a bucket bound: query the buckets of a histogram, …_bucket"),
            (&[("NaN", 1.0)], "le=\"NaN\" is not a bucket bound: query the buckets of a histogram, …_bucket"),
            (&[("-Inf", 1.0)], "le=\"-Inf\" is not a bucket bound: query the buckets of a histogram, …_bucket"),
            (&[("+Inf", -1.0)], "the bucket up to +Inf holds -1, which is not a count: query raw counters, without rate or increase"),
            (&[("+Inf", f64::NAN)], "the bucket up to +Inf holds NaN, which is not a count: query raw counters, without rate or increase"),
            (
                &[("+Inf", f64::INFINITY)],
                "the bucket up to +Inf holds inf, which is not a count: query raw counters, without rate or increase",
            ),
        ];
        for (series, why) in cases {
            assert_eq!(of(series).unwrap_err(), why, "{series:?}");
        }
        let error = Buckets::of([(None, 1.0)]).unwrap_err();
        assert_eq!(error, "the query returned a series without the label le: ask for buckets, with sum by (le) (…_bucket)");
    }

    #[test]
    fn as_many_buckets_are_taken_as_status_can_keep() {
        let buckets = |count: u32| {
            let bounds: Vec<String> = (1..count).map(|bound| bound.to_string()).chain(["+Inf".to_owned()]).collect();
            Buckets::of(bounds.iter().map(|le| (Some(le.as_str()), 1.0)))
        };
        assert!(buckets(64).is_ok());
        let error = buckets(65).unwrap_err();
        assert_eq!(error, "the query returned 65 buckets, at most 64 are allowed: query fewer, e.g. with le=~\"…\"");
    }
}

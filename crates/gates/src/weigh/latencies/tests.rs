use super::*;

const RULE: Rule = Rule { tolerated: 0.56, false_alarms: 0.05, min_requests: 100.0 };

/// Both sides' counters, of the requests in each bucket alone; the buckets end at 1, 2, 3… and +Inf.
fn histograms(candidate: &[f64], active: &[f64]) -> Histograms {
    let cumulative = |side: &[f64]| {
        let mut below: f64 = 0.0;
        let up_to = |count: &f64| {
            below += *count;
            below
        };
        side.iter().map(up_to).collect::<Vec<f64>>()
    };
    let bounds = (1_u32..).map(f64::from).take(candidate.len() - 1).chain([f64::INFINITY]).collect();
    Histograms { bounds, counts: [cumulative(candidate), cumulative(active)] }
}

/// What these readings add up to, each told with what it was.
fn after(rule: &Rule, readings: &[Histograms]) -> (Distributions, Vec<Added>) {
    let mut distributions = None;
    let told = readings.iter().map(|reading| add(&mut distributions, reading, rule)).collect();
    (distributions.unwrap(), told)
}

/// The requests of one reading, after one with none.
fn one(rule: &Rule, candidate: &[f64], active: &[f64]) -> Distributions {
    let nothing = vec![0.0; candidate.len()];
    let (distributions, told) = after(rule, &[histograms(&nothing, &nothing), histograms(candidate, active)]);
    assert_eq!(told, [Added::Begun, Added::Weighed]);
    distributions
}

fn logs(distributions: &Distributions) -> Vec<f64> {
    distributions.evidence.iter().map(|text| text.parse().unwrap()).collect()
}

/// The statistic of `scipy.stats.mannwhitneyu` (1.17.1) for each request as the number of its bucket, divided by n·m.
#[test]
fn the_effect_is_mann_whitneys_u_of_both_sides_requests() {
    let cases: [(&[f64], &[f64], f64); 5] = [
        (&[5.0, 10.0, 20.0, 15.0], &[20.0, 15.0, 10.0, 5.0], 1837.5 / 2500.0),
        (&[1.0, 0.0, 0.0, 7.0, 3.0], &[0.0, 4.0, 9.0, 2.0, 1.0], 144.5 / 176.0),
        (&[0.0, 0.0, 6.0], &[6.0, 0.0, 0.0], 1.0),
        (&[3.0, 3.0, 3.0], &[3.0, 3.0, 3.0], 0.5),
        (&[120.0, 300.0, 410.0, 150.0, 20.0], &[140.0, 340.0, 380.0, 125.0, 15.0], 0.534_325),
    ];
    for (candidate, active, expected) in cases {
        let distributions = one(&RULE, candidate, active);
        assert!((effect(&distributions) - expected).abs() < 1e-3, "{candidate:?}: {}", effect(&distributions));
        assert_eq!(requests(&distributions), [candidate.iter().sum::<f64>(), active.iter().sum()]);
        let other_way_round = one(&RULE, active, candidate);
        assert!((effect(&other_way_round) - (1.0 - expected)).abs() < 1e-3, "{candidate:?}: {}", effect(&other_way_round));
    }
}

/// The logarithms were added up over all 2,500 pairs by another program.
#[test]
fn the_evidence_is_the_mean_of_pairs_times_requests() {
    let distributions = one(&RULE, &[5.0, 10.0, 20.0, 15.0], &[20.0, 15.0, 10.0, 5.0]);
    let expected = [0.474_890, 0.923_236, 1.741_266, 3.062_697, 4.314_445, 2.623_529];
    for (log, expected) in logs(&distributions).into_iter().zip(expected) {
        assert!((log - expected).abs() < 2e-6, "{log} and not {expected}");
    }
    assert!((evidence(&distributions) - 19.961_892).abs() < 1e-3, "{}", evidence(&distributions));
    let twice_the_active_side = one(&RULE, &[5.0, 10.0, 20.0, 15.0], &[40.0, 30.0, 20.0, 10.0]);
    assert_eq!(twice_the_active_side.evidence, distributions.evidence, "there are no more pairs");
    assert_eq!((distributions.pairs.as_str(), distributions.slower.as_str()), ("50", "36.750"));
}

/// All ways in which so many requests can fall into three buckets, each with its probability.
fn outcomes(requests: u32, chances: [f64; 3]) -> Vec<(f64, [f64; 3])> {
    let mut all: Vec<(f64, [f64; 3])> = vec![(1.0, [0.0; 3])];
    for _ in 0..requests {
        let mut more = Vec::new();
        for (probability, counts) in &all {
            for (bucket, chance) in chances.iter().enumerate() {
                let mut counts = *counts;
                counts[bucket] += 1.0;
                more.push((probability * chance, counts));
            }
        }
        all = more;
    }
    all
}

/// What had come to the candidate and to the active side at each reading.
type Story = Vec<([f64; 3], [f64; 3])>;

/// What the evidence is on average after so many readings, in each of which so many requests come: exact, by trying all that can happen.
fn mean(rule: &Rule, chances: [[f64; 3]; 2], requests: [u32; 2], readings: u32) -> f64 {
    let mut all: Vec<(f64, Story)> = vec![(1.0, vec![([0.0; 3], [0.0; 3])])];
    let add = |one: &[f64; 3], other: &[f64; 3]| [0, 1, 2].map(|bucket| one[bucket] + other[bucket]);
    for _ in 0..readings {
        let mut more = Vec::new();
        for (before, story) in &all {
            let (candidate_at, active_at) = story.last().unwrap();
            for (probability, candidate) in outcomes(requests[0], chances[0]) {
                for (other, active) in outcomes(requests[1], chances[1]) {
                    let mut story = story.clone();
                    story.push((add(candidate_at, &candidate), add(active_at, &active)));
                    more.push((before * probability * other, story));
                }
            }
        }
        all = more;
    }
    all.iter()
        .map(|(probability, story)| {
            let readings: Vec<_> = story.iter().map(|(candidate, active)| histograms(candidate, active)).collect();
            probability * evidence(&after(rule, &readings).0)
        })
        .sum()
}

#[test]
fn a_tolerable_candidate_gives_evidence_of_one_or_less() {
    let half = Rule { tolerated: 0.5, ..RULE };
    let active = [0.5, 0.3, 0.2];
    // A is 0.25, 0.65 and 0.9 times these chances: 0.56.
    let slower = [0.4125, 0.2875, 0.3];
    for (rule, candidate) in [(half, active), (RULE, slower)] {
        let mean = |requests, readings| mean(&rule, [candidate, active], requests, readings);
        // A single pair leaves no choice of how to pair them off: the bet is fair to the last digit that is kept.
        assert!((mean([1, 1], 1) - 1.0).abs() < 1e-5, "{}", mean([1, 1], 1));
        assert!((mean([1, 1], 2) - 1.0).abs() < 1e-5, "{}", mean([1, 1], 2));
        for requests in [[2, 2], [3, 2], [1, 4]] {
            assert!(mean(requests, 1) < 1.0, "{requests:?}: {}", mean(requests, 1));
        }
    }
    assert!(mean(&RULE, [active, active], [2, 2], 1) < 0.94, "it is less where the candidate is better than that");
    assert!(mean(&half, [slower, active], [1, 1], 1) > 1.0, "and more where it is worse");
}

#[test]
fn an_incident_that_hits_both_sides_alike_tells_nothing() {
    let calm = [50.0, 40.0, 8.0, 2.0];
    let incident = [50.0, 40.0, 108.0, 302.0];
    let (distributions, _) = after(&RULE, &[histograms(&[0.0; 4], &[0.0; 4]), histograms(&calm, &calm), histograms(&incident, &incident)]);
    assert!((effect(&distributions) - 0.5).abs() < 1e-9, "{}", effect(&distributions));
    assert!(evidence(&distributions) < 1.0, "{}", evidence(&distributions));
}

#[test]
fn after_a_restart_it_goes_on_with_the_same_evidence() {
    let readings: Vec<_> = (0..6_u32)
        .map(|reading| {
            let reading = f64::from(reading);
            histograms(&[3.0 * reading, 5.0 * reading * reading, 11.0 * reading], &[7.0 * reading, 9.0 * reading, 2.0 * reading])
        })
        .collect();
    let (at_once, _) = after(&RULE, &readings);
    let mut restarted = None;
    for reading in &readings {
        add(&mut restarted, reading, &RULE);
        let status = serde_json::to_string(&restarted).unwrap();
        restarted = serde_json::from_str(&status).unwrap();
    }
    assert_eq!(restarted, Some(at_once.clone()));
    assert!(evidence(&at_once) > 2.0, "{}", evidence(&at_once));
}

#[test]
fn a_counter_back_or_other_buckets_keep_the_weighed() {
    let begun = [histograms(&[0.0, 0.0, 0.0], &[0.0, 0.0, 0.0]), histograms(&[1.0, 2.0, 60.0], &[60.0, 2.0, 1.0])];
    let (before, _) = after(&RULE, &begun);
    let resets = [
        ("all of them", histograms(&[0.0, 1.0, 9.0], &[70.0, 2.0, 1.0])),
        ("one of a side's pods, hidden by the others in the sum", histograms(&[40.0, 1.0, 90.0], &[70.0, 2.0, 1.0])),
        ("the active side's", histograms(&[1.0, 2.0, 90.0], &[0.0, 2.0, 2.0])),
        ("another bucket", histograms(&[1.0, 2.0, 60.0, 9.0], &[70.0, 2.0, 1.0, 1.0])),
    ];
    for (what, reset) in resets {
        let (distributions, told) = after(&RULE, &[begun[0].clone(), begun[1].clone(), reset.clone()]);
        assert_eq!(told[2], Added::Reset, "{what}");
        assert_eq!((&distributions.evidence, &distributions.pairs), (&before.evidence, &before.pairs), "{what}");
        let mut more = reset.clone();
        for counts in &mut more.counts {
            *counts.last_mut().unwrap() += 10.0;
        }
        let (distributions, told) = after(&RULE, &[begun[0].clone(), begun[1].clone(), reset, more]);
        assert_eq!((told[3], distributions.pairs.as_str()), (Added::Weighed, "73"), "{what}: it is read from there");
    }
}

#[test]
fn requests_of_one_side_wait_to_be_weighed_for_some_time() {
    let nothing = histograms(&[0.0, 0.0], &[0.0, 0.0]);
    let cases = [
        (histograms(&[0.0, 50.0], &[0.0, 0.0]), histograms(&[5.0, 55.0], &[5.0, 5.0]), Idle::Active),
        (histograms(&[0.0, 0.0], &[50.0, 0.0]), histograms(&[5.0, 5.0], &[55.0, 5.0]), Idle::Candidate),
    ];
    for (alone, both, idle) in cases {
        let (distributions, told) = after(&RULE, &[nothing.clone(), alone.clone(), both.clone()]);
        assert_eq!(told, [Added::Begun, Added::NoTraffic(idle), Added::Weighed]);
        let all = |side: usize| *both.counts[side].last().unwrap();
        assert_eq!(requests(&distributions), [all(0), all(1)]);
        let mut given_up = Some(after(&RULE, &[nothing.clone(), alone.clone()]).0);
        read_from(&mut given_up, &alone);
        assert_eq!(add(&mut given_up, &both, &RULE), Added::Weighed);
        let given_up = given_up.unwrap();
        assert_eq!((requests(&given_up), effect(&given_up)), ([10.0, 10.0], 0.5));
    }
}

#[test]
fn requests_in_one_bucket_are_not_weighed_nor_forgotten() {
    let only = histograms(&[5.0], &[5.0]);
    let mut none = None;
    assert_eq!((add(&mut none, &only, &RULE), none), (Added::OneBucket, None));
    let weighed = one(&RULE, &[1.0, 9.0], &[9.0, 1.0]);
    let mut kept = Some(weighed.clone());
    assert_eq!(add(&mut kept, &only, &RULE), Added::OneBucket);
    assert_eq!(kept, Some(weighed));
}

#[test]
fn enough_is_as_many_requests_as_asked_for_on_each_side() {
    for (candidate, active, is) in [(100.0, 100.0, true), (99.0, 100.0, false), (100.0, 99.0, false)] {
        assert_eq!(enough(&one(&RULE, &[0.0, candidate], &[0.0, active]), &RULE), is, "{candidate} and {active}");
    }
}

#[test]
fn a_state_that_somebody_has_edited_begins_anew() {
    let weighed = one(&RULE, &[1.0, 90.0], &[90.0, 1.0]);
    assert!(evidence(&weighed) > 1000.0, "{}", evidence(&weighed));
    let edits: [fn(&mut Distributions); 5] = [
        |it| it.evidence.truncate(5),
        |it| it.evidence[0] = "NaN".into(),
        |it| it.candidate.buckets_at.truncate(1),
        |it| it.active.requests = "many".into(),
        |it| it.bounds[0] = "fast".into(),
    ];
    for edit in edits {
        let mut edited = weighed.clone();
        edit(&mut edited);
        assert_eq!((evidence(&edited), effect(&edited), requests(&edited)), (1.0, 0.5, [0.0; 2]));
        let mut edited = Some(edited);
        assert_eq!(add(&mut edited, &histograms(&[2.0, 91.0], &[91.0, 2.0]), &RULE), Added::Begun);
        assert_eq!(evidence(&edited.unwrap()), 1.0);
    }
}

#[test]
fn whatever_is_counted_no_number_in_status_is_none() {
    let most = 1e15;
    let extremes = [
        histograms(&[0.0, 0.0], &[0.0, 0.0]),
        histograms(&[0.0, most], &[most, 0.0]),
        histograms(&[most, most], &[most, most]),
        histograms(&[most, most + 1.0], &[most + 1.0, most]),
    ];
    for tolerated in [0.5, 0.56, 0.999_999] {
        let rule = Rule { tolerated, ..RULE };
        let (distributions, _) = after(&rule, &extremes);
        assert!(State::parsed(&distributions).is_some(), "{distributions:?}");
        assert!(!evidence(&distributions).is_nan() && effect(&distributions).is_finite(), "{distributions:?}");
    }
}

#[test]
fn the_buckets_of_two_answers_are_those_that_both_have() {
    let candidate = buckets_of(&[("0.1", 1.0), ("0.2", 4.0), ("0.5", 8.0), ("+Inf", 9.0)]).unwrap();
    let active = buckets_of(&[("0.05", 2.0), ("0.2", 5.0), ("1", 6.0), ("+Inf", 7.0)]).unwrap();
    let both = [Reading::Buckets(candidate.clone()), Reading::Buckets(active)];
    let expected = Histograms { bounds: vec![0.2, f64::INFINITY], counts: [vec![4.0, 9.0], vec![5.0, 7.0]] };
    assert_eq!(Histograms::of(&both), Ok(expected));
    let alone = Reading::Buckets(candidate);
    let failed = || Reading::Failed("refused".into());
    assert_eq!(Histograms::of(&[alone.clone(), Reading::NoData]), Err(Reading::NoData));
    assert_eq!(Histograms::of(&[Reading::NoData, failed()]), Err(failed()));
    for number in [Reading::Value(1.0), Reading::NotANumber] {
        let Err(Reading::Failed(why)) = Histograms::of(&[alone.clone(), number]) else { panic!("taken") };
        assert_eq!(why, "the query returned a number, not buckets: use sum by (le) (…_bucket)");
    }
}

fn buckets_of(series: &[(&str, f64)]) -> Result<Buckets, String> {
    Buckets::of(series.iter().map(|(le, count)| (Some(*le), *count)))
}

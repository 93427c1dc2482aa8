//! Weighted fair shares of a budget: how many connections each process of each consumer gets.
//!
//! Deterministic, and a function of its arguments alone. What consumers have is sticky: it is touched only if the minima of all
//! would not fit otherwise, so that a share is not the reason of a rollout more often than it has to.

/// What a consumer wants of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Its weight beside others; at least 1.
    pub weight: i64,
    /// Connections that one connection per process makes at worst: processes × pods.
    pub unit: i64,
    /// Connections per process below which it cannot work.
    pub least: i64,
    /// Connections per process that it asks for; if that is less than the least, it is refused.
    pub most: i64,
    /// Connections per process that it was let in with.
    pub has: Option<i64>,
}

/// Growth below this part of what a consumer asks for waits until it is more: each change restarts its pods.
const WORTH_A_ROLLOUT: i64 = 10;
/// More rounds than have ever been seen: two are usual.
const MOST_ROUNDS: usize = 32;

impl Claim {
    /// What it takes with `level` connections per process.
    const fn takes(&self, level: i64) -> i64 {
        self.unit.saturating_mul(level)
    }

    /// What it has, within what it asks for now.
    fn kept(&self) -> i64 {
        self.has.unwrap_or(self.least).min(self.most).max(self.least)
    }
}

/// Connections per process of each of `claims`, which stand in the order in which they are served; `None` for who has to be
/// refused, because not even its least fits beside what others cannot do without.
///
/// `room` is what is left for all of them together. Who is refused keeps what it has.
///
/// 1. Whoever was let in has its least; then come the others, one after the other.
/// 2. If what everybody has fits, nobody loses anything, and what is free goes to those who have the smallest part of it by their
///    weights (*water filling*), up to what they ask for.
/// 3. Else those who have more than their fair part give up what is above it.
#[must_use]
pub fn shares(room: i64, claims: &[Claim]) -> Vec<Option<i64>> {
    let admitted = admitted(room, claims);
    let kept_by_refused = claims.iter().zip(&admitted).filter(|(_, admitted)| !**admitted);
    let room = kept_by_refused.fold(room, |room, (claim, _)| room.saturating_sub(claim.takes(claim.has.unwrap_or(0))));
    let mut served: Vec<Claim> =
        claims.iter().zip(&admitted).filter(|(_, admitted)| **admitted).map(|(claim, _)| *claim).collect();
    let mut levels = distribute(room, &served);
    // What is left over by those for whom it was not worth a rollout may be worth one to others. Whoever decides the same again
    // must come to the same, so it goes on until nobody moves; as nobody falls by that, it ends.
    for _ in 0..MOST_ROUNDS {
        for (claim, level) in served.iter_mut().zip(&levels) {
            claim.has = Some(*level);
        }
        let again = distribute(room, &served);
        if again == levels {
            break;
        }
        levels = again;
    }
    let mut levels = levels.into_iter();
    admitted.iter().map(|admitted| if *admitted { levels.next() } else { None }).collect()
}

/// Levels of those who are let in.
fn distribute(room: i64, claims: &[Claim]) -> Vec<i64> {
    let vessel = |claim: &Claim| Vessel {
        weight: claim.weight.max(1),
        unit: claim.unit.max(1),
        low: claim.kept(),
        high: claim.most,
    };
    let mut vessels: Vec<Vessel> = claims.iter().map(vessel).collect();
    if total(&vessels) > room {
        let from_scratch: Vec<Vessel> =
            vessels.iter().zip(claims).map(|(vessel, claim)| Vessel { low: claim.least, ..*vessel }).collect();
        for ((vessel, fair), claim) in vessels.iter_mut().zip(fill(room, &from_scratch)).zip(claims) {
            vessel.low = if claim.has.is_some() { vessel.low.min(fair) } else { fair };
        }
    }
    loop {
        let levels = fill(room, &vessels);
        // What is not worth a rollout is for others.
        let mut left = false;
        for ((vessel, level), claim) in vessels.iter_mut().zip(&levels).zip(claims) {
            let worth = claim.most.saturating_add(WORTH_A_ROLLOUT - 1).div_euclid(WORTH_A_ROLLOUT);
            let kept = claim.kept().max(vessel.low);
            if claim.has.is_some() && (kept + 1..kept.saturating_add(worth)).contains(level) && *level < claim.most {
                vessel.high = kept;
                left = true;
            }
        }
        if !left {
            return levels;
        }
    }
}

/// Whose least fits beside the least of whom was let in before.
fn admitted(room: i64, claims: &[Claim]) -> Vec<bool> {
    let stays = |claim: &Claim| claim.least <= claim.most && claim.has.is_some_and(|has| has >= claim.least);
    let floor =
        |claim: &Claim| if stays(claim) { claim.takes(claim.least) } else { claim.takes(claim.has.unwrap_or(0)) };
    let mut taken = claims.iter().fold(0_i64, |sum, claim| sum.saturating_add(floor(claim)));
    let admit = |claim: &Claim| {
        if stays(claim) {
            return true;
        }
        let then = taken.saturating_sub(floor(claim)).saturating_add(claim.takes(claim.least));
        let fits = then <= room && claim.least <= claim.most;
        if fits {
            taken = then;
        }
        fits
    };
    claims.iter().map(admit).collect()
}

/// Something that is filled from `low` to at most `high`.
#[derive(Clone, Copy, Debug)]
struct Vessel {
    weight: i64,
    unit: i64,
    low: i64,
    high: i64,
}

fn total(vessels: &[Vessel]) -> i64 {
    vessels.iter().fold(0, |sum, vessel| sum.saturating_add(vessel.unit.saturating_mul(vessel.low)))
}

/// Levels at which each vessel has the same amount by its weight, as far as its bounds allow, and all have `room` together;
/// rounded by largest remainders, until nothing fits any more. The lowest levels if these are more than `room` already.
fn fill(room: i64, vessels: &[Vessel]) -> Vec<i64> {
    if total(vessels) >= room {
        return vessels.iter().map(|vessel| vessel.low).collect();
    }
    let surface = surface(room, vessels);
    // Amounts as multiples of the denominator, so that nothing is rounded before the end.
    let exact: Vec<(i64, i128)> = vessels
        .iter()
        .map(|vessel| {
            let Some((water, weights)) = surface else { return (vessel.high, 0) };
            let per_level = i128::from(vessel.unit) * weights;
            let level = (i128::from(vessel.weight) * water).div_euclid(per_level);
            let rest = (i128::from(vessel.weight) * water).rem_euclid(per_level);
            match i64::try_from(level).unwrap_or(i64::MAX) {
                level if level < vessel.low => (vessel.low, 0),
                level if level >= vessel.high => (vessel.high, 0),
                // Remainders of different units are compared as parts of one connection per process.
                level => (level, rest * SCALE / per_level),
            }
        })
        .collect();
    let mut levels: Vec<i64> = exact.iter().map(|(level, _)| *level).collect();
    let taken = vessels
        .iter()
        .zip(&levels)
        .fold(0_i64, |sum, (vessel, level)| sum.saturating_add(vessel.unit.saturating_mul(*level)));
    let mut left = room.saturating_sub(taken);
    let mut order: Vec<usize> = (0..vessels.len()).collect();
    order.sort_by_key(|&index| (std::cmp::Reverse(exact.get(index).map_or(0, |(_, rest)| *rest)), index));
    loop {
        let before = left;
        for &index in &order {
            if let (Some(vessel), Some(level)) = (vessels.get(index), levels.get_mut(index))
                && *level < vessel.high
                && vessel.unit <= left
            {
                *level += 1;
                left -= vessel.unit;
            }
        }
        if left == before {
            return levels;
        }
    }
}

const SCALE: i128 = 1_000_000_000;

/// The amount per weight, as a fraction, to which `room` fills the vessels; `None` if they hold no more than it.
fn surface(room: i64, vessels: &[Vessel]) -> Option<(i128, i128)> {
    let amount = |vessel: &Vessel, level: i64| i128::from(vessel.unit) * i128::from(level);
    // Where a vessel begins to be filled, and where it is full.
    let mut edges: Vec<(i128, i128, bool)> = vessels
        .iter()
        .filter(|vessel| vessel.low < vessel.high)
        .flat_map(|vessel| {
            let weight = i128::from(vessel.weight);
            [(amount(vessel, vessel.low), weight, true), (amount(vessel, vessel.high), weight, false)]
        })
        .collect();
    // a/b < c/d without a fraction.
    edges.sort_by(|(a, b, begins), (c, d, other)| (a * d).cmp(&(c * b)).then(other.cmp(begins)));
    // Held by vessels at a bound, and the weights of those between their bounds.
    let mut fixed: i128 = vessels.iter().map(|vessel| amount(vessel, vessel.low)).sum();
    let mut weights = 0_i128;
    for (level, weight, begins) in edges {
        // All of it at this edge: fixed + weights × level / weight.
        if fixed * weight + weights * level > i128::from(room) * weight {
            break;
        }
        if begins {
            fixed -= level;
            weights += weight;
        } else {
            fixed += level;
            weights -= weight;
        }
    }
    (weights > 0).then(|| (i128::from(room) - fixed, weights))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn claim(weight: i64, unit: i64, least: i64, most: i64, has: Option<i64>) -> Claim {
        Claim { weight, unit, least, most, has }
    }

    #[track_caller]
    fn check(room: i64, claims: &[Claim], want: &[Option<i64>]) {
        assert_eq!(shares(room, claims), want, "{room} for {claims:?}");
    }

    #[test]
    fn who_is_alone_gets_what_it_asks_for_as_far_as_it_fits() {
        check(78, &[claim(1, 4, 1, 10, None)], &[Some(10)]);
        check(78, &[claim(1, 16, 2, 30, None)], &[Some(4)]);
        check(78, &[claim(1, 16, 5, 30, None)], &[None]);
        check(0, &[claim(1, 1, 1, 1, None)], &[None]);
    }

    #[test]
    fn equals_get_equal_parts_and_the_older_one_what_is_left() {
        check(
            10,
            &[claim(1, 1, 1, 20, None), claim(1, 1, 1, 20, None), claim(1, 1, 1, 20, None)],
            &[Some(4), Some(3), Some(3)],
        );
        check(60, &[claim(1, 4, 1, 30, None), claim(1, 2, 1, 30, None)], &[Some(7), Some(16)]);
    }

    #[test]
    fn parts_follow_weights_within_bounds() {
        check(80, &[claim(3, 1, 5, 100, None), claim(1, 1, 5, 100, None)], &[Some(60), Some(20)]);
        check(80, &[claim(3, 1, 5, 30, None), claim(1, 1, 5, 100, None)], &[Some(30), Some(50)]);
        check(80, &[claim(9, 1, 5, 100, None), claim(1, 1, 20, 100, None)], &[Some(60), Some(20)]);
    }

    #[test]
    fn a_newcomer_takes_what_is_free_and_others_lose_only_what_its_least_needs() {
        check(100, &[claim(1, 1, 10, 60, Some(60)), claim(1, 1, 10, 60, None)], &[Some(60), Some(40)]);
        check(100, &[claim(1, 1, 10, 95, Some(95)), claim(1, 1, 10, 95, None)], &[Some(50), Some(50)]);
        // Who has less than its part keeps it while others give.
        check(
            100,
            &[claim(1, 1, 5, 90, Some(80)), claim(1, 1, 5, 20, Some(20)), claim(1, 1, 20, 90, None)],
            &[Some(40), Some(20), Some(40)],
        );
    }

    #[test]
    fn whose_least_does_not_fit_is_refused_and_who_was_there_keeps_its_least() {
        check(
            50,
            &[claim(1, 1, 20, 20, None), claim(1, 1, 40, 40, None), claim(1, 1, 30, 30, None)],
            &[Some(20), None, Some(30)],
        );
        check(50, &[claim(1, 1, 30, 40, Some(40)), claim(1, 1, 30, 40, Some(40))], &[Some(30), Some(30)]);
        // A larger minimum than it has does not fit: it keeps what it has.
        check(50, &[claim(1, 1, 45, 45, Some(20)), claim(1, 1, 10, 30, Some(30))], &[None, Some(30)]);
    }

    #[test]
    fn who_may_not_have_what_it_needs_is_refused_and_keeps_what_it_has() {
        check(50, &[claim(1, 1, 20, 10, Some(30)), claim(1, 1, 5, 50, None)], &[None, Some(20)]);
    }

    /// What was not worth a rollout to one may be worth it to another: it is found at once, and not at the next look.
    #[test]
    fn what_somebody_leaves_is_given_to_others_at_once() {
        let claim = |weight, unit, least, most, has| Claim { weight, unit, least, most, has };
        let claims = [
            claim(1, 48, 21, 21, None),
            claim(14, 43, 1, 4, None),
            claim(1, 34, 1, 22, Some(20)),
            claim(1, 2, 1, 50, Some(46)),
            claim(1, 24, 9, 10, None),
        ];
        let levels = shares(2166, &claims);
        let then: Vec<Claim> =
            claims.iter().zip(&levels).map(|(claim, level)| Claim { has: *level, ..*claim }).collect();
        assert_eq!(shares(2166, &then), levels);
    }

    #[test]
    fn a_part_that_is_not_worth_a_rollout_stays_free() {
        check(52, &[claim(1, 1, 5, 90, Some(50))], &[Some(50)]);
        check(59, &[claim(1, 1, 5, 90, Some(50))], &[Some(59)]);
        check(52, &[claim(1, 1, 5, 52, Some(50))], &[Some(52)]);
    }

    prop_compose! {
        fn some_claim()(weight in 1_i64..20, unit in 1_i64..60, least in 1_i64..30, more in 0_i64..60, has in proptest::option::of(1_i64..90)) -> Claim {
            Claim { weight, unit, least, most: least + more, has }
        }
    }

    fn sum(claims: &[Claim], levels: &[Option<i64>]) -> i64 {
        claims.iter().zip(levels).map(|(claim, level)| claim.unit * level.or(claim.has).unwrap_or(0)).sum()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn nothing_is_given_twice(room in 0_i64..3000, claims in proptest::collection::vec(some_claim(), 0..12)) {
            let levels = shares(room, &claims);
            for (claim, level) in claims.iter().zip(&levels) {
                if let Some(level) = level {
                    prop_assert!((claim.least..=claim.most).contains(level), "{claim:?}: {level}");
                }
            }
            // What is there already may be too much; then everybody has no more than its least.
            let at_least: i64 = claims.iter().zip(&levels).map(|(claim, level)| claim.unit * level.map_or(claim.has.unwrap_or(0), |_| claim.least)).sum();
            prop_assert!(sum(&claims, &levels) <= room.max(at_least));
            // Nobody loses anything while everything fits.
            let kept: i64 = claims.iter().zip(&levels).map(|(claim, level)| claim.unit * if level.is_some() { claim.kept() } else { claim.has.unwrap_or(0) }).sum();
            if kept <= room {
                for (claim, level) in claims.iter().zip(&levels) {
                    prop_assert!(level.is_none_or(|level| level >= claim.kept()));
                }
            }
        }

        #[test]
        fn what_was_decided_stays(room in 0_i64..3000, claims in proptest::collection::vec(some_claim(), 0..12)) {
            let levels = shares(room, &claims);
            let then: Vec<Claim> = claims.iter().zip(&levels).map(|(claim, level)| Claim { has: level.or(claim.has), ..*claim }).collect();
            let again = shares(room, &then);
            for ((claim, before), after) in then.iter().zip(&levels).zip(&again) {
                // Who was refused may have become the only one that fits; nobody else moves.
                if before.is_some() {
                    prop_assert_eq!(before, after, "{:?} in {:?}", claim, then);
                }
            }
        }

        #[test]
        fn more_weight_is_never_less(room in 100_i64..3000, unit in 1_i64..9, a in 1_i64..9, b in 1_i64..9) {
            let claim = |weight| Claim { weight, unit, least: 1, most: 1000, has: None };
            let levels = shares(room, &[claim(a + b), claim(b)]);
            prop_assert!(levels[0] >= levels[1]);
        }
    }
}

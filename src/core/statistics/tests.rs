use super::*;

fn about(a: f64, b: f64) {
    assert!((a - b).abs() < 5e-4, "{a} is not about {b}");
}

#[test]
fn wilsons_lower_bound_needs_observations() {
    // Closed form: without exception it is n / (n + z²).
    about(wilson_lower(1.0, 10.0), 10.0 / (10.0 + 1.644_854_f64.powi(2)));
    about(wilson_lower(0.5, 100.0), 0.4189);
    about(wilson_lower(0.36, 100.0), 0.2859);
    about(wilson_lower(0.36, 1000.0), 0.3355);
    assert!(wilson_lower(0.0, 1000.0) < 1e-9);
    for (share, tries) in [(1.0, 0.0), (0.5, -1.0), (f64::NAN, 10.0), (0.5, f64::NAN)] {
        assert!(wilson_lower(share, tries).abs() < f64::EPSILON, "{share} of {tries}");
    }
    // A rate that was computed a little above one is one.
    assert!(wilson_lower(1.000_001, 50.0) < 1.0);
}

#[test]
fn three_divided_by_n_bounds_what_never_happened() {
    for n in [100.0, 298.0, 3000.0] {
        about(1.0 - shown_without_exception(n), 3.0 / n);
    }
    about(shown_without_exception(298.0), 0.99);
    for (share, needed) in [(0.9, 28.0), (0.95, 58.0), (0.99, 298.0), (0.999, 2994.0)] {
        about(needed_without_exception(share), needed);
    }
    assert!(shown_without_exception(0.0).abs() < f64::EPSILON);
}

#[test]
fn the_slope_of_most_pairs_ignores_an_outlier() {
    assert_eq!(theil_sen(&[1.0, 2.0, 3.0, 4.0]), Some(1.0));
    assert_eq!(theil_sen(&[1.0, 2.0, 300.0, 4.0, 5.0]), Some(1.0));
    assert_eq!((theil_sen(&[]), theil_sen(&[1.0])), (None, None));
}

#[test]
fn mann_kendall_counts_pairs_and_corrects_for_ties() {
    // Gilbert, Statistical Methods for Environmental Pollution Monitoring: without ties the variance of ten is 125.
    let rising: Vec<f64> = (0..10).map(f64::from).collect();
    let all = mann_kendall(&rising);
    assert_eq!((all.s, all.variance), (45.0, 125.0));
    about(all.p, 0.000_083);
    // Groups of 2, 2 and 3 equal points: (700·… − 18 − 18 − 66) / 18 with n = 8.
    let ties = mann_kendall(&[1.0, 1.0, 2.0, 3.0, 3.0, 3.0, 4.0, 4.0]);
    about(ties.variance, (8.0 * 7.0 * 21.0 - 18.0 - 18.0 - 66.0) / 18.0);
    assert!((ties.s - 23.0).abs() < f64::EPSILON);
    let flat = mann_kendall(&[7.0; 12]);
    assert_eq!((flat.s, flat.p), (0.0, 1.0));
    assert!((mann_kendall(&[]).p - 1.0).abs() < f64::EPSILON);
}

#[test]
fn chances_are_those_of_the_normal_distribution() {
    for (z, chance) in [(0.0, 1.0), (1.0, 0.317_310_5), (1.959_964, 0.05), (2.575_829, 0.01), (6.0, 0.0)] {
        assert!((chance_beyond(z) - chance).abs() < 1e-6, "{z}");
    }
}

/// Normal numbers from a generator that is the same everywhere: sums of twelve of Knuth's.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        let mut sum = -6.0;
        for _ in 0..12 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            sum += f64::from(u32::try_from(self.0 >> 32).unwrap()) / f64::from(u32::MAX);
        }
        sum
    }

    /// Neighbours correlate by `phi`.
    fn series(&mut self, points: u32, phi: f64, slope: f64) -> Vec<f64> {
        let mut now = self.next() / (1.0 - phi * phi).sqrt();
        let series = (0..points).map(|n| {
            let point = 100.0 + slope * f64::from(n) + now;
            now = phi * now + self.next();
            point
        });
        series.collect()
    }
}

#[test]
fn noise_has_a_trend_as_seldom_as_it_should_even_if_neighbours_hang_together() {
    let mut noise = Noise(1);
    for (phi, most) in [(0.0, 20), (0.3, 35), (0.5, 65), (0.7, 130)] {
        for points in [14, 24, 30] {
            let alarms = (0..1000).filter(|_| trend(&noise.series(points, phi, 0.0)).unwrap().is_significant()).count();
            assert!(alarms <= most, "{alarms} of 1000 series of {points} with {phi}");
        }
    }
}

#[test]
fn a_trend_is_found_with_its_size() {
    let mut noise = Noise(2);
    for slope in [1.0, -1.0] {
        let found = (0..200).filter(|_| {
            let trend = trend(&noise.series(24, 0.0, slope)).unwrap();
            trend.is_significant() && (trend.change - 23.0 * slope).abs() < 5.0
        });
        assert!(found.count() >= 190);
    }
    let straight: Vec<f64> = (0..10).map(|n| 10.0 + f64::from(n)).collect();
    let trend = trend(&straight).unwrap();
    assert!(trend.is_significant() && (trend.change - 9.0).abs() < 1e-9);
    about(trend.share, 9.0 / 14.5);
}

#[test]
fn too_few_points_and_no_numbers_have_no_trend() {
    assert_eq!(trend(&[1.0; 9]), None);
    assert_eq!(trend(&[f64::NAN; 20]), None);
    let flat = trend(&[3.0; 20]).unwrap();
    assert!(!flat.is_significant() && flat.share.abs() < f64::EPSILON);
}

/// Days of a recorded series.
fn days(name: &str) -> Vec<f64> {
    let text = include_str!("../../../tests/data/nab/hourly.csv");
    let column = text.lines().next().unwrap().split(',').position(|column| column == name).unwrap();
    let hours: Vec<f64> =
        text.lines().skip(1).map(|line| line.split(',').nth(column).unwrap().parse().unwrap()).collect();
    hours.chunks_exact(24).map(|day| day.iter().sum::<f64>() / 24.0).collect()
}

/// A cycle within the day is no trend of days.
#[test]
fn recorded_series_without_trend_stay_silent() {
    for name in ["art_daily_small_noise", "art_noisy", "art_flatline", "art_daily_jumpsup", "elb_request_count_8c0756"]
    {
        let days = days(name);
        assert_eq!(days.len(), 14, "{name}");
        for window in days.windows(10).chain([days.as_slice()]) {
            let trend = trend(window).unwrap();
            assert!(!(trend.is_significant() && trend.share.abs() > 0.1), "{name}: {trend:?}");
        }
    }
    // And is found where it is added to the same noise.
    let leaking: Vec<f64> = days("art_noisy").iter().zip(0..14).map(|(day, n)| day + f64::from(n) * 0.5).collect();
    let trend = trend(&leaking).unwrap();
    assert!(trend.is_significant() && trend.share > 0.1, "{trend:?}");
}

proptest::proptest! {
    #[test]
    fn nothing_panics_and_chances_are_chances(points in proptest::collection::vec(proptest::num::f64::ANY, 0..40)) {
        if let Some(trend) = trend(&points) {
            proptest::prop_assert!(!trend.is_significant() || trend.p >= 0.0);
        }
        let p = mann_kendall(&points).p;
        proptest::prop_assert!((0.0..=1.0).contains(&p), "{}", p);
    }
}

/// Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17 (1998), table I, method 3: the
/// score interval of Wilson (1927) at 95 %, two-sided.
#[test]
fn wilsons_interval_is_that_of_the_tables() {
    const Z_TWO_SIDED: f64 = 1.959_963_984_540_054;
    for (events, tries, lower, upper) in [
        (81.0, 263.0, 0.2553, 0.3662),
        (15.0, 148.0, 0.0624, 0.1605),
        (0.0, 20.0, 0.0, 0.1611),
        (1.0, 29.0, 0.0061, 0.1718),
    ] {
        let (least, most) = wilson(events / tries, tries, Z_TWO_SIDED);
        assert!((least - lower).abs() < 6e-5 && (most - upper).abs() < 6e-5, "{events} of {tries}: {least} to {most}");
    }
}

#[test]
fn wilsons_upper_bound_mirrors_the_lower() {
    for (share, tries) in [(0.0, 10.0), (0.02, 50.0), (0.5, 7.0), (0.93, 1000.0), (1.0, 3.0)] {
        about(wilson_upper(share, tries), 1.0 - wilson_lower(1.0 - share, tries));
    }
    assert!((wilson_upper(0.5, 0.0) - 1.0).abs() < f64::EPSILON);
}

proptest::proptest! {
    #[test]
    fn wilsons_interval_holds_the_share_and_narrows_with_tries(share in 0.0..=1.0_f64, tries in 1.0..1e9_f64) {
        let (least, most) = (wilson_lower(share, tries), wilson_upper(share, tries));
        proptest::prop_assert!(0.0 <= least && least <= share + 1e-12 && share <= most + 1e-12 && most <= 1.0);
        let (finer_least, finer_most) = (wilson_lower(share, tries * 4.0), wilson_upper(share, tries * 4.0));
        proptest::prop_assert!(finer_least >= least - 1e-12 && finer_most <= most + 1e-12);
    }
}

//! A Prometheus that answers, and says what nobody may believe: nothing is written because of it.

use serde_json::json;
use trimtab::core::facts::Span;

use super::{
    profiles::{apply, busy, env, intervals, load, rest, revisions, shop},
    server::Lie,
};

/// A profile is the only thing that readings write: it stays as it was for as long as the lie lasts, through a change of leader, and
/// follows the truth afterwards.
#[test]
fn no_lie_writes_anything() {
    for lie in Lie::ALL {
        for crash in [false, true] {
            let mut run = shop(&["api"]);
            let mut profile = busy();
            profile["when"]["enter"] = json!("350/s");
            profile["when"]["leave"] = json!("200/s");
            profile["set"]["thresholds.rate.levels.warning.above"] = json!("500/s");
            let mut spec = intervals(json!([profile]));
            spec["thresholds"] = json!([{"name": "rate", "metric": {"counter": "load_total"},
                "levels": [{"severity": "warning", "above": "380/s"}]}]);
            apply(&mut run, &spec);
            load(&mut run, "api", Some(400.0));
            run.pass(Span::minutes(2));
            rest(&mut run);
            let (values, written) = (env(&run, "api"), revisions(&run, "api"));
            assert_eq!(values[0], "60", "{lie:?}: the profile is active");
            run.people(&format!("Prometheus lies: {lie:?}"), |server, _| server.lie = Some(lie));
            // Whether counters go back is asked every ten sweeps.
            run.pass(Span::minutes(6));
            load(&mut run, "api", Some(100.0));
            if crash {
                run.crash();
            }
            run.pass(Span::minutes(70));
            assert_eq!((env(&run, "api"), revisions(&run, "api")), (values, written), "{lie:?}, crash: {crash}");
            run.people("Prometheus tells the truth", |server, _| server.lie = None);
            run.pass(Span::minutes(12));
            rest(&mut run);
            assert_eq!((&*env(&run, "api")[0], revisions(&run, "api")), ("10", written + 1), "{lie:?}, crash: {crash}");
        }
    }
}

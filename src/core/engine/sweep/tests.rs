#![expect(clippy::needless_pass_by_value, reason = "JSON reads best where it is made")]

mod advice;
mod alerting;
mod apart;
mod asking;
mod flipping;
mod judging;
mod lab;
mod past;
mod proving;
mod quality;
mod sources;

use serde_json::{Value, json};

use self::lab::{Lab, START};
use super::*;
use crate::{
    api::{
        PerformancePolicyStatus,
        conditions::{ConditionType, Reason},
        policy::Severity,
        status::ThresholdStatus,
    },
    core::{
        engine::{Refusal, Series},
        evaluate::Verdict,
        facts::{Kind, ObjectKey, Span},
        report::{self, Truth},
    },
};

/// A threshold on the gauge `queue`.
fn queue(levels: Value) -> Value {
    json!([{"name": "queue", "metric": {"gauge": "queue"}, "levels": levels}])
}

fn above(severity: &str, bound: u32) -> Value {
    json!({"severity": severity, "above": bound})
}

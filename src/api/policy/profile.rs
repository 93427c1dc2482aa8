//! Profiles: other values for other times.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::{Literal, rules};

/// Values that hold while a condition does. When it ends, those of the spec hold again.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Name of the profile.
    #[schemars(transform = rules::dns_label)]
    pub name: String,
    /// When it is active; default: only while spec.profile names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
    /// Conditions without which it is not active, such as workers.web.count >= 4. They see the values of the spec and of
    /// active profiles before this one in the list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = rules::conditions)]
    pub requires: Vec<String>,
    /// The load that its thresholds are stated for. It changes nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load: Option<Load>,
    /// Values by their path: a knob such as pools.db.size, replicas.min, replicas.max, or the bound of a level such as
    /// thresholds.p95.levels.warning.above. Only what the spec sets can be set otherwise.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = rules::profile_values)]
    pub set: BTreeMap<String, Literal>,
}

/// When a profile is active: while a threshold's reading is beyond a bound, or in windows of time.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules::when)]
pub struct When {
    /// Name of the threshold whose reading decides, for each target apart; of several values of its labels, one is enough.
    /// Without data what is active stays active.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::dns_label)]
    pub threshold: Option<String>,
    /// The profile is entered when the reading is beyond this: above it, if leave is lower, else below it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::profile_bound)]
    pub enter: Option<Literal>,
    /// It is left when the reading is beyond this, on the other side.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::profile_bound)]
    pub leave: Option<Literal>,
    /// Time that it stays active at least, at most 30d; default 10m. Entering never waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::duration)]
    pub dwell: Option<String>,
    /// Windows of time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
}

/// Windows of time that recur.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// When a window begins: minute, hour, day of the month, month, day of the week.
    #[schemars(transform = rules::cron)]
    pub cron: String,
    /// How long it lasts, from 1m to 7d.
    #[schemars(transform = rules::window_duration)]
    pub duration: String,
    /// IANA time zone of its clock, such as Europe/Berlin; default UTC. A time that is skipped in spring is that much later,
    /// one that occurs twice in autumn counts the first time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::time_zone)]
    pub time_zone: Option<String>,
}

/// A load: users who think between requests, and the requests that come of it.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("has(self.users) || has(self.rate)", "at least one of users and rate must be set"))]
pub struct Load {
    /// Users at the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub users: Option<u32>,
    /// Requests per second, such as 350/s.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::rate)]
    pub rate: Option<Literal>,
    /// Time between a user's answer and the next request; default 0s.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::duration)]
    pub think_time: Option<String>,
}

/// Why a profile is active.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[schemars(description = "")]
pub enum ActiveBy {
    /// `spec.profile` names it.
    #[default]
    Spec,
    /// The reading of its threshold.
    Threshold,
    /// A window of its schedule.
    Schedule,
}

impl ActiveBy {
    /// The word in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Spec => "Spec",
            Self::Threshold => "Threshold",
            Self::Schedule => "Schedule",
        }
    }
}

//! Every string of the outside world that Trimtab owns, once.

/// API group of all kinds.
pub const GROUP: &str = "trimtab.dev";
/// Version of all kinds.
pub const VERSION: &str = "v1alpha1";
/// Prefix of field managers on targets: `trimtab/<policy>`.
pub const MANAGER_PREFIX: &str = "trimtab/";
/// Field manager of the status of our own objects.
pub const STATUS_MANAGER: &str = "trimtab-status";
/// Field manager of finalizers on our own objects.
pub const FINALIZER_MANAGER: &str = "trimtab-finalizer";
/// Field manager of our definitions.
pub const CRD_MANAGER: &str = "trimtab-crds";
/// Annotation of a definition: the version of the program that applied it.
pub const CRD_VERSION: &str = "trimtab.dev/version";
/// Finalizer of a policy whose `deletionPolicy` is `Restore`.
pub const RESTORE_FINALIZER: &str = "trimtab.dev/restore";
/// Prefix of the annotation that records, on a governed object, what was there before our first claim.
pub const BASELINE_PREFIX: &str = "trimtab.dev/baseline.";
/// Prefix of the pod-template annotation that carries the hash of bound document bytes.
pub const STAMP_PREFIX: &str = "trimtab.dev/config.";
/// Annotation of a policy: a non-empty value suspends it, beside `spec.suspend`, so that GitOps cannot undo an on-call's stop.
pub const SUSPENDED: &str = "trimtab.dev/suspended";
/// Annotation of a policy: an RFC 3339 time; manual overrides that are older than it are no longer held.
pub const RESUMED_AT: &str = "trimtab.dev/resumed-at";
/// Annotation of a policy: the revision that `trimtab rollback` went back to. It is what people read; what it pins is in
/// [`ROLLBACK_PIN`].
pub const ROLLBACK_TO: &str = "trimtab.dev/rollback-to";
/// Annotation of a policy: what a rollback pins, as the JSON of a [`RollbackPin`](super::rollback::RollbackPin).
pub const ROLLBACK_PIN: &str = "trimtab.dev/rollback-pin";
/// Annotation of the class that policies without `className` use.
pub const IS_DEFAULT_CLASS: &str = "trimtab.dev/is-default-class";
/// Prefix of all our annotations, labels and finalizers.
pub const PREFIX: &str = "trimtab.dev/";
/// Name of the Lease by which replicas elect a leader.
pub const LEASE: &str = "trimtab-leader";
/// `reportingController` of Events.
pub const CONTROLLER: &str = "trimtab.dev/controller";
/// Name of the metrics source that a policy uses when neither it nor its class names one.
pub const DEFAULT_SOURCE: &str = "default";
/// `alertname` of a breached threshold.
pub const ALERT_BREACHED: &str = "TrimtabThresholdBreached";
/// `alertname` of a threshold without data.
pub const ALERT_NO_DATA: &str = "TrimtabNoData";
/// `alertname` of a metrics source that does not answer.
pub const ALERT_SOURCE_DOWN: &str = "TrimtabSourceDown";
/// `alertname` of a budget of which pools could open more than it has.
pub const ALERT_BUDGET: &str = "TrimtabBudgetExceeded";
/// `createdBy` of our silences.
pub const SILENCE_CREATOR: &str = "trimtab";
/// Labels that say what an alert is; none of anybody else's may take their place.
pub const ALERT_LABELS: [&str; 8] =
    ["alertname", "namespace", "policy", "threshold", "severity", "target", "target_kind", "source"];
/// `alertname` of an error budget that burns too fast.
pub const ALERT_BURN: &str = "TrimtabErrorBudgetBurn";
/// Field manager of our `PrometheusRule`s.
pub const RULES_MANAGER: &str = "trimtab-rules";
/// Label of a `PrometheusRule` of ours: its policy.
pub const RULE_POLICY: &str = "trimtab.dev/policy";

/// Field manager under which the claims of `policy` are applied.
#[must_use]
pub fn manager(policy: &str) -> String {
    format!("{MANAGER_PREFIX}{policy}")
}

/// Annotation key of the baseline record of `policy`.
#[must_use]
pub fn baseline(policy: &str) -> String {
    format!("{BASELINE_PREFIX}{policy}")
}

/// Pod-template annotation key of the document stamp of `policy`.
#[must_use]
pub fn stamp(policy: &str) -> String {
    format!("{STAMP_PREFIX}{policy}")
}

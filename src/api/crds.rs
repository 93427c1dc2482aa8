//! The generated `CustomResourceDefinition`s.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;

use super::{MetricsSource, PerformanceClass, PerformancePolicy};

/// All definitions, in the order in which they are installed.
#[must_use]
pub fn all() -> Vec<CustomResourceDefinition> {
    vec![PerformanceClass::crd(), MetricsSource::crd(), PerformancePolicy::crd()]
}

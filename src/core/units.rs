//! Numbers with units: what a policy's literals mean, how they compare, and how they are written for an application.
//!
//! Owns every conversion between text and quantity. Nothing else in the crate parses a duration, a size or a share, so
//! that `2048Mi` and `2Gi` are one value everywhere. Everything is exact ([`Decimal`]); floats appear only in readings
//! from a metrics backend ([`Bound::as_f64`], [`MetricUnit::to_base`]). No function panics on any text.
//!
//! | type | is |
//! |---|---|
//! | [`Decimal`] | an exact number |
//! | [`Quantity`] | a number with a [`Dimension`]: what formulas compute with |
//! | [`Value`] | a typed literal of a policy |
//! | [`ValueFormat`](crate::api::policy::ValueFormat) | how a value is spelled where the application reads it (`as:`) |
//! | [`ResourceQuantity`] | Kubernetes' own text form of CPU and memory |
//! | [`Figure`] | an amount as people write it in a table |
//! | [`Bound`], [`MetricUnit`], [`BaseUnit`] | the limits of thresholds and the units of metrics |

mod bound;
mod decimal;
mod figure;
mod format;
mod quantity;
mod reading;
mod resource;
mod value;

pub use self::{
    bound::{BaseUnit, Bound, BoundError, Hysteresis, MetricUnit},
    decimal::{Decimal, DecimalError, SCALE_DIGITS},
    figure::{Better, Figure},
    format::RenderError,
    quantity::{Dimension, Quantity, Unit},
    resource::{ResourceQuantity, ResourceQuantityError},
    value::{Excerpt, MAX_TTL, Value, ValueError, ValueType},
};

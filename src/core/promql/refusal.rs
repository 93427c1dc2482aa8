//! From a backend's failure to a finite reason.

use super::NoDataReason;

/// What a Prometheus-compatible server names as the class of an error (`errorType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorType {
    /// `bad_data`: the request cannot be understood.
    BadData,
    /// `execution`: the query failed, or exceeds a limit.
    Execution,
    /// `timeout`: the query took too long on the server.
    Timeout,
    /// `canceled`: the server gave up the query.
    Canceled,
    /// `internal`.
    Internal,
    /// `unavailable`: not ready.
    Unavailable,
    /// `not_found`.
    NotFound,
    /// `too_many_requests`, as Mimir and Cortex say it.
    TooManyRequests,
    /// Another word.
    Other,
}

impl ErrorType {
    /// The class of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        match name {
            "bad_data" => Self::BadData,
            "execution" => Self::Execution,
            "timeout" => Self::Timeout,
            "canceled" => Self::Canceled,
            "internal" => Self::Internal,
            "unavailable" => Self::Unavailable,
            "not_found" => Self::NotFound,
            "too_many_requests" => Self::TooManyRequests,
            _ => Self::Other,
        }
    }
}

/// The shape of an answer's data (`resultType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResultType {
    /// One sample per series.
    Vector,
    /// Several samples per series.
    Matrix,
    /// One number without a series.
    Scalar,
    /// A text.
    Text,
}

impl ResultType {
    /// The type of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "vector" => Some(Self::Vector),
            "matrix" => Some(Self::Matrix),
            "scalar" => Some(Self::Scalar),
            "string" => Some(Self::Text),
            _ => None,
        }
    }

    /// Whether it answers an instant query: a vector, or a scalar of a free query.
    #[must_use]
    pub const fn answers_instant(self) -> bool {
        matches!(self, Self::Vector | Self::Scalar)
    }

    /// Whether it answers a range query.
    #[must_use]
    pub const fn answers_range(self) -> bool {
        matches!(self, Self::Matrix)
    }
}

/// How asking a backend failed, without anything of its text that could hold a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackendFailure<'a> {
    /// No connection, or no answer in time.
    NoAnswer,
    /// An HTTP status other than success.
    Status {
        /// The status code.
        code: u16,
        /// The class and text of the error, if the body was Prometheus' JSON.
        error: Option<(ErrorType, &'a str)>,
    },
    /// Success, but the body is not Prometheus' JSON, is cut off, or is beyond our limit.
    Unreadable,
    /// Success with an error inside, as some gateways answer.
    Error(ErrorType, &'a str),
}

impl BackendFailure<'_> {
    /// The finite reason.
    #[must_use]
    pub fn reason(self) -> NoDataReason {
        match self {
            Self::NoAnswer => NoDataReason::BackendUnavailable,
            Self::Unreadable => NoDataReason::BadResponse,
            Self::Error(class, text) => of_class(class, text),
            Self::Status { code, error } => match (code, error) {
                // The code says it, whatever a gateway writes into the body.
                (401 | 403 | 407, _) => NoDataReason::BackendUnauthorized,
                (429, _) => NoDataReason::BackendThrottled,
                (413 | 414, _) => NoDataReason::QueryTooExpensive,
                (_, Some((class, text))) => of_class(class, text),
                (408 | 500.., None) => NoDataReason::BackendUnavailable,
                // 400 and 422 without Prometheus' JSON, redirects, a wrong path: something else answers.
                (_, None) => NoDataReason::BadResponse,
            },
        }
    }
}

fn of_class(class: ErrorType, text: &str) -> NoDataReason {
    match class {
        ErrorType::BadData => NoDataReason::QueryInvalid,
        ErrorType::Execution if exceeds_limit(text) => NoDataReason::QueryTooExpensive,
        ErrorType::Execution | ErrorType::Internal | ErrorType::Canceled => NoDataReason::QueryFailed,
        ErrorType::Timeout => NoDataReason::QueryTooExpensive,
        ErrorType::Unavailable => NoDataReason::BackendUnavailable,
        ErrorType::TooManyRequests => NoDataReason::BackendThrottled,
        ErrorType::NotFound | ErrorType::Other => NoDataReason::BadResponse,
    }
}

/// Limits have no class of their own: Prometheus loads "too many samples", Mimir, Cortex and Thanos say "limit" or
/// "exceeded".
fn exceeds_limit(text: &str) -> bool {
    ["too many samples", "limit", "exceed", "timed out"].iter().any(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn failures_have_the_reasons_of_the_catalogue() {
        let status = |code, error: Option<(&str, &'static str)>| BackendFailure::Status {
            code,
            error: error.map(|(class, text)| (ErrorType::from_name(class), text)),
        };
        for (failure, reason) in [
            (BackendFailure::NoAnswer, "BackendUnavailable"),
            (BackendFailure::Unreadable, "BadResponse"),
            (status(400, Some(("bad_data", "1:3: parse error: unexpected end of input"))), "QueryInvalid"),
            (status(400, None), "BadResponse"),
            (status(422, Some(("execution", "found duplicate series for the match group"))), "QueryFailed"),
            (
                status(
                    422,
                    Some(("execution", "query processing would load too many samples into memory in query execution")),
                ),
                "QueryTooExpensive",
            ),
            (status(503, Some(("timeout", "query timed out in expression evaluation"))), "QueryTooExpensive"),
            (status(503, Some(("unavailable", "Service Unavailable"))), "BackendUnavailable"),
            (status(503, None), "BackendUnavailable"),
            (status(502, None), "BackendUnavailable"),
            (status(500, Some(("internal", "block corrupt"))), "QueryFailed"),
            (status(500, None), "BackendUnavailable"),
            (status(429, None), "BackendThrottled"),
            (status(401, None), "BackendUnauthorized"),
            (status(403, Some(("bad_data", "no tenant"))), "BackendUnauthorized"),
            (status(413, None), "QueryTooExpensive"),
            (status(404, None), "BadResponse"),
            (status(302, None), "BadResponse"),
            (BackendFailure::Error(ErrorType::BadData, "parse error"), "QueryInvalid"),
        ] {
            assert_eq!(failure.reason().as_str(), reason, "{failure:?}");
        }
    }

    #[test]
    fn only_vectors_and_scalars_answer_instant_queries() {
        let answers = |name| ResultType::from_name(name).is_some_and(ResultType::answers_instant);
        assert!(answers("vector") && answers("scalar"));
        assert!(!answers("matrix") && !answers("string") && !answers("streams"));
        assert!(ResultType::Matrix.answers_range() && !ResultType::Vector.answers_range());
    }

    proptest! {
        #[test]
        fn every_status_has_a_reason(code: u16, class in "[a-z_]{0,12}", text in "\\PC{0,40}") {
            let _ = BackendFailure::Status { code, error: None }.reason();
            let _ = BackendFailure::Status { code, error: Some((ErrorType::from_name(&class), &text)) }.reason();
        }
    }
}

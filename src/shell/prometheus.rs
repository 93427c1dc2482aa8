//! A client of the Prometheus HTTP API, as far as queries need it.
//!
//! It follows no redirect and no proxy of its environment: the address in a `MetricsSource` is an administrator's word.
//! What a backend says ends up in statuses, so messages hold status codes and error classes, never bodies or addresses.

mod answer;
mod loaded;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, bail};
use reqwest::{
    Certificate, Client, Response, StatusCode, Url,
    header::{AUTHORIZATION, HeaderName, HeaderValue},
    redirect::Policy,
};

use self::answer::{Shape, Wanted};
use crate::{
    api::{MetricsSourceSpec, conditions::Reason},
    core::{
        engine::{Answer, Refusal},
        facts::{Instant, Span},
        rules,
        units::{Decimal, Value, ValueType},
    },
};

/// Largest answer, after decompression. Ten thousand series with a dozen labels each are about 3 MiB.
const MAX_ANSWER: usize = 8 * 1024 * 1024;
/// Time that a query may take when the source does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// Most queries that one source is asked at the same time, thus connections that are kept.
pub(super) const MOST_AT_ONCE: usize = 4;
/// How much longer we wait than we let the server compute, so that it can tell us that it gave up.
const PATIENCE: Duration = Duration::from_secs(1);
/// Largest bearer token.
const MAX_TOKEN: usize = 16 * 1024;

/// One query.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// `PromQL`.
    pub expr: &'a str,
    /// Evaluation time.
    pub at: Instant,
    /// `Some((start, step))`: a range query from `start` to `at`.
    pub range: Option<(Instant, Span)>,
    /// Labels that are kept of the answer; `None`: all of them.
    pub labels: Option<&'a Arc<[Box<str>]>>,
}

/// A Prometheus-compatible server.
#[derive(Debug)]
pub struct Backend {
    client: Client,
    instant: Url,
    range: Url,
    timeout: Duration,
    /// Whether it takes no forms: something in between allows GET only.
    gets: AtomicBool,
    tenant: Option<(HeaderName, HeaderValue)>,
    token: Option<TokenFile>,
}

impl Backend {
    /// A client of the server that `spec` describes. Bearer tokens are read from `credentials`.
    ///
    /// # Errors
    /// When the spec cannot be followed.
    pub fn new(spec: &MetricsSourceSpec, credentials: Option<&Path>) -> anyhow::Result<Self> {
        let timeout = timeout(spec)?;
        let prometheus = &spec.prometheus;
        let mut builder = http_client().timeout(timeout + PATIENCE).pool_max_idle_per_host(MOST_AT_ONCE);
        if let Some(bundle) = &prometheus.ca_bundle {
            let certificates =
                Certificate::from_pem_bundle(bundle.as_bytes()).ok().filter(|certificates| !certificates.is_empty());
            let Some(certificates) = certificates else {
                bail!("reading spec.prometheus.caBundle: it holds no PEM certificate")
            };
            builder = builder.tls_certs_only(certificates);
        }
        let tenant = prometheus.tenant_header.as_ref().map(|header| -> anyhow::Result<_> {
            let name = HeaderName::try_from(&header.name).context("reading spec.prometheus.tenantHeader.name")?;
            let mut value =
                HeaderValue::try_from(&header.value).context("reading spec.prometheus.tenantHeader.value")?;
            value.set_sensitive(true);
            Ok((name, value))
        });
        let token = match (&prometheus.credential, credentials) {
            (None, _) => None,
            (Some(name), Some(directory)) => Some(TokenFile::new(directory, name)?),
            (Some(name), None) => bail!("the operator has no directory of credentials to find {name:?} in"),
        };
        Ok(Self {
            client: builder.build().context("building an HTTP client")?,
            instant: endpoint(&prometheus.url, "query")?,
            range: endpoint(&prometheus.url, "query_range")?,
            timeout,
            gets: AtomicBool::new(false),
            tenant: tenant.transpose()?,
            token,
        })
    }

    /// Asks one question.
    ///
    /// # Errors
    /// When there is no usable answer; the reason tells why.
    pub async fn ask(&self, question: &Question<'_>) -> Answer {
        let mut form =
            vec![("query", question.expr.to_owned()), ("timeout", format!("{}ms", self.timeout.as_millis()))];
        let (url, shape) = match question.range {
            None => {
                form.push(("time", seconds(question.at)));
                (&self.instant, Shape::Vector)
            }
            Some((start, step)) => {
                form.push(("start", seconds(start)));
                form.push(("end", seconds(question.at)));
                form.push(("step", format!("{}ms", step.as_millis())));
                (&self.range, Shape::Matrix)
            }
        };
        let mut response = self.send(url, &form, self.gets.load(Ordering::Relaxed)).await?;
        if response.status() == StatusCode::METHOD_NOT_ALLOWED && !self.gets.swap(true, Ordering::Relaxed) {
            response = self.send(url, &form, true).await?;
        }
        let status = response.status();
        let body = read(response).await?;
        answer::read(status.as_u16(), &body, Wanted { shape, labels: question.labels })
    }

    /// Sends a form, or the same in the address: that is shorter than a query may be, but all that some proxies let through.
    async fn send(&self, url: &Url, form: &[(&str, String)], get: bool) -> Result<Response, Refusal> {
        let mut request = if get {
            let mut url = url.clone();
            url.query_pairs_mut().extend_pairs(form);
            self.client.get(url)
        } else {
            self.client.post(url.clone()).form(form)
        };
        if let Some((name, value)) = &self.tenant {
            request = request.header(name, value);
        }
        if let Some(file) = &self.token {
            request = request.header(AUTHORIZATION, file.header().await?);
        }
        request.send().await.map_err(|error| unreachable(&error))
    }
}

impl Backend {
    /// Which rules of ours are loaded: a series for each.
    ///
    /// # Errors
    /// When there is no usable answer; the reason tells why.
    pub async fn loaded_rules(&self) -> Answer {
        let mut url = self.instant.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop().push("rules");
        }
        url.query_pairs_mut()
            .append_pair("exclude_alerts", "true")
            .extend_pairs(rules::RULE_NAMES.iter().map(|name| ("rule_name[]", name)));
        let mut request = self.client.get(url);
        if let Some((name, value)) = &self.tenant {
            request = request.header(name, value);
        }
        if let Some(file) = &self.token {
            request = request.header(AUTHORIZATION, file.header().await?);
        }
        let response = request.send().await.map_err(|error| unreachable(&error))?;
        let status = response.status();
        let body = read(response).await?;
        loaded::read(status.as_u16(), &body)
    }
}

/// The series in a text that a server answered a range query with.
///
/// # Errors
/// When it is no such answer.
pub fn matrix(body: &[u8]) -> Answer {
    answer::read(200, body, Wanted { shape: Shape::Matrix, labels: None })
}

/// What all our HTTP clients have in common.
pub(super) fn http_client() -> reqwest::ClientBuilder {
    Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .user_agent(concat!("trimtab/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(5))
        .pool_idle_timeout(Duration::from_secs(90))
        .tcp_keepalive(Duration::from_secs(30))
}

fn timeout(spec: &MetricsSourceSpec) -> anyhow::Result<Duration> {
    let Some(text) = &spec.timeout else { return Ok(DEFAULT_TIMEOUT) };
    let value = Value::parse(ValueType::Duration, text).context("reading spec.timeout")?;
    let seconds = value.amount().map(Decimal::as_f64).filter(|seconds| (0.001..=3600.0).contains(seconds));
    let Some(seconds) = seconds else { bail!("spec.timeout is {text:?}; it must lie between 1ms and 1h") };
    Ok(Duration::from_secs_f64(seconds))
}

fn endpoint(base: &str, path: &str) -> anyhow::Result<Url> {
    let url: Url =
        format!("{}/api/v1/{path}", base.trim_end_matches('/')).parse().context("reading spec.prometheus.url")?;
    if !matches!(url.scheme(), "http" | "https") || !url.username().is_empty() || url.password().is_some() {
        bail!("spec.prometheus.url must be an http or https URL without credentials");
    }
    Ok(url)
}

/// A mounted file with a bearer token.
#[derive(Debug)]
struct TokenFile {
    name: String,
    path: PathBuf,
}

impl TokenFile {
    fn new(directory: &Path, name: &str) -> anyhow::Result<Self> {
        // The schema says so, too, but a file name decides what we read and send away.
        if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\', '\0']) {
            bail!("spec.prometheus.credential must be the plain name of a mounted file");
        }
        Ok(Self { name: name.to_owned(), path: directory.join(name) })
    }

    /// The header with the token as it is in the file now: the kubelet replaces the file when the Secret changes.
    async fn header(&self) -> Result<HeaderValue, Refusal> {
        let refuse = |why: &str| Refusal {
            reason: Reason::BackendUnauthorized,
            message: format!("credential {:?}: {why}", self.name),
        };
        let text = tokio::fs::read_to_string(&self.path).await.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => refuse("it is not mounted"),
            io::ErrorKind::PermissionDenied => refuse("the operator may not read it"),
            _ => refuse("it cannot be read"),
        })?;
        let token = text.trim();
        let header = HeaderValue::try_from(format!("Bearer {token}")).ok();
        let Some(mut header) = header.filter(|_| !token.is_empty() && token.len() <= MAX_TOKEN) else {
            return Err(refuse("it holds no token"));
        };
        header.set_sensitive(true);
        Ok(header)
    }
}

fn unreachable(error: &reqwest::Error) -> Refusal {
    let message = if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "cannot connect"
    } else {
        "the connection was closed without an answer"
    };
    Refusal { reason: Reason::BackendUnavailable, message: message.to_owned() }
}

async fn read(mut response: Response) -> Result<Vec<u8>, Refusal> {
    let status = response.status();
    let bad =
        |what: &str| Refusal { reason: Reason::BadResponse, message: format!("HTTP {}: {what}", status.as_u16()) };
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > MAX_ANSWER => {
                // The backend is well: this one query is too much, and is asked less often.
                let message = "the answer is larger than 8 MiB".to_owned();
                return Err(Refusal { reason: Reason::QueryTooExpensive, message });
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(body),
            Err(error) if error.is_timeout() => return Err(unreachable(&error)),
            // The status already says why there is nothing to read.
            Err(_) if status != StatusCode::OK => return Ok(body),
            Err(_) => return Err(bad("the answer is truncated")),
        }
    }
}

fn seconds(instant: Instant) -> String {
    let millis = instant.millis();
    format!("{}.{:03}", millis.div_euclid(1000), millis.rem_euclid(1000))
}

#[cfg(test)]
mod tests;

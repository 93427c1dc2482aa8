//! Takes part in the election of the replica that acts.
//!
//! The decision is `core::lease`. This task looks at the Lease, writes itself into it, and tells when leadership begins.
//! A leader that cannot renew in time ends: what it had begun is harmless (every write carries a resource version), but
//! it must begin nothing more.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use anyhow::bail;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{
    Api, Client,
    api::{PostParams, ResourceExt as _},
};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tracing::{debug, info, warn};

use super::{
    clock::{self, Stopwatch},
    execute::describe,
};
use crate::{
    api::names,
    core::{
        facts::{Instant, Span},
        lease::{Decision, Observation, Record},
    },
};

/// How the election is timed.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Silence of a leader after which another replica takes over.
    pub duration: Duration,
    /// Time between two renewals. Standby replicas look twice as often, so that a released Lease is taken at once.
    pub renew: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self { duration: Duration::from_secs(15), renew: Duration::from_secs(5) }
    }
}

impl Timing {
    /// How long a leader acts without a renewal. A third of the duration remains for clocks that do not run alike, and for requests
    /// that are under way; what takes longer carries the version that it was decided on.
    fn trust(self) -> Duration {
        self.duration * 2 / 3
    }
}

/// Until when this replica may begin a write, as the last renewal of its Lease has it.
///
/// The election extends it, and whoever is about to send a request looks at it at that moment: a process that stood still for a
/// while, and goes on where it was, must not send what it had decided before, because another replica may lead by now.
#[derive(Clone, Debug)]
pub struct Tenure {
    stopwatch: Stopwatch,
    /// Milliseconds on the stopwatch.
    until: Arc<AtomicI64>,
}

impl Tenure {
    /// Of a replica that takes part in an election, and has yet to win it.
    #[must_use]
    pub fn elected() -> Self {
        Self { stopwatch: Stopwatch::start(), until: Arc::new(AtomicI64::new(i64::MIN)) }
    }

    /// Of a process that is the only one.
    #[must_use]
    pub fn alone() -> Self {
        Self { stopwatch: Stopwatch::start(), until: Arc::new(AtomicI64::new(i64::MAX)) }
    }

    fn extend(&self, until: Instant) {
        self.until.store(until.millis(), Ordering::Release);
    }

    /// Whether nothing more may be begun.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.stopwatch.now().millis() >= self.until.load(Ordering::Acquire)
    }
}

/// Takes part in the election of the replica that acts.
pub struct Candidate {
    api: Api<Lease>,
    me: String,
    timing: Timing,
    tenure: Tenure,
    stopwatch: Stopwatch,
    seen: Observation,
    /// The Lease as the server returned it last: what a write starts from.
    lease: Option<Lease>,
}

impl std::fmt::Debug for Candidate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Candidate").field("me", &self.me).field("timing", &self.timing).finish_non_exhaustive()
    }
}

impl Candidate {
    /// A candidate named `me` for the Lease in `namespace`, which extends `tenure` as long as it leads.
    #[must_use]
    pub fn new(client: Client, namespace: &str, me: &str, timing: Timing, tenure: Tenure) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            me: me.to_owned(),
            timing,
            stopwatch: tenure.stopwatch,
            tenure,
            seen: Observation::default(),
            lease: None,
        }
    }

    /// Takes part until `stop` turns true, then gives the Lease back. `leads` follows what this replica is.
    ///
    /// # Errors
    /// When leadership was lost. The process must end then.
    pub async fn run(mut self, leads: watch::Sender<bool>, mut stop: watch::Receiver<bool>) -> anyhow::Result<()> {
        let lost = tokio::select! {
            lost = self.take_part(&leads) => lost,
            _ = stop.wait_for(|stop| *stop) => Ok(()),
        };
        let led = leads.send_replace(false);
        // What has begun goes on; nothing begins.
        self.tenure.extend(Instant::default());
        lost?;
        if led {
            self.release().await;
        }
        Ok(())
    }

    async fn take_part(&mut self, leads: &watch::Sender<bool>) -> anyhow::Result<()> {
        // Until when this replica may act, if it leads.
        let mut trusted: Option<Instant> = None;
        loop {
            let began = self.stopwatch.now();
            let patience =
                trusted.map_or(self.timing.renew, |until| duration(until.since(began)).min(self.timing.renew));
            match timeout(patience, self.turn()).await {
                Ok(Ok(true)) => {
                    // From before the request: the server may have counted from then.
                    let until = began + span(self.timing.trust());
                    trusted = Some(until);
                    self.tenure.extend(until);
                    if leads.send_if_modified(|leads| !std::mem::replace(leads, true)) {
                        info!(identity = self.me, "leading");
                    }
                    sleep(self.timing.renew).await;
                }
                Ok(Ok(false)) if trusted.is_some() => bail!("another replica has taken the lease"),
                Ok(Ok(false)) => sleep(self.timing.renew / 2).await,
                Ok(Err(error)) => {
                    warn!(error = describe(&error), "cannot look after the lease");
                    self.forget();
                    sleep(self.timing.renew / 5).await;
                }
                Err(_elapsed) => {
                    warn!("the API server does not answer about the lease");
                    self.forget();
                }
            }
            if trusted.is_some_and(|until| self.stopwatch.now() >= until) {
                bail!("the lease could not be renewed for {} s", self.timing.trust().as_secs());
            }
        }
    }

    /// Looks once, and writes if it is our turn. Whether we lead now.
    async fn turn(&mut self) -> kube::Result<bool> {
        // A leader knows the Lease from its own last write; everybody else has to look.
        let ours = self.lease.as_ref().is_some_and(|lease| holder(lease) == Some(&self.me));
        if !ours {
            self.look().await?;
        }
        match self.seen.decide(&self.me, self.stopwatch.now()) {
            Decision::Wait(free) => {
                debug!(holder = self.lease.as_ref().and_then(holder), free = free.millis(), "standing by");
                Ok(false)
            }
            Decision::Create | Decision::Acquire | Decision::Renew => self.hold().await,
        }
    }

    async fn look(&mut self) -> kube::Result<()> {
        let lease = self.api.get_opt(names::LEASE).await?;
        self.note(lease);
        Ok(())
    }

    fn note(&mut self, lease: Option<Lease>) {
        self.seen.see(lease.as_ref().map(record), self.stopwatch.now());
        self.lease = lease;
    }

    /// What we know of the Lease may no longer be so: look again before the next write.
    fn forget(&mut self) {
        self.lease = None;
    }

    /// Writes ourselves into the Lease. Somebody else may have been faster: then we do not lead.
    async fn hold(&mut self) -> kube::Result<bool> {
        let lease = held(self.lease.as_ref(), &self.me, self.timing.duration);
        let written = match &self.lease {
            None => self.api.create(&PostParams::default(), &lease).await,
            // It carries the resource version that we saw.
            Some(_) => self.api.replace(names::LEASE, &PostParams::default(), &lease).await,
        };
        match written {
            Ok(lease) => {
                self.note(Some(lease));
                Ok(true)
            }
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => {
                // Our own earlier write may have been carried out although its answer was lost: look who it was.
                self.look().await?;
                Ok(self.lease.as_ref().and_then(holder) == Some(&self.me))
            }
            Err(error) => Err(error),
        }
    }

    async fn release(&mut self) {
        let Some(lease) = &self.lease else { return };
        let released = released(lease);
        let params = PostParams::default();
        let write = self.api.replace(names::LEASE, &params, &released);
        match timeout(self.timing.renew, write).await {
            Ok(Ok(_)) => info!("released the lease"),
            Ok(Err(error)) => warn!(error = describe(&error), "cannot release the lease; it ends by itself"),
            Err(_elapsed) => warn!("cannot release the lease in time; it ends by itself"),
        }
    }
}

fn holder(lease: &Lease) -> Option<&String> {
    lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_ref())
}

fn record(lease: &Lease) -> Record {
    let spec = lease.spec.clone().unwrap_or_default();
    Record {
        holder: spec.holder_identity,
        version: lease.resource_version().unwrap_or_default(),
        duration: Span::seconds(spec.lease_duration_seconds.unwrap_or_default().into()),
    }
}

/// The Lease with `me` as its holder.
fn held(lease: Option<&Lease>, me: &str, duration: Duration) -> Lease {
    let now = MicroTime(clock::timestamp());
    let spec = lease.and_then(|lease| lease.spec.clone()).unwrap_or_default();
    let stays = spec.holder_identity.as_deref() == Some(me);
    let transitions = spec.lease_transitions.unwrap_or_default();
    Lease {
        metadata: lease.map_or_else(
            || ObjectMeta { name: Some(names::LEASE.to_owned()), ..ObjectMeta::default() },
            |lease| lease.metadata.clone(),
        ),
        spec: Some(LeaseSpec {
            holder_identity: Some(me.to_owned()),
            lease_duration_seconds: Some(i32::try_from(duration.as_secs().max(1)).unwrap_or(i32::MAX)),
            acquire_time: if stays { spec.acquire_time } else { Some(now.clone()) },
            renew_time: Some(now),
            lease_transitions: Some(if stays || lease.is_none() { transitions } else { transitions.saturating_add(1) }),
            ..spec
        }),
    }
}

/// The Lease without a holder.
fn released(lease: &Lease) -> Lease {
    let spec = lease.spec.clone().unwrap_or_default();
    Lease {
        metadata: lease.metadata.clone(),
        // An empty name and one second, as `client-go` leaves it: a missing name means the same, but not to everybody.
        spec: Some(LeaseSpec { holder_identity: Some(String::new()), lease_duration_seconds: Some(1), ..spec }),
    }
}

fn span(duration: Duration) -> Span {
    Span::millis(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
}

fn duration(span: Span) -> Duration {
    Duration::from_millis(u64::try_from(span.as_millis()).unwrap_or(0))
}

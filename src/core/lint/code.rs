//! Every kind of finding: its number, its name, and what to do about it. `docs/lint.md` is made of this table.

use std::fmt;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; nothing is wrong.
    Info,
    /// The policy can be served, and does not do what its author wants.
    Warning,
    /// The policy cannot be served, or the application cannot run as it says.
    Error,
}

impl Severity {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

macro_rules! codes {
    ($($number:ident $variant:ident $severity:ident $name:literal $cause:literal $cure:literal)+) => {
        /// A kind of finding. A number never changes its meaning, and is not used again when its rule goes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(missing_docs, reason = "the table says what each is")]
        pub enum Code { $($variant),+ }

        impl Code {
            /// Every code, by number.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The number, such as `TT0012`.
            #[must_use]
            pub const fn number(self) -> &'static str {
                match self { $(Self::$variant => stringify!($number)),+ }
            }

            /// The name, such as `formula-mistake`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// How bad it is.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity),+ }
            }

            /// What goes wrong, and why.
            #[must_use]
            pub const fn cause(self) -> &'static str {
                match self { $(Self::$variant => $cause),+ }
            }

            /// What to do.
            #[must_use]
            pub const fn cure(self) -> &'static str {
                match self { $(Self::$variant => $cure),+ }
            }
        }
    };
}

codes! {
    TT0001 Unreadable Error "unreadable"
        "A field does not exist, is missing, or is of another type than the definition of the kind says. The API server would refuse the object, or drop the field."
        "`kubectl explain performancepolicy.spec --recursive` lists every field."
    TT0002 UnquotedLiteral Error "unquoted-literal"
        "YAML reads `0.75` and `true` as a float and a boolean, but a value of a policy is a whole number or text."
        "Put the value in quotes: `\"0.75\"`, `\"true\"`."
    TT0003 SuppressionUnreadable Warning "suppression-unreadable"
        "A comment begins with `trimtab-lint:`, but names a code that does not exist, gives no reason, or says something else than `allow` and `allow-file`."
        "Write `# trimtab-lint: allow TT0023 the reason`, on the line or above it, or `allow-file` for the whole file."
    TT0004 SuppressionUnused Warning "suppression-unused"
        "A comment allows something that is not found there (any more), and would hide it when it comes back."
        "Take the comment away."

    TT0010 InvalidSpec Error "invalid-spec"
        "A literal cannot be read, or a rule of the spec is broken. The operator would answer `Accepted=False`."
        "Change what the message names."
    TT0011 BoundsInverted Error "bounds-inverted"
        "A lower bound lies above its upper bound, or a value outside of them."
        "Put the numbers in order."
    TT0012 FormulaMistake Error "formula-mistake"
        "A formula cannot be read, adds one unit to another, reads what does not exist, or follows from itself. It has no value, whatever the numbers are."
        "Change the formula. Numbers need units where bytes or seconds are meant: `= limits.memory - 600Mi`."
    TT0013 FormulaFailed Error "formula-without-value"
        "A formula is well formed, but has no value for these numbers, or one that its field cannot have."
        "Change the numbers that it follows from, or give it `min` and `max`."
    TT0014 Forbidden Error "forbidden"
        "The policy sets what no policy may set, such as an environment variable by which code is injected."
        "Use another landing place; what a class forbids, an administrator can allow."
    TT0015 Refused Error "refused"
        "The policy is refused for another reason, which the message names."
        "Change what the message names."

    TT0020 BudgetExceeded Error "budget-exceeded"
        "The pools of all pods together can open more connections than the database gives away. The last pods get errors instead of connections, always in the busiest hour."
        "Smaller pools, fewer processes or pods, or a pooler in between. A formula keeps it true: `= floor(80 / (workers.web.count * replicas.max))`."
    TT0021 BudgetExceededInRollout Error "budget-exceeded-in-rollout"
        "At rest the connections suffice, but during a rollout the surge and the terminating pods hold theirs as well."
        "Smaller pools, fewer pods, or `maxSurge: 0` in the workload's strategy; `drains: true` in the budget's share if the application closes its pool when it is told to end."
    TT0022 PoolerExceedsDatabase Error "pooler-exceeds-database"
        "The pooler of a budget may open more connections than the database accepts, so the budget holds nothing, whatever pools ask for."
        "Lower `pooler.servers`, and `default_pool_size` of the pooler with it."
    TT0023 PoolWaitHides Warning "pool-wait-hides"
        "A request waits for a connection longer than any latency target allows. An exhausted pool then shows as slow requests instead of errors."
        "Fail fast: `acquireTimeout` at most the latency target less the time that the request itself needs."
    TT0024 PoolWaitsForEver Warning "pool-waits-for-ever"
        "An acquire timeout of zero is no timeout in most pools: requests queue for ever behind a database that does not answer."
        "Set a timeout below the latency target."
    TT0025 IdleNeverReached Warning "idle-never-reached"
        "A connection reaches the age at which it is replaced before it has been idle long enough to be closed, so `idleTimeout` does nothing."
        "`idleTimeout` < `maxLifetime` < the idle timeout of server and proxies."
    TT0026 OneDatabaseTwice Warning "one-database-twice"
        "Two budgets of one namespace read their capacity in the same place, so they seem to be of one database: each gives all of it away."
        "Let the pools name one budget; or tell the databases apart by `capacity.metric.labels`; or share the capacity out, and name the other budget's part in `others`."

    TT0030 CacheNotCarried Warning "cache-not-carried"
        "A cache is described, but none of its numbers lands anywhere: nothing shows that the application has such a cache (`functools.lru_cache` on an `async def`, for one, keeps coroutines, which can be awaited only once)."
        "Give `ttl`, `maxEntries` or `maxBytes` a landing place that the application reads, or take the cache out."
    TT0031 CacheTiersDecrease Warning "cache-tiers-decrease"
        "An outer cache forgets sooner than the one in front of it. It is asked only when the inner one has expired, and then has expired, too."
        "Times to live must not decrease from the process outward: in process ≤ shared ≤ disk."

    TT0032 CachesExceedMemory Error "caches-exceed-memory"
        "Caches inside of the processes, filled to their size, take more than the container may use: it is killed when they are warm."
        "Smaller caches, or one that is shared."

    TT0040 WorkersOversubscribed Warning "workers-oversubscribed"
        "There are more than four processes per core of the CPU limit. They are throttled instead of working in parallel; often the number was taken from the node's cores, which a container sees but may not use."
        "CPU-bound: one per core of the limit; waiting for I/O: two to three: `= 2 * ceil(limits.cpu) + 1`."
    TT0041 WorkersNotTold Warning "workers-not-told"
        "The number of workers follows from the CPU limit here, but the application asks its runtime for it, and `cpu_count()`, `os.cpus()` and `nproc` give the node's CPUs, not the limit."
        "Give the count a landing place (`env`), or tell the runtime: `PYTHON_CPU_COUNT`, `GOMAXPROCS`, `-XX:ActiveProcessorCount`."
    TT0042 WorkersOffTheRule Info "workers-off-the-rule"
        "A fixed number of gunicorn workers is another one than gunicorn's own rule gives for this CPU limit, and does not follow when the limit changes."
        "`= 2 * ceil(limits.cpu) + 1`, or a suppression that says where the number was measured."
    TT0043 ArgumentWins Warning "argument-wins"
        "A flag in the container's command line beats the environment variable that the policy sets, which then does nothing."
        "Take the flag out of the manifest, or let the knob land in `arg`."

    TT0044 WorkersExceedMemory Error "workers-exceed-memory"
        "All workers together take more memory than the container may use: it is killed under load."
        "`= floor((0.9 * limits.memory - 200Mi) / workers.web.memoryPerWorker)`, at most what the cores are good for."

    TT0050 JvmRequestTooSmall Warning "jvm-request-too-small"
        "With `AlwaysPreTouch` the JVM touches the whole initial heap at start. The scheduler sets aside less than that, so the node runs out of memory although everything fits on paper."
        "Memory request ≥ (`-Xms` + non-heap) × processes."
    TT0051 JvmLimitTooSmall Error "jvm-limit-too-small"
        "Heap and non-heap (metaspace, threads, code, buffers) of all processes together exceed the memory limit: the container is killed when the heaps fill."
        "`-Xmx` ≤ limit / processes − non-heap: `= limits.memory - 600Mi`, or `= limits.memory / workers.web.count - 600Mi`."
    TT0052 NodeHeapTooLarge Error "node-heap-too-large"
        "The old space of all Node.js processes together needs more than the memory limit: V8 wants 20–25 % beside it for code, buffers and young space."
        "`max-old-space-size` × processes ≤ 75–80 % of the limit."
    TT0053 AddressSpaceLimit Warning "address-space-limit"
        "`RLIMIT_AS` limits the address space, not resident memory. Runtimes reserve far more than they use, so the limit breaks what would fit, or limits nothing."
        "Use the container's memory limit."

    TT0060 WorkMemTooLarge Warning "work-mem-too-large"
        "Every connection may take `work_mem` several times over. With this many connections that is more memory than `shared_buffers` leaves: (RAM − shared_buffers) / ((max_connections + max_worker_processes) × 3)."
        "Lower `work_mem` or `max_connections`; whoever raises one must lower the other."
    TT0061 SharedBuffersTooLarge Warning "shared-buffers-too-large"
        "`shared_buffers` above 40 % of the memory takes it from the operating system's cache, which PostgreSQL relies on."
        "25 % of the memory."
    TT0062 CacheLargerThanMemory Warning "cache-larger-than-memory"
        "`effective_cache_size` tells the planner of more cache than the machine has memory, so it prefers index scans that go to disk."
        "75 % of the memory."

    TT0070 StreamAgeNeverReached Warning "stream-age-never-reached"
        "At the stated rate a stream reaches its limit of messages or bytes long before its oldest message reaches `maxAge`: it keeps minutes where days are promised."
        "Raise `maxMsgs` and `maxBytes` to rate × `maxAge`, or promise the age that fits."
    TT0071 StreamDurationSpelling Error "stream-duration-spelling"
        "The JetStream controller (nack) parses `maxAge` as a Go duration, which knows no days: `7d` is an error."
        "Write hours: `168h`; in a knob, `as: go`."
    TT0072 StreamSizeSpelling Error "stream-size-spelling"
        "`maxBytes`, `maxMsgs` and `maxMsgSize` of a JetStream stream are whole numbers, not sizes such as `10GB`."
        "Write the number of bytes: `10000000000`; in a knob, `as: bytes`."

    TT0080 LoadContradictsTarget Warning "load-contradicts-target"
        "By Little's law users / rate = response time + think time. The mean response time that follows from the load is not below the target, so the target cannot hold under that load."
        "Fewer users, a higher rate, think time, or another target."
    TT0081 LoadImpossible Warning "load-impossible"
        "By Little's law users / rate = response time + think time. These users cannot make that many requests, even if every answer took no time at all."
        "More users, a lower rate, or less think time."

    TT0090 SeveritiesInverted Warning "severities-inverted"
        "A milder severity is reached later than a worse one, so nobody is warned before it is critical."
        "Order the bounds: info, warning, critical."
    TT0091 NeverBreached Warning "never-breached"
        "The bound lies where no reading can be, such as a share above 100 %: the threshold never speaks."
        "Move the bound, or take the level out."
    TT0092 OffBucket Info "off-bucket"
        "The bound is no edge of a bucket of this histogram (the standard edges of OpenTelemetry), so what is compared is interpolated between edges."
        "Choose an edge, or add one to the application's histogram."
    TT0093 HoldTooShort Info "hold-too-short"
        "`for` is shorter than the interval between two readings (30 s unless the operator is told otherwise): one reading decides."
        "At least two intervals, or leave `for` out."
    TT0094 WindowTooShort Info "window-too-short"
        "A rate needs two samples in its window, and one is missed now and then. Windows below one minute give gaps at usual scrape intervals."
        "At least four scrape intervals; 5m is the default."
    TT0095 QuantilePerPod Warning "quantile-per-pod"
        "`histogram_quantile` over buckets that are not summed by `le` gives one percentile per pod, and a mean of percentiles is no percentile: neither is the service's."
        "`histogram_quantile(0.95, sum by (le) (rate(NAME_bucket[5m])))`."
    TT0096 QuantileOutOfRange Error "quantile-out-of-range"
        "A quantile is a share from 0 to 1. Outside of it Prometheus answers ±Inf."
        "`0.95` for the 95th percentile."
    TT0097 RateOfGauge Warning "rate-of-gauge"
        "`rate`, `irate` and `increase` are for counters. Every fall of a gauge is taken for a restart, so the result is nonsense."
        "`deriv` or `delta` for gauges."
    TT0098 RateOfSum Warning "rate-of-sum"
        "A rate over an aggregate does not see the restarts of single counters, and PromQL only takes it over a subquery."
        "Aggregate the rates: `sum(rate(…))`, not `rate(sum(…))`."

    TT0099 ReadbackUnitUnclear Warning "readback-unit-unclear"
        "The value is written in a part of a unit, and the name of the gauge that tells it back has none: it is compared in the whole unit, so that a value which is in force would be called `NotApplied`."
        "Name a gauge with a unit, such as `timeout_seconds`, or say what it counts in: `effective: {gauge: timeout, unit: milliseconds}`."

    TT0100 StatusesNotMonotone Warning "statuses-not-monotone"
        "The status of a row is no function of current / target: a row that is further from its target has a better word than one that is nearer."
        "Let `statuses` decide, and override only where the reason is in the row."

    TT0105 AbsentUntilItHappens Info "absent-until-it-happens"
        "Most libraries export a counter with a label for an outcome, such as `code=\"500\"`, only after it has happened once. Until then no series answers, which is `NoData` and not zero, and raises an alert of its own."
        "Name a `heartbeat` that is there as long as the application is, such as the counter of all requests: then what never happened is zero. A `ratio` of one counter needs none."

    TT0110 Unbounded Info "unbounded"
        "Zero and minus one mean \"no limit\" to most libraries. An operation without a limit is one that fails on the largest input."
        "Set a number."
    TT0111 ProbeTimeoutAbovePeriod Warning "probe-timeout-above-period"
        "A probe may take longer than the time until the next one, so a slow pod is found out later than the period says."
        "`timeoutSeconds` ≤ `periodSeconds`."
}

impl Code {
    /// Whether it is what the operator itself would refuse.
    #[must_use]
    pub const fn is_refusal(self) -> bool {
        matches!(
            self,
            Self::InvalidSpec
                | Self::BoundsInverted
                | Self::FormulaMistake
                | Self::FormulaFailed
                | Self::Forbidden
                | Self::Refused
        )
    }

    /// The code of that number or name, in any case.
    #[must_use]
    pub fn find(text: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|code| code.number().eq_ignore_ascii_case(text) || code.name().eq_ignore_ascii_case(text))
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.number())
    }
}

/// The table as a page of documentation.
#[must_use]
pub fn markdown() -> String {
    let mut page = String::from(
        "# What `trimtab lint` finds\n\n\
         <!-- Generated from src/core/lint/code.rs. Do not edit: `make golden` writes it again. -->\n\n\
         `trimtab lint -f FILES` reads policies and whatever stands beside them, without a cluster. Codes are stable: scripts and\n\
         suppressions may rely on them. `trimtab lint --explain TT0012` prints one. Severities: **error**, the policy cannot be\n\
         served or the application cannot run so; **warning**, it does not do what its author wants; **info**, worth knowing.\n\n\
         To allow a finding, say why, on its line or above it (then it holds for everything that begins there), or once for the file:\n\n\
         ```yaml\n\
         # trimtab-lint: allow TT0023 the batch may wait\n\
         # trimtab-lint: allow-file TT0042 measured in March\n\
         ```\n\n\
         | code | name | severity |\n|---|---|---|\n",
    );
    for code in Code::ALL {
        page.push_str(&format!("| [{code}](#{}) | {} | {} |\n", anchor(*code), code.name(), code.severity()));
    }
    for code in Code::ALL {
        page.push_str(&format!(
            "\n## {code} {}\n\n**{}.** {}\n\n*Cure:* {}\n",
            code.name(),
            code.severity(),
            code.cause(),
            code.cure()
        ));
    }
    page
}

/// The anchor that renderers make of a code's heading.
#[must_use]
pub fn anchor(code: Code) -> String {
    format!("{}-{}", code.number().to_lowercase(), code.name())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn numbers_and_names_are_unique_and_in_order() {
        assert!(Code::ALL.is_sorted_by_key(|code| code.number()));
        let names: BTreeSet<_> = Code::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(names.len(), Code::ALL.len());
        for code in Code::ALL {
            let digits = code.number().strip_prefix("TT").unwrap();
            assert!(digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit()), "{code}");
            assert_eq!((Code::find(code.number()), Code::find(code.name())), (Some(*code), Some(*code)));
            for text in [code.cause(), code.cure()] {
                assert!(text.ends_with('.'), "{code}: a sentence ends with a full stop: {text}");
            }
        }
    }
}

//! CEL rules and bounds that several fields share, as schema transforms: `#[schemars(transform = rules::dns_label)]`.
//!
//! The API server runs these rules at admission, so they say in our words what is wrong with a document before anything
//! of it is stored. They are a first net and never the only one: `core` reads every literal again, exactly. Where the two
//! could differ (a comparison in floating point, two spellings of one amount) a rule lets the document through.
//!
//! A rule that becomes stricter in a later version does not lock anybody out: the API server checks a stored object only
//! where an update changes it (ratcheting).

use kube::core::{Rule, validate};
use schemars::Schema;
use serde_json::{Value, json};

/// A whole number. Eighteen digits fit 64 bits.
const WHOLE: &str = "^-?[0-9]{1,18}$";
/// A decimal number, as exact as `core::units::Decimal` keeps one.
const DECIMAL: &str = "^-?[0-9]{1,18}([.][0-9]{1,9})?$";
/// One number and one unit of time.
const DURATION: &str = "^-?[0-9]{1,9}([.][0-9]{1,9})?(ms|s|m|h|d)$";
/// A number of bytes with or without a unit.
const SIZE: &str = "^[0-9]{1,18}([.][0-9]{1,9})?(B|(k|M|G|T|Ki|Mi|Gi|Ti)B?)?$";
/// A share, as percentage or as number.
const SHARE: &str = "^[0-9]{1,3}([.][0-9]{1,9})?%?$";
/// Any amount that two literals can be compared by.
const AMOUNT: &str = "^-?[0-9]{1,18}([.][0-9]{1,9})?(%|ms|s|m|h|d|B?|(k|M|G|T|Ki|Mi|Gi|Ti)B?)(/s)?$";

const DNS_LABEL: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
const OBJECT_NAME: &str = "^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$";
/// The name of a kernel parameter, its parts separated by dots.
const SYSCTL: &str = "^[a-z0-9]([-_a-z0-9]*[a-z0-9])?([.][a-z0-9]([-_a-z0-9]*[a-z0-9])?)+$";
const LABEL_NAME: &str = "^[a-zA-Z_][a-zA-Z0-9_]*$";

/// Adds `rule` with `message` to a schema. A rule is plain text, so it always has a JSON form.
fn add(schema: &mut Schema, rule: impl Into<String>, message: &str) {
    let added = validate(schema, Rule::new(rule).message(message));
    debug_assert!(added.is_ok(), "the rule {message:?} has no JSON form");
}

/// Sets a keyword of a schema.
fn set(schema: &mut Schema, keyword: &str, value: impl Into<Value>) {
    schema.ensure_object().insert(keyword.to_owned(), value.into());
}

/// The units of a duration, in milliseconds.
const DURATION_UNITS: &str = "{'ms': 1.0, 's': 1e3, 'm': 6e4, 'h': 36e5, 'd': 864e5}";
/// The units of a size, in bytes.
const SIZE_UNITS: &str = "{'': 1.0, 'k': 1e3, 'M': 1e6, 'G': 1e9, 'T': 1e12, 'Ki': 1024.0, 'Mi': 1048576.0, 'Gi': \
                          1073741824.0, 'Ti': 1099511627776.0}";
/// Every unit, each in the base unit of its family.
const ALL_UNITS: &str = "{'': 1.0, '%': 0.01, 'ms': 1.0, 's': 1e3, 'm': 6e4, 'h': 36e5, 'd': 864e5, 'k': 1e3, 'M': 1e6, \
                         'G': 1e9, 'T': 1e12, 'Ki': 1024.0, 'Mi': 1048576.0, 'Gi': 1073741824.0, 'Ti': 1099511627776.0}";

/// A family of literals that can be compared.
#[derive(Clone, Copy)]
struct Family {
    /// What its texts look like.
    pattern: &'static str,
    /// The CEL expression for the amount in the text `v`, which must match `pattern`.
    amount: fn(&str) -> String,
}

const COUNTS: Family = Family { pattern: WHOLE, amount: |v| format!("double({v})") };
const DURATIONS: Family = Family {
    pattern: DURATION,
    amount: |v| format!("double({v}.find('^[-0-9.]+')) * {DURATION_UNITS}[{v}.find('[a-z]+$')]"),
};
const SIZES: Family = Family {
    pattern: SIZE,
    amount: |v| format!("double({v}.find('^[0-9.]+')) * {SIZE_UNITS}[{v}.find('[A-Za-z]*$').replace('B', '')]"),
};
const AMOUNTS: Family = Family {
    pattern: AMOUNT,
    amount: |v| {
        let unit = "find('[a-zA-Z%]*(/s)?$').replace('/s', '').replace('B', '')";
        format!("double({v}.find('^[-0-9.]+')) * {ALL_UNITS}[{v}.{unit}]")
    },
};

impl Family {
    /// The rule that each pair of literals that can be compared is in order.
    ///
    /// `pairs` is a CEL list of lists of at most two literals. Products of decimals are not exact: one millionth of slack
    /// accepts `1005ms` as a lower bound of `1.005s`.
    fn ordered(self, pairs: &str) -> String {
        let Self { pattern, amount } = self;
        let amount = amount("v");
        format!(
            "{pairs}.map(p, p.map(v, string(v)).filter(v, v.matches('{pattern}')).map(v, {amount})).all(p, size(p) < 2 || \
             p[0] - p[1] <= 1e-6)"
        )
    }

    /// The rule that the text `v` satisfies `bounds`, where `{}` stands for its amount.
    fn bounded(self, v: &str, bounds: &str) -> String {
        let Self { pattern, amount } = self;
        format!("!{v}.matches('{pattern}') || [{}].all(a, {bounds})", amount(v))
    }

    /// The rules of a knob whose literals are of this family: their shape, the range of the value, and their order.
    fn knob(self, schema: &mut Schema, shape: &str, bounds: &str, range: &str) {
        add(schema, each_literal(self.pattern), shape);
        add(schema, self.bounded("string(self.value)", bounds), range);
        add(schema, self.ordered(KNOB_PAIRS), KNOB_ORDER);
    }
}

/// The pairs of a knob's literals that must be in order.
const KNOB_PAIRS: &str = "[[?self.?min, self.value], [self.value, ?self.?max], [?self.?min, ?self.?max]]";
const KNOB_ORDER: &str = "value must lie between min and max, and min must be ≤ max";

/// The rule that value, min and max of a knob match `pattern`; formulas have a rule of their own.
fn each_literal(pattern: &str) -> String {
    format!(
        "[self.value, ?self.?min, ?self.?max].map(v, string(v)).all(v, v.startsWith('=') || v.matches('{pattern}'))"
    )
}

fn text(schema: &mut Schema, max: u32, pattern: &str, message: &str) {
    set(schema, "maxLength", max);
    add(schema, format!("self.matches('{pattern}')"), message);
}

// names

/// A name within the policy, or the name of a container.
pub(super) fn dns_label(schema: &mut Schema) {
    text(schema, 63, DNS_LABEL, "must be a DNS label: lower-case letters, digits and -");
}

/// The name of an object.
pub(super) fn object_name(schema: &mut Schema) {
    text(schema, 253, OBJECT_NAME, "must be an object's name: lower-case letters, digits, - and .");
}

/// The name of a class or a source: short, because it is repeated in status and metrics.
pub(super) fn short_object_name(schema: &mut Schema) {
    text(schema, 63, OBJECT_NAME, "must be an object's name: lower-case letters, digits, - and .");
}

/// A key of a `ConfigMap`.
pub(super) fn config_map_key(schema: &mut Schema) {
    text(schema, 253, "^[-._a-zA-Z0-9]+$", "must be a key of a ConfigMap: letters, digits, -, _ and .");
}

/// An environment variable's name.
pub(super) fn environment_name(schema: &mut Schema) {
    text(schema, 128, "^[A-Za-z_][A-Za-z0-9_]*$", "must match [A-Za-z_][A-Za-z0-9_]*");
}

/// Patterns of environment names.
pub(super) fn environment_patterns(schema: &mut Schema) {
    set(schema, "maxItems", 64);
    if let Some(items) = schema.get_mut("items").and_then(|items| <&mut Schema>::try_from(items).ok()) {
        text(items, 128, "^[A-Za-z0-9_*]+$", "must be an environment name, with * for any run of characters");
    }
    set_list(schema);
}

/// Names of namespaces.
pub(super) fn namespaces(schema: &mut Schema) {
    set(schema, "maxItems", 64);
    if let Some(items) = schema.get_mut("items").and_then(|items| <&mut Schema>::try_from(items).ok()) {
        dns_label(items);
    }
    set_list(schema);
}

/// Base URLs of Alertmanagers.
pub(super) fn base_urls(schema: &mut Schema) {
    set(schema, "maxItems", 8);
    if let Some(items) = schema.get_mut("items").and_then(|items| <&mut Schema>::try_from(items).ok()) {
        base_url(items);
    }
    set_list(schema);
}

/// A list that may not repeat itself.
pub(super) fn set_list(schema: &mut Schema) {
    set(schema, "x-kubernetes-list-type", "set");
}

/// A field of an object that is no workload.
pub(super) fn field_path(schema: &mut Schema) {
    text(schema, 253, "^spec([.][A-Za-z0-9_-]+)+$", "must be a field such as spec.maxAge");
}

/// Patterns of such fields.
pub(super) fn field_patterns(schema: &mut Schema) {
    set(schema, "maxItems", 64);
    if let Some(items) = schema.get_mut("items").and_then(|items| <&mut Schema>::try_from(items).ok()) {
        let message = "must be a field such as spec.maxAge, with * for any run of characters";
        text(items, 253, "^spec[.][A-Za-z0-9_.*-]+$", message);
    }
    set_list(schema);
}

/// The name of a kernel parameter.
pub(super) fn sysctl_name(schema: &mut Schema) {
    text(schema, 128, SYSCTL, "must be a kernel parameter such as net.ipv4.tcp_fin_timeout, with dots");
}

/// The value of a kernel parameter.
pub(super) fn sysctl_value(schema: &mut Schema) {
    add(
        schema,
        "string(self).matches('^[-A-Za-z0-9][-A-Za-z0-9 ,._]{0,127}$')",
        "must be numbers or words as the kernel reads them, such as 15 or \"1024 65535\"",
    );
}

/// Patterns of kernel parameters.
pub(super) fn sysctl_patterns(schema: &mut Schema) {
    set(schema, "maxItems", 64);
    if let Some(items) = schema.get_mut("items").and_then(|items| <&mut Schema>::try_from(items).ok()) {
        text(
            items,
            128,
            "^[a-z0-9][-_.a-z0-9]*[*]?$",
            "must be a kernel parameter, or its beginning with * at the end",
        );
    }
    set_list(schema);
}

/// What is governed: the version of its kind, and a container only where there are any.
pub(super) fn target(schema: &mut Schema) {
    add(
        schema,
        format!(
            "self.kind in {WORKLOADS} ? !has(self.apiVersion) || self.apiVersion == 'apps/v1' : has(self.apiVersion) && \
             self.apiVersion == (self.kind == 'Stream' ? 'jetstream.nats.io/v1beta2' : 'postgresql.cnpg.io/v1')"
        ),
        "apiVersion must be that of the kind: apps/v1, postgresql.cnpg.io/v1 or jetstream.nats.io/v1beta2",
    );
    add(
        schema,
        format!("!has(self.container) || self.kind in {WORKLOADS}"),
        "container is for workloads: leave it out",
    );
}

/// The kinds that carry a pod template, in CEL.
const WORKLOADS: &str = "['Deployment', 'StatefulSet', 'DaemonSet']";

/// A command-line flag.
pub(super) fn flag(schema: &mut Schema) {
    text(schema, 128, "^--?[A-Za-z0-9][A-Za-z0-9._-]*$", "must be a flag such as --workers");
}

/// An option of a runtime. Which ones there are, `core` knows.
pub(super) fn runtime_option(schema: &mut Schema) {
    text(schema, 64, "^-[-A-Za-z0-9:+]+$", "must be an option such as --workers or -XX:MaxGCPauseMillis");
}

/// A place in a document of any format. What begins with a slash is a JSON pointer to a place below the root.
pub(super) fn place(schema: &mut Schema) {
    let message = "must be a key, section/key, or an RFC 6901 pointer such as /database/pool_size";
    text(schema, 256, "^((/([^~/]|~[01])+)+|[^/[:cntrl:]][^[:cntrl:]]*)$", message);
}

/// Rules of a place in a document as a whole.
pub(super) fn document_path(schema: &mut Schema) {
    add(
        schema,
        "!self.?create.orValue(false) || !self.at.startsWith('/')",
        "create is for Properties, INI and Conf, where at is no pointer",
    );
}

/// The name of a metric.
pub(super) fn metric_name(schema: &mut Schema) {
    text(schema, 200, "^[a-zA-Z_:][a-zA-Z0-9_:]*$", "must be a metric name");
}

/// The name of a metric's label.
pub(super) fn label_name(schema: &mut Schema) {
    text(schema, 63, LABEL_NAME, "must be a label name: letters, digits and _");
}

/// The base URL of a server that admins trust.
pub(super) fn base_url(schema: &mut Schema) {
    let message = "must be an http or https URL without credentials, query or fragment";
    text(schema, 512, "^https?://[-A-Za-z0-9._:\\\\[\\\\]]+(/[-A-Za-z0-9._~/%]*)?$", message);
}

/// The name of a file below the directory that the chart mounts.
pub(super) fn mounted_file(schema: &mut Schema) {
    text(
        schema,
        63,
        "^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        "must be the plain name of a mounted file",
    );
}

/// The name of an HTTP header.
pub(super) fn header_name(schema: &mut Schema) {
    text(schema, 64, "^[A-Za-z0-9-]+$", "must be the name of an HTTP header");
}

/// The value of an HTTP header.
pub(super) fn header_value(schema: &mut Schema) {
    text(schema, 256, "^[!-~]([ -~]*[!-~])?$", "must be printable ASCII without spaces at its ends");
}

/// The address of a page.
pub(super) fn page_url(schema: &mut Schema) {
    text(schema, 512, "^https?://[!-~]+$", "must be an http or https URL");
}

/// A sentence for people.
pub(super) fn prose(schema: &mut Schema) {
    set(schema, "maxLength", 512);
    add(schema, format!("!self.matches('{CONTROL}')"), "must not contain control characters");
}

/// A few words for people.
pub(super) fn words(schema: &mut Schema) {
    set(schema, "minLength", 1);
    set(schema, "maxLength", 128);
    add(schema, format!("!self.matches('{CONTROL}')"), "must not contain control characters");
}

/// What a terminal or a log must never be sent.
const CONTROL: &str =
    "[\\\\x00-\\\\x1f\\\\x7f\\\\x{80}-\\\\x{9f}\\\\x{200e}\\\\x{200f}\\\\x{202a}-\\\\x{202e}\\\\x{2066}-\\\\x{2069}]";

// labels

fn labels(schema: &mut Schema, most: u32, max_value: u32) {
    set(schema, "maxProperties", most);
    set(schema, "additionalProperties", json!({"type": "string", "maxLength": max_value}));
}

/// Label values that series carry. Prometheus 3 takes names such as `http.route`, and queries quote them.
fn selected_labels(schema: &mut Schema, most: u32) {
    labels(schema, most, 256);
    add(schema, "self.all(k, size(k) <= 63)", "label names must be at most 63 characters");
    add(
        schema,
        "self.all(k, k.matches('^[!-~]+$') && !(k in ['__name__', 'le']))",
        "must be label names without spaces, and neither __name__ nor le",
    );
}

/// Label values that the series of a whole policy carry.
pub(super) fn policy_labels(schema: &mut Schema) {
    selected_labels(schema, 16);
}

/// Label values that the series of one threshold carry.
pub(super) fn series_labels(schema: &mut Schema) {
    selected_labels(schema, 8);
}

/// [`ALERT_LABELS`](super::names::ALERT_LABELS) in CEL.
const ALERT_WORDS: &str =
    "'alertname', 'namespace', 'policy', 'threshold', 'severity', 'target', 'target_kind', 'source'";

/// Labels of alerts. Alertmanager and its templates take plain names only.
pub(super) fn alert_labels(schema: &mut Schema) {
    labels(schema, 16, 256);
    add(schema, "self.all(k, size(k) <= 63)", "label names must be at most 63 characters");
    add(schema, format!("self.all(k, k.matches('{LABEL_NAME}'))"), "must be label names: letters, digits and _");
    add(
        schema,
        format!("self.all(k, !(k in [{ALERT_WORDS}]))"),
        "must not replace alertname, namespace, policy, threshold, severity, target, target_kind or source",
    );
}

/// Labels of Kubernetes objects.
pub(super) fn object_labels(schema: &mut Schema) {
    labels(schema, 16, 63);
    add(
        schema,
        "self.all(k, size(k) <= 317 && k.matches('^([a-z0-9][-a-z0-9.]*/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$') && \
         self[k].matches('^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$'))",
        "must be the labels of an object",
    );
}

// durations that stand alone

/// A duration that may be nothing.
pub(super) fn duration(schema: &mut Schema) {
    duration_between(schema, "a <= 2592e6", "must be ≤ 30d");
}

/// A duration that is not nothing.
pub(super) fn positive_duration(schema: &mut Schema) {
    duration_between(schema, "a >= 1.0 && a <= 2592e6", "must be ≥ 1ms and ≤ 30d");
}

/// A duration of a second or more.
pub(super) fn duration_from_1s(schema: &mut Schema) {
    duration_between(schema, "a >= 1e3 && a <= 2592e6", "must be ≥ 1s and ≤ 30d");
}

/// The period of a service level objective.
pub(super) fn slo_period(schema: &mut Schema) {
    duration_between(schema, "a >= 6048e5 && a <= 7776e6", "must be ≥ 7d and ≤ 90d");
}

fn duration_between(schema: &mut Schema, bounds: &str, range: &str) {
    let unsigned = DURATION.replacen("-?", "", 1);
    text(schema, 24, &unsigned, DURATION_SHAPE);
    add(schema, DURATIONS.bounded("self", bounds), range);
}

// quantities

/// An amount of CPU or memory in Kubernetes' own syntax.
pub(super) fn quantity(schema: &mut Schema) {
    set(schema, "maxLength", 32);
    add(schema, "isQuantity(self)", "invalid quantity: write 500m or 2 for CPU, 512Mi or 2Gi for memory");
    add(schema, "!isQuantity(self) || quantity(self).isGreaterThan(quantity('0'))", "must be > 0");
    add(
        schema,
        "!isQuantity(self) || quantity(self).isLessThan(quantity('8Ei'))",
        "invalid quantity: beyond what Kubernetes stores",
    );
}

// knobs

/// Every knob: where it lands.
pub(super) fn knob(schema: &mut Schema) {
    add(
        schema,
        "[has(self.env), has(self.arg), has(self.option), has(self.path), has(self.configMapKey), has(self.field)].filter(x, x).size() <= 1",
        "at most one of env, arg, option, path, configMapKey and field may be set",
    );
    add(
        schema,
        "!self.?allowDestructive.orValue(false) || (has(self.field) && !string(self.value).startsWith('='))",
        "allowDestructive is for a literal with field: no formula deletes data",
    );
    add(schema, "!has(self.option) || !has(self.__as__)", "an option is spelled as its reader wants it: leave out as");
    add(
        schema,
        "!has(self.arg) || (has(self.onConflict) && self.onConflict == 'TakeOver')",
        "args is one atomic list: set onConflict: TakeOver",
    );
}

const LANDS: &str = "(has(self.env) || has(self.arg) || has(self.path) || has(self.configMapKey) || has(self.field))";
const DURATION_FORMATS: &str = "['seconds', 'milliseconds', 'go', 'postgres', 'plain']";
const SIZE_FORMATS: &str = "['bytes', 'mebibytes', 'go', 'postgres', 'redis', 'jvm', 'plain']";
const AS_REQUIRED: &str = "as is required where a duration or bytes lands";
const DURATION_SHAPE: &str = "must be a duration such as 300ms, 30s, 5m";
const SIZE_SHAPE: &str = "must be a size such as 512Ki, 300Mi, 2Gi";

fn count_from(schema: &mut Schema, least: u32, range: &str) {
    COUNTS.knob(schema, "must be a whole number such as 20", &format!("a >= {least}.0"), range);
    add(schema, "!has(self.__as__) || self.__as__ == 'plain'", "a whole number is written plain: leave out as");
}

/// A number of workers.
pub(super) fn worker_count(schema: &mut Schema) {
    count_from(schema, 1, "worker count must be ≥ 1");
}

/// The size of a pool.
pub(super) fn pool_size(schema: &mut Schema) {
    count_from(schema, 1, "pool size must be ≥ 1");
}

/// A number that may be nothing.
pub(super) fn count(schema: &mut Schema) {
    count_from(schema, 0, "must be ≥ 0");
}

/// A number of things of which there must be one.
pub(super) fn positive_count(schema: &mut Schema) {
    count_from(schema, 1, "must be ≥ 1");
}

fn duration_knob_between(schema: &mut Schema, bounds: &str, range: &str) {
    DURATIONS.knob(schema, DURATION_SHAPE, bounds, range);
    lands_as(schema, DURATION_FORMATS, "a duration is written as seconds, milliseconds, go, postgres or plain");
}

fn lands_as(schema: &mut Schema, formats: &str, message: &str) {
    add(schema, format!("has(self.__as__) || !{LANDS}"), AS_REQUIRED);
    add(schema, format!("!has(self.__as__) || self.__as__ in {formats}"), message);
}

/// A time span of a pool.
pub(super) fn duration_knob(schema: &mut Schema) {
    duration_knob_between(schema, "a >= 0.0 && a <= 2592e6", "must be ≥ 0s and ≤ 30d");
}

/// Time to live of a cache entry.
pub(super) fn ttl(schema: &mut Schema) {
    duration_knob_between(schema, "a >= 1e3 && a <= 2592e6", "must be ≥ 1s and ≤ 30d");
}

/// A size.
pub(super) fn size_knob(schema: &mut Schema) {
    SIZES.knob(schema, SIZE_SHAPE, "a > 0.0", "must be > 0");
    lands_as(schema, SIZE_FORMATS, "a size is written as bytes, mebibytes, go, postgres, redis, jvm or plain");
}

/// A size of a runtime.
pub(super) fn runtime_size(schema: &mut Schema) {
    SIZES.knob(schema, SIZE_SHAPE, "a > 0.0", "must be > 0");
}

/// A duration of a runtime.
pub(super) fn runtime_duration(schema: &mut Schema) {
    DURATIONS.knob(schema, DURATION_SHAPE, "a >= 1.0 && a <= 2592e6", "must be ≥ 1ms and ≤ 30d");
}

/// A whole number of a runtime.
pub(super) fn runtime_count(schema: &mut Schema) {
    COUNTS.knob(schema, "must be a whole number such as 20", "a >= 1.0", "must be ≥ 1");
}

/// A size that stands alone, or a formula.
pub(super) fn size_or_formula(schema: &mut Schema) {
    let shape = format!("string(self).startsWith('=') || string(self).matches('{SIZE}')");
    add(schema, shape, SIZE_SHAPE);
}

/// What looks like a connection string or a secret; `core::catalogue::is_secret` is exact.
const SECRET: &str = "://|(?i)(password|passwd|pwd|secret|token|apikey) *=|[^ /:]+:[^ /]+@";

/// A setting: its literals fit its type.
pub(super) fn setting(schema: &mut Schema) {
    const TYPE: &str = "(has(self.type) ? self.type : 'Integer')";
    let of = |kind: &str, rule: &str| format!("{TYPE} != '{kind}' || {rule}");
    let shapes = [
        ("Integer", WHOLE, "an Integer must be a whole number such as 20"),
        ("Number", DECIMAL, "a Number must be a number such as 20 or \"0.75\""),
        ("Duration", DURATION, "a Duration must be a duration such as 300ms, 30s, 5m"),
        ("Bytes", SIZE, "Bytes must be a size such as 512Ki, 300Mi, 2Gi"),
        ("Ratio", SHARE, "a Ratio must be a share such as 80% or \"0.8\""),
        ("Boolean", "^(true|false)$", "a Boolean must be \"true\" or \"false\", in quotes"),
    ];
    for (kind, pattern, message) in shapes {
        add(schema, of(kind, &each_literal(pattern)), message);
    }
    add(schema, of("Duration", "!string(self.value).startsWith('-')"), "must be ≥ 0s");
    let share = AMOUNTS.bounded("string(self.value)", "a <= 1.0");
    add(schema, of("Ratio", &format!("({share})")), "a Ratio must lie between 0% and 100%");
    add(schema, AMOUNTS.ordered(KNOB_PAIRS), KNOB_ORDER);
    let word = "!has(self.allowed) || string(self.value).startsWith('=') || string(self.value) in self.allowed || \
                (has(self.__as__) && self.__as__ == 'list' && string(self.value).split(',', 16).all(w, w in self.allowed))";
    add(schema, of("Enum", &format!("({word})")), "value must be one of allowed");
    add(schema, format!("({TYPE} == 'Enum') == has(self.allowed)"), "allowed must be set for an Enum, and only for it");
    add(
        schema,
        format!("!({TYPE} in ['Boolean', 'Enum']) || !(has(self.min) || has(self.max))"),
        "min and max are for numbers: leave them out of a Boolean or an Enum",
    );
    add(
        schema,
        format!("!has(self.notEnforceable) || !({LANDS} || has(self.option))"),
        "notEnforceable says that nothing carries the value: leave out env, arg, option, path and configMapKey",
    );
    add(
        schema,
        format!("!has(self.allowed) || self.allowed.all(w, !w.matches('{SECRET}'))"),
        "must not be a connection string or a secret: let the owner set it by valueFrom from a Secret",
    );
    add(schema, format!("!({TYPE} in ['Duration', 'Bytes']) || has(self.__as__) || !{LANDS}"), AS_REQUIRED);
    let fits = format!(
        "!has(self.__as__) || self.__as__ == 'plain' || self.__as__ in {{'Duration': {DURATION_FORMATS}, 'Bytes': \
         {SIZE_FORMATS}, 'Boolean': ['postgres', 'redis'], 'Enum': ['list'], 'Integer': [''], 'Number': [''], 'Ratio': \
         ['']}}[{TYPE}]"
    );
    add(schema, fits, "as does not fit the type");
}

// thresholds

/// The bound of a level.
pub(super) fn literal(schema: &mut Schema) {
    add(
        schema,
        "type(self) == int || !self.startsWith('=')",
        "must be a literal such as 200ms: formulas are for knobs",
    );
}

/// A level: its bounds can be read, and a band is not empty.
pub(super) fn level(schema: &mut Schema) {
    add(schema, "has(self.above) || has(self.below)", "at least one of above and below must be set");
    add(
        schema,
        format!("[?self.?above, ?self.?below].map(v, string(v)).all(v, v.startsWith('=') || v.matches('{AMOUNT}'))"),
        "above and below must be a number with or without a unit, such as 200ms, 5%, 2Gi, 350/s",
    );
    add(
        schema,
        format!("!has(self.above) || !has(self.below) || !({})", AMOUNTS.ordered("[[self.above, self.below]]")),
        "above must be > below: both make a band that is breached outside of it",
    );
}

/// How far a reading must come back.
pub(super) fn hysteresis(schema: &mut Schema) {
    let message = "must be a percentage from 0% to below 100%: the release must lie on the good side of the bound";
    text(schema, 16, "^[0-9]{1,2}([.][0-9]{1,9})?%$", message);
}

/// A share of good events.
pub(super) fn objective(schema: &mut Schema) {
    text(schema, 16, "^[0-9]{1,2}([.][0-9]{1,6})?%$", "must be a percentage below 100% such as 99.9%");
}

/// A statistic.
pub(super) fn statistic(schema: &mut Schema) {
    text(
        schema,
        16,
        "^(mean|max|min|rate|increase|cv|slope|trend|p[1-9][0-9]?([.][0-9]{1,3})?)$",
        "must be mean, max, min, rate, increase, cv, slope, trend or a percentile such as p95",
    );
}

/// Labels whose values are judged apart.
pub(super) fn by(schema: &mut Schema) {
    set(schema, "maxItems", 2);
    set(schema, "items", json!({"type": "string", "maxLength": 63}));
    set(schema, "x-kubernetes-list-type", "set");
    add(
        schema,
        format!(
            "self.all(l, l.matches('{LABEL_NAME}') && !(l in ['__name__', 'le', 'trimtab_workload', 'trimtab_part', {ALERT_WORDS}]))"
        ),
        "must be label names that an alert can carry beside its own: letters, digits and _, and not severity or the like",
    );
}

/// Names of thresholds.
pub(super) fn hint_names(schema: &mut Schema) {
    set(schema, "minItems", 1);
    set(schema, "maxItems", 4);
    set(schema, "items", json!({"type": "string", "maxLength": 63}));
    set(schema, "x-kubernetes-list-type", "set");
}

/// A pattern: it is looked for in a metric that can have it.
pub(super) fn pattern(schema: &mut Schema) {
    add(
        schema,
        "[has(self.metric.histogram), has(self.metric.counter), has(self.metric.gauge), has(self.metric.ratio)].filter(x, \
         x).size() == 1",
        "exactly one of histogram, counter, gauge and ratio must be set",
    );
    add(
        schema,
        "self.kind in (has(self.metric.ratio) ? ['AlwaysSucceeds', 'AlwaysFails', 'FallbackRate', 'AutomationCandidate'] : \
         has(self.metric.histogram) ? ['Slow', 'OptimizationCandidate', 'Trend'] : has(self.metric.gauge) ? \
         ['Inconsistent', 'Trend'] : ['Trend'])",
        "kind must fit the metric: a ratio, a histogram (Slow, OptimizationCandidate, Trend), a gauge (Inconsistent, Trend)",
    );
    add(
        schema,
        "self.kind != 'Inconsistent' || has(self.levels)",
        "levels must be set: nobody else knows how much this metric may scatter",
    );
    add(
        schema,
        "!has(self.levels) || self.kind == 'Trend' || self.levels.all(l, has(l.above) && !has(l.below))",
        "levels must have above, and only a Trend may have below",
    );
    add(
        schema,
        "self.kind != 'Trend' || !has(self.metric.minSamples)",
        "a Trend needs ten points: leave out minSamples",
    );
    add(
        schema,
        "!(self.kind in ['AlwaysSucceeds', 'AlwaysFails']) || !has(self.levels) || self.levels.size() <= 1",
        "what is always so has one level",
    );
}

/// The share of a budget that nobody gets.
pub(super) fn headroom(schema: &mut Schema) {
    let message = "must be a percentage from 0% to below 100%: something must be left";
    text(schema, 16, "^[0-9]{1,2}([.][0-9]{1,9})?%$", message);
}

/// A budget: what is set aside leaves something. What is measured is known later.
pub(super) fn budget(schema: &mut Schema) {
    // Not with `orValue([])`: what may be another list has no bound that the API server knows.
    let left = "self.capacity.connections - self.?reserved.orValue(3) - (has(self.others) ? self.others.map(o, \
                o.?connections.orValue(0)).sum() : 0)";
    add(
        schema,
        format!("!has(self.capacity.connections) || {left} > 0"),
        "capacity.connections must be > reserved and others together",
    );
    add(
        schema,
        format!("!has(self.pooler) || !has(self.capacity.connections) || self.pooler.servers <= {left}"),
        "pooler.servers must be ≤ what reserved and others leave of capacity.connections",
    );
}

/// A number of connections: said, measured or both.
pub(super) fn counted(schema: &mut Schema) {
    let message = "at least one of connections and metric must be set";
    add(schema, "has(self.connections) || has(self.metric)", message);
}

/// What is known of a consumer of a budget: something, and bounds in order.
pub(super) fn consumer(schema: &mut Schema) {
    add(
        schema,
        "has(self.weight) || has(self.min) || has(self.max) || has(self.drains) || has(self.replicasMax)",
        "at least one of weight, min, max, drains and replicasMax must be set",
    );
    add(schema, "!has(self.min) || !has(self.max) || self.min <= self.max", "min must be ≤ max");
}

/// A metric: one source, and a statistic that fits it.
pub(super) fn metric(schema: &mut Schema) {
    add(
        schema,
        "[has(self.histogram), has(self.summary), has(self.counter), has(self.gauge), has(self.ratio), has(self.builtin), \
         has(self.query)].filter(x, x).size() == 1",
        "exactly one of histogram, summary, counter, gauge, ratio, builtin and query must be set",
    );
    add(
        schema,
        "!has(self.query) || !(has(self.labels) || has(self.matching) || has(self.statistic) || has(self.by) || \
         has(self.across) || has(self.window) || has(self.minSamples) || has(self.heartbeat))",
        "a query says everything itself: leave out labels, matching, statistic, by, across, window, minSamples and heartbeat",
    );
    add(
        schema,
        "!(has(self.histogram) || has(self.summary)) || (has(self.statistic) && !(self.statistic in ['max', 'min', 'cv', \
         'slope']))",
        "a histogram or summary needs a statistic: mean, rate, increase, trend or a percentile such as p95",
    );
    add(
        schema,
        "!has(self.counter) || !has(self.statistic) || self.statistic in ['rate', 'increase', 'trend']",
        "the statistic of a counter must be rate, increase or trend",
    );
    add(
        schema,
        "!has(self.gauge) || !has(self.statistic) || !(self.statistic in ['rate', 'increase'])",
        "the statistic of a gauge must be mean, max, min, cv, slope, trend or a percentile such as p95",
    );
    add(
        schema,
        "!(has(self.ratio) || has(self.builtin)) || !has(self.statistic)",
        "a ratio and a builtin have one statistic each: leave out statistic",
    );
    add(
        schema,
        "!has(self.across) || has(self.counter) || has(self.gauge) || ((has(self.histogram) || has(self.summary)) && \
         has(self.statistic) && (self.statistic in ['rate', 'increase'] || has(self.summary) && \
         self.statistic.startsWith('p')))",
        "across joins pods of a counter or gauge, a histogram's rate or increase, and a summary's percentiles: leave it out",
    );
    add(
        schema,
        "!has(self.minSamples) || !(has(self.builtin) || (has(self.ratio) && has(self.ratio.numerator.gauge)))",
        "a builtin and a ratio of gauges have nothing to count: leave out minSamples",
    );
    add(
        schema,
        "!has(self.heartbeat) || (has(self.counter) || has(self.ratio) && has(self.ratio.numerator.counter)) && \
         !(has(self.counter) && has(self.by)) && !(has(self.statistic) && self.statistic == 'trend')",
        "heartbeat is for the rate or increase of a counter without by, and for a ratio of counters",
    );
    add(schema, "!has(self.builtin) || !has(self.unit)", "a builtin has a unit of its own: leave out unit");
    add(
        schema,
        "!has(self.unit) || !(has(self.ratio) && self.unit == 'percent') && !(has(self.statistic) && self.statistic in \
         ['cv', 'trend'] && self.unit != 'ratio')",
        "a ratio, cv and trend are shares already, whatever is divided: leave out unit",
    );
    add(
        schema,
        "!has(self.builtin) || !has(self.by) || self.by.all(l, l == 'pod' || l == {'VolumeUsed': \
         'persistentvolumeclaim', 'StartupTime': 'pod'}[?self.builtin].orValue('container'))",
        "a builtin tells pods apart, and containers or (VolumeUsed) persistentvolumeclaim",
    );
}

/// A ratio: both sides are of one kind.
pub(super) fn ratio(schema: &mut Schema) {
    add(
        schema,
        "has(self.numerator.counter) == has(self.denominator.counter)",
        "numerator and denominator must be two counters or two gauges",
    );
}

/// Where a value is read back.
pub(super) fn readback(schema: &mut Schema) {
    let rule = "has(self.gauge) ? !has(self.query) : has(self.query) && !has(self.labels)";
    add(schema, rule, "exactly one of gauge and query must be set, and labels only with gauge");
}

/// Label values of a readback. Every knob has one, and the definition must stay small: the operator checks the names.
pub(super) fn readback_labels(schema: &mut Schema) {
    labels(schema, 8, 256);
}

/// One side of a ratio.
pub(super) fn ratio_term(schema: &mut Schema) {
    add(schema, "has(self.counter) != has(self.gauge)", "exactly one of counter and gauge must be set");
}

// what a policy puts on paper

/// A condition.
pub(super) fn condition(schema: &mut Schema) {
    set(schema, "minLength", 1);
    set(schema, "maxLength", 256);
    add(schema, "!self.startsWith('=')", "must be a condition without =");
}

/// A day.
pub(super) fn day(schema: &mut Schema) {
    text(schema, 10, "^[0-9]{4}-[0-9]{2}-[0-9]{2}$", "must be a day such as \"2026-11-01\", in quotes");
}

/// A share that may be more than all.
pub(super) fn share(schema: &mut Schema) {
    text(schema, 16, "^[0-9]{1,5}([.][0-9]{1,9})?%$", "must be a percentage such as 125%");
}

/// The name of a table.
pub(super) fn table_name(schema: &mut Schema) {
    text(schema, 63, "^[A-Z][A-Z0-9_]*$", "must be capitals, digits and _, such as SYSTEM_METRICS");
}

/// Headings of a table.
pub(super) fn headings(schema: &mut Schema) {
    set(schema, "minItems", 1);
    set(schema, "maxItems", 8);
    if let Some(items) = schema.get_mut("items").and_then(|items| <&mut Schema>::try_from(items).ok()) {
        words(items);
    }
}

/// Rows of a table.
pub(super) fn rows(schema: &mut Schema) {
    set(schema, "maxItems", 32);
    if let Some(items) = schema.get_mut("items").and_then(|items| <&mut Schema>::try_from(items).ok()) {
        set(items, "maxItems", 8);
    }
}

/// Rules of a table as a whole.
pub(super) fn report(schema: &mut Schema) {
    add(
        schema,
        "self.rows.all(r, size(r) == size(self.columns))",
        "each of rows must have one cell for each of columns",
    );
}

/// A line of a checklist.
pub(super) fn checklist_item(schema: &mut Schema) {
    add(schema, "!has(self.check) || !has(self.attested)", "at most one of check and attested may be set");
}

/// The path of a URL, with its query.
pub(super) fn url_path(schema: &mut Schema) {
    text(schema, 256, "^/[-A-Za-z0-9._~/%:@!$&()*+,;=?]*$", "must be the path of a URL, beginning with /");
}

/// A JSON text that is sent.
pub(super) fn json_body(schema: &mut Schema) {
    set(schema, "minLength", 1);
    set(schema, "maxLength", 1024);
}

/// A load test: what is set fits the tool.
pub(super) fn load_test(schema: &mut Schema) {
    add(schema, "self.tool == 'Ab' || !has(self.requests)", "requests is for Ab: set duration");
    add(schema, "self.tool == 'Wrk' || !has(self.threads)", "threads is for Wrk");
    add(schema, "self.tool != 'Ab' || !has(self.duration)", "Ab counts requests: leave out duration");
    add(
        schema,
        "self.tool != 'Wscat' || !(has(self.method) || has(self.users))",
        "Wscat opens one WebSocket: leave out method and users",
    );
    add(
        schema,
        "!has(self.body) || self.tool == 'Wscat' || (has(self.method) && self.method == 'POST')",
        "body needs method: POST",
    );
}

// profiles

/// Conditions: formulas without a sign.
pub(super) fn conditions(schema: &mut Schema) {
    set(schema, "maxItems", 8);
    set(schema, "items", json!({"type": "string", "minLength": 1, "maxLength": 256}));
}

/// Values by their path.
pub(super) fn profile_values(schema: &mut Schema) {
    set(schema, "maxProperties", 64);
    add(
        schema,
        "self.all(k, size(k) <= 192 && k.matches('^[a-zA-Z]+([.][-a-zA-Z0-9]+)+$'))",
        "must be paths of the spec such as pools.db.size",
    );
}

/// A bound between two states of a profile.
pub(super) fn profile_bound(schema: &mut Schema) {
    add(
        schema,
        format!("string(self).matches('{AMOUNT}')"),
        "must be a number with or without a unit, such as 200ms, 5%, 2Gi, 350/s",
    );
}

/// When a profile is active.
pub(super) fn when(schema: &mut Schema) {
    add(schema, "has(self.threshold) != has(self.schedule)", "exactly one of threshold and schedule must be set");
    add(
        schema,
        "has(self.threshold) ? has(self.enter) && has(self.leave) : !(has(self.enter) || has(self.leave) || \
         has(self.dwell))",
        "enter, leave and dwell are for a threshold, which needs enter and leave",
    );
    add(
        schema,
        "!has(self.enter) || !has(self.leave) || string(self.enter) != string(self.leave)",
        "enter and leave must differ: between them the profile stays as it is",
    );
}

/// When something begins.
pub(super) fn cron(schema: &mut Schema) {
    text(
        schema,
        128,
        "^[-0-9a-zA-Z*,/]+( +[-0-9a-zA-Z*,/]+){4}$",
        "must have five fields (minute, hour, day of the month, month, day of the week) such as 0 2 * * *",
    );
}

/// How long a window lasts.
pub(super) fn window_duration(schema: &mut Schema) {
    duration_between(schema, "a >= 6e4 && a <= 6048e5", "must be ≥ 1m and ≤ 7d");
}

/// A time zone.
pub(super) fn time_zone(schema: &mut Schema) {
    text(schema, 64, "^[A-Za-z][-+_/A-Za-z0-9]*$", "must be an IANA time zone such as Europe/Berlin");
}

/// A rate.
pub(super) fn rate(schema: &mut Schema) {
    add(schema, "string(self).matches('^[0-9]{1,18}([.][0-9]{1,9})?(/s)?$')", "must be a rate such as 350/s");
}

// the policy as a whole

/// Rules that join several parts of a policy.
pub(super) fn policy(schema: &mut Schema) {
    add(
        schema,
        "has(self.target) || !(has(self.resources) || has(self.replicas))",
        "resources and replicas need a target",
    );
    add(schema, "has(self.target) || !has(self.runtime)", "runtime needs a target");
    add(
        schema,
        "!has(self.runtime) || !has(self.runtime.node) || !has(self.runtime.node.perWorker) || (has(self.workers) && \
         self.workers.exists(w, w.name == self.runtime.node.perWorker && (!has(w.unit) || w.unit == 'Process')))",
        "runtime.node.perWorker must name one of workers whose unit is Process",
    );
    add(
        schema,
        "!has(self.runtime) || !has(self.runtime.jvm) || !has(self.runtime.jvm.perWorker) || (has(self.workers) && \
         self.workers.exists(w, w.name == self.runtime.jvm.perWorker && (!has(w.unit) || w.unit == 'Process')))",
        "runtime.jvm.perWorker must name one of workers whose unit is Process",
    );
    add(schema, "has(self.target) || !has(self.kernel) || !has(self.kernel.sysctls)", "kernel.sysctls need a target");
    add(
        schema,
        "!has(self.replicas) || !has(self.target) || self.target.kind != 'DaemonSet'",
        "a DaemonSet has one pod per node: leave out replicas",
    );
    add(
        schema,
        format!("!has(self.target) || self.target.kind in {WORKLOADS} || !(has(self.resources) || has(self.replicas))"),
        "resources and replicas are for workloads: set the fields of another target by field",
    );
    add(
        schema,
        "!has(self.pools) || self.pools.all(p, !has(p.perWorker) || (has(self.workers) && self.workers.exists(w, w.name == \
         p.perWorker && (!has(w.unit) || w.unit == 'Process'))))",
        "pools[].perWorker must name one of workers whose unit is Process",
    );
    add(
        schema,
        "!has(self.profile) || (has(self.profiles) && self.profiles.exists(p, p.name == self.profile))",
        "profile must name one of profiles",
    );
    add(
        schema,
        "!has(self.profiles) || self.profiles.all(p, !has(p.when) || !has(p.when.threshold) || (has(self.thresholds) && \
         self.thresholds.exists(t, t.name == p.when.threshold)))",
        "profiles[].when.threshold must name one of thresholds",
    );
    let lists = [
        ("settings", &["?path"][..], "settings[].path"),
        ("workers", &["count.?path"], "workers[].count.path"),
        (
            "pools",
            &[
                "?size.?path",
                "?overflow.?path",
                "?minIdle.?path",
                "?acquireTimeout.?path",
                "?idleTimeout.?path",
                "?maxLifetime.?path",
            ],
            "pools[].*.path",
        ),
        ("caches", &["?ttl.?path", "?maxEntries.?path", "?maxBytes.?path"], "caches[].*.path"),
    ];
    let named = "has(self.files) && self.files.exists(f, f.name == p[0])";
    let pointer = "!has(self.files) || p[1].startsWith('/') || self.files.all(f, f.name != p[0] || !(f.format in ['YAML', \
                   'TOML', 'JSON']))";
    for (list, paths, said) in lists {
        // Each knob has a type of its own, so what is compared is taken out of them first.
        let taken: Vec<_> = paths.iter().map(|path| format!("?k.{path}.optMap(p, [p.file, p.at])")).collect();
        let taken = taken.join(", ");
        for (rule, must) in
            [(named, ".file must name one of files"), (pointer, ".at must be a pointer in YAML, TOML and JSON")]
        {
            let each = format!("!has(self.{list}) || self.{list}.all(k, [{taken}].all(p, {rule}))");
            add(schema, each, &format!("{said}{must}"));
        }
    }
}

/// Rules of a cache as a whole.
pub(super) fn cache(schema: &mut Schema) {
    add(schema, "!has(self.maxEntries) || !has(self.maxBytes)", "at most one of maxEntries and maxBytes may be set");
    add(
        schema,
        "!has(self.eviction) || self.eviction == 'TTL' || has(self.maxEntries) || has(self.maxBytes)",
        "eviction LRU or LFU needs maxEntries or maxBytes: nothing else makes the cache full",
    );
    add(
        schema,
        "has(self.ttl) || (!has(self.eviction) || self.eviction != 'TTL') && (!has(self.invalidation) || self.invalidation != 'Expiry')",
        "eviction TTL and invalidation Expiry need ttl",
    );
    add(
        schema,
        format!(
            "!has(self.ttl) || !has(self.maxStaleness) || {}",
            DURATIONS.ordered("[[string(self.ttl.value), self.maxStaleness]]")
        ),
        "ttl must be ≤ maxStaleness",
    );
}

/// Rules of a pool as a whole.
pub(super) fn pool(schema: &mut Schema) {
    add(schema, COUNTS.ordered("[[?self.?minIdle.?value, ?self.?size.?value]]"), "minIdle must be ≤ size");
    add(
        schema,
        "!has(self.budget) || has(self.size)",
        "budget needs size: what the application opens by itself cannot be counted",
    );
}

/// Requests and limits of one container.
pub(super) fn resources(schema: &mut Schema) {
    add(schema, "has(self.limits) || has(self.requests)", "at least one of limits and requests must be set");
    for (resource, message) in [("cpu", "cpu limit must be ≥ request"), ("memory", "memory limit must be ≥ request")]
    {
        let rule = format!(
            "!has(self.limits) || !has(self.requests) || !has(self.limits.{resource}) || !has(self.requests.{resource}) || \
             !isQuantity(self.limits.{resource}) || !isQuantity(self.requests.{resource}) || \
             quantity(self.limits.{resource}).compareTo(quantity(self.requests.{resource})) >= 0"
        );
        add(schema, rule, message);
    }
}

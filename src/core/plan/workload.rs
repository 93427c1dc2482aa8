//! What lands in the pod template: environment, arguments, resources, and the stamp of bound documents.

use serde_json::{Value as Json, json};

use super::{
    Part, Plan, STAMP, Setting, Situation, State,
    claim::{self, Wish},
    config_map::Documents,
    leftovers::{Cleared, Written},
    traps, value_hash,
};
use crate::{
    api::{conditions::Reason, names, policy::OnConflict},
    core::{
        catalogue::sysctl::{self, Namespace},
        facts::Object,
        options::{self, Known, Variable},
        ownership::FieldPath,
        policy::{Knob, Landing, Policy},
        resolve::Desired,
        units::ResourceQuantity,
    },
};

/// Plans the claim on the workload.
pub(super) fn plan(situation: &Situation<'_>, documents: &Documents, plan: &mut Plan) {
    let target = situation.target;
    let mut wishes = Vec::new();
    let mut shared: Vec<Share<'_>> = Vec::new();
    let mut sysctls: Vec<(&str, &Desired<'_>)> = Vec::new();
    for desired in situation.desired {
        let knob = desired.knob;
        let wish = match &knob.landing {
            Landing::Env(name) => {
                container(situation, knob, plan).and_then(|c| environment(target, c, name, desired, plan))
            }
            Landing::Resource { bucket, resource } => {
                container(situation, knob, plan).and_then(|c| amount(c, bucket, resource, desired, situation, plan))
            }
            Landing::Arg(_) => {
                let field = Shared::Arguments;
                shared.extend(container(situation, knob, plan).map(|container| Share { container, field, desired }));
                None
            }
            Landing::Option(known) => {
                let field = Shared::Options(known.variable);
                shared.extend(container(situation, knob, plan).map(|container| Share { container, field, desired }));
                None
            }
            Landing::Sysctl(name) => {
                sysctls.push((name, desired));
                None
            }
            Landing::Variable => {
                plan.settings.push(view(target, desired, "nowhere".into(), None, State::Variable));
                None
            }
            Landing::NotEnforceable(why) => {
                let setting = view(target, desired, "nowhere".into(), None, State::NotEnforceable);
                plan.settings.push(Setting { why: Some(why.clone()), ..setting });
                None
            }
            Landing::Document { .. } | Landing::ConfigMapKey { .. } | Landing::Field(_) => None,
        };
        wishes.extend(wish);
    }
    let written = Written::on(situation);
    wishes.extend(shared_fields(&shared, situation, &written, plan));
    traps::look(situation, &written, plan);
    wishes.extend(sysctl_list(target, &sysctls, plan));
    wishes.extend(stamp(situation, documents));
    plan.claim_hash = claim::plan(situation, target, wishes, plan).hash;
}

/// A container of the pod template, by the list that it stands in.
#[derive(Clone, Copy)]
pub(super) struct Container<'a> {
    list: &'static str,
    pub name: &'a str,
    pub spec: &'a Json,
}

impl<'a> Container<'a> {
    /// Its variables.
    pub fn environment(&self) -> impl Iterator<Item = &'a Json> + use<'a> {
        self.spec["env"].as_array().into_iter().flatten()
    }

    /// The plain text of a variable.
    pub fn variable(&self, name: &str) -> Option<&'a str> {
        let entry = self.environment().find(|entry| entry["name"] == *name && entry.get("valueFrom").is_none())?;
        Some(entry["value"].as_str().unwrap_or_default())
    }

    fn path(&self) -> FieldPath {
        FieldPath::of(&["spec", "template", "spec", self.list]).key("name", self.name)
    }

    /// The field of the text of a variable.
    pub fn value_of(&self, variable: &str) -> FieldPath {
        self.path().field("env").key("name", variable).field("value")
    }
}

fn container<'a>(situation: &Situation<'a>, knob: &'a Knob, plan: &mut Plan) -> Option<Container<'a>> {
    find(situation.policy, situation.target, knob).map_err(|(reason, message)| refuse(plan, reason, message)).ok()
}

/// Where a knob lands in the pod template of `target`, for people; nothing for what lands elsewhere or nowhere.
pub(super) fn landing(policy: &Policy, target: &Object, knob: &Knob) -> Option<String> {
    let container = || Some(find(policy, target, knob).ok()?.name);
    match &knob.landing {
        Landing::Env(name) => Some(variable(name, container()?)),
        Landing::Arg(_) => Some(arguments_of(container()?)),
        Landing::Option(known) => Some(variable(known.variable.name(), container()?)),
        Landing::Resource { bucket, resource } => Some(amount_of(bucket, resource, container()?)),
        Landing::Sysctl(_) => Some(SYSCTLS.to_owned()),
        Landing::Variable
        | Landing::NotEnforceable(_)
        | Landing::Document { .. }
        | Landing::ConfigMapKey { .. }
        | Landing::Field(_) => None,
    }
}

/// What is where a knob lands in the pod template of `target`.
pub(super) fn live(policy: &Policy, target: &Object, knob: &Knob) -> Option<String> {
    if let Landing::Sysctl(name) = &knob.landing {
        let entry = target.items(SYSCTLS_AT).find(|entry| is_sysctl(entry, name))?;
        return entry["value"].as_str().map(str::to_owned);
    }
    let container = find(policy, target, knob).ok()?;
    match &knob.landing {
        Landing::Env(name) => container.variable(name).map(str::to_owned),
        Landing::Option(known) => {
            let text = container.variable(known.variable.name())?;
            options::find_text(known, text).ok().flatten()
        }
        Landing::Arg(flag) => {
            let args: Vec<&str> = container.spec["args"].as_array()?.iter().filter_map(Json::as_str).collect();
            flag_of(&args, flag).map(str::to_owned)
        }
        Landing::Resource { bucket, resource } => {
            container.spec["resources"][bucket].get(resource).and_then(Json::as_str).map(str::to_owned)
        }
        Landing::Variable
        | Landing::NotEnforceable(_)
        | Landing::Sysctl(_)
        | Landing::Document { .. }
        | Landing::ConfigMapKey { .. }
        | Landing::Field(_) => None,
    }
}

/// The value of a flag among arguments.
fn flag_of<'a, S: AsRef<str>>(args: &'a [S], flag: &str) -> Option<&'a str> {
    let at = args.iter().position(|arg| is_flag(arg.as_ref(), flag))?;
    let joined = args.get(at)?.as_ref().split_once('=').map(|(_, value)| value);
    joined.or_else(|| args.get(at + 1).map(AsRef::as_ref))
}

/// Whether an argument is `--flag` or `--flag=value`.
fn is_flag(argument: &str, flag: &str) -> bool {
    argument.strip_prefix(flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
}

fn variable(name: &str, container: &str) -> String {
    format!("environment variable {name} of container \"{container}\"")
}

fn arguments_of(container: &str) -> String {
    format!("args of container \"{container}\"")
}

fn amount_of(bucket: &str, resource: &str, container: &str) -> String {
    format!("resources.{bucket}.{resource} of container \"{container}\"")
}

/// The container that a knob is for.
pub(super) fn find<'a>(
    policy: &'a Policy,
    target: &'a Object,
    knob: &'a Knob,
) -> Result<Container<'a>, (Reason, String)> {
    let wanted = knob.container.as_deref().or(policy.target.as_ref().and_then(|t| t.container.as_deref()));
    let all = || {
        let lists = [
            ("containers", "/spec/template/spec/containers"),
            ("initContainers", "/spec/template/spec/initContainers"),
        ];
        lists.into_iter().flat_map(|(list, pointer)| {
            target.items(pointer).filter_map(move |spec| {
                // An init container that ends has no cache, no pool and no worker; one that always restarts is a sidecar.
                let stays = list == "containers" || spec["restartPolicy"] == "Always";
                let name = spec["name"].as_str()?;
                stays.then_some(Container { list, name, spec })
            })
        })
    };
    let names = || all().map(|c| c.name).collect::<Vec<_>>().join(", ");
    if let Some(wanted) = wanted {
        all().find(|c| c.name == wanted).ok_or_else(|| {
            (
                Reason::ContainerNotFound,
                format!("{} has no container \"{wanted}\"; it has {}: set container", target.key.short(), names()),
            )
        })
    } else {
        let mut main = all().filter(|c| c.list == "containers");
        match (main.next(), main.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => Err((Reason::ContainerNotFound, format!("{} has no container", target.key.short()))),
            (Some(_), Some(_)) => Err((
                Reason::ContainerAmbiguous,
                format!(
                    "{} has the containers {}: say which one in target.container or {}.container",
                    target.key.short(),
                    names(),
                    knob.path
                ),
            )),
        }
    }
}

/// The same thing is said once, however many knobs it concerns.
pub(super) fn refuse(plan: &mut Plan, reason: Reason, message: String) {
    if !plan.refusals.iter().any(|r| r.message == message) {
        plan.refuse(reason, message, false);
    }
}

/// What people are told of a value and its place.
pub(super) fn view(
    target: &Object,
    desired: &Desired<'_>,
    landing: String,
    live: Option<String>,
    state: State,
) -> Setting {
    Setting {
        path: desired.knob.path.clone(),
        object: target.key.clone(),
        field: None,
        landing,
        desired: desired.text.clone(),
        live,
        source: desired.source.to_string(),
        state,
        parts: Vec::new(),
        why: None,
    }
}

fn environment(
    target: &Object,
    container: Container<'_>,
    name: &str,
    desired: &Desired<'_>,
    plan: &mut Plan,
) -> Option<Wish> {
    let landing = variable(name, container.name);
    let trouble = trouble_of(container, name, &landing);
    let first = container.environment().find(|entry| entry["name"] == *name);
    let live_text = first.map(|entry| entry["value"].as_str().unwrap_or_default().to_owned());
    if let Some((reason, message)) = trouble {
        refuse(plan, reason, message);
        plan.settings.push(view(target, desired, landing, live_text, State::Refused));
        return None;
    }
    let text = desired.text.clone();
    Some(Wish {
        path: desired.knob.path.clone(),
        landing,
        source: Some(desired.source.to_string()),
        field: container.value_of(name),
        value: json!(text),
        live_text,
        text,
        on_conflict: desired.knob.on_conflict,
        read_at_start: None,
        parts: Vec::new(),
        options: None,
    })
}

/// Why a variable of a container is not to be written.
fn trouble_of(container: Container<'_>, name: &str, landing: &str) -> Option<(Reason, String)> {
    let mut same = container.environment().filter(|entry| entry["name"] == *name);
    let (first, second) = (same.next(), same.next());
    let reference = format!("$({name})");
    if second.is_some() {
        Some((Reason::EnvDuplicate, format!("{landing} is listed twice: remove one of them")))
    } else if first.is_some_and(|entry| entry.get("valueFrom").is_some()) {
        Some((
            Reason::EnvFromSource,
            format!(
                "{landing} comes from a valueFrom, which is never replaced: change its source, or give it a plain value"
            ),
        ))
    } else if references(container.spec, &reference) {
        Some((
            Reason::EnvReferenced,
            format!(
                "{landing} is used as {reference} elsewhere in the container, where its position in the list matters"
            ),
        ))
    } else {
        None
    }
}

fn references(container: &Json, reference: &str) -> bool {
    let lists = ["command", "args"].into_iter().flat_map(|list| container[list].as_array().into_iter().flatten());
    let values = container["env"].as_array().into_iter().flatten().map(|entry| &entry["value"]);
    lists.chain(values).filter_map(Json::as_str).any(|text| text.contains(reference))
}

fn amount(
    container: Container<'_>,
    bucket: &'static str,
    resource: &'static str,
    desired: &Desired<'_>,
    situation: &Situation<'_>,
    plan: &mut Plan,
) -> Option<Wish> {
    let landing = amount_of(bucket, resource, container.name);
    let live = container.spec["resources"][bucket].get(resource).and_then(Json::as_str);
    let quantity = desired.value.resource_quantity()?;
    contradicts(container, bucket, resource, quantity, situation, plan);
    // Another spelling of the same amount is no change, and a claim of `2048Mi` over `2Gi` would be a conflict.
    let text = match live {
        Some(live) if ResourceQuantity::parse(live).is_ok_and(|live| live == quantity) => live.to_owned(),
        _ => quantity.to_string(),
    };
    Some(Wish {
        path: desired.knob.path.clone(),
        landing,
        source: Some(desired.source.to_string()),
        field: container.path().field("resources").field(bucket).field(resource),
        value: json!(text),
        text,
        live_text: live.map(str::to_owned),
        on_conflict: desired.knob.on_conflict,
        read_at_start: None,
        parts: Vec::new(),
        options: None,
    })
}

/// A request above the limit that the target has, or a limit below its request, would be refused with every new pod.
fn contradicts(
    container: Container<'_>,
    bucket: &str,
    resource: &str,
    quantity: ResourceQuantity,
    situation: &Situation<'_>,
    plan: &mut Plan,
) {
    let other = if bucket == "limits" { "requests" } else { "limits" };
    let governed = situation.desired.iter().any(|d| {
        matches!(d.knob.landing, Landing::Resource { bucket, resource: r } if bucket == other && r == resource)
            && d.knob.container.as_deref() == Some(container.name)
    });
    let live = container.spec["resources"][other].get(resource).and_then(Json::as_str);
    let Some(live) = live.filter(|_| !governed).and_then(|text| ResourceQuantity::parse(text).ok()) else { return };
    let wrong = if bucket == "limits" { quantity < live } else { quantity > live };
    if wrong {
        refuse(
            plan,
            Reason::BoundsConflictWithTarget,
            format!(
                "resources.{}.{bucket}.{resource} is {quantity}, but {} has a {other} of {live} there: set both in the policy",
                container.name,
                situation.target.key.short(),
            ),
        );
    }
}

/// A field of a container that several knobs share.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shared {
    /// `args` is a list that Kubernetes knows as a whole only, so the claim is the list as it is with our flags in it.
    Arguments,
    /// A variable of options is one text, so the claim is the text as it is with our options in it.
    Options(Variable),
}

/// A knob and the field that it shares.
#[derive(Clone, Copy)]
struct Share<'a> {
    container: Container<'a>,
    field: Shared,
    desired: &'a Desired<'a>,
}

/// One wish per field and container, however many knobs land there.
fn shared_fields(shares: &[Share<'_>], situation: &Situation<'_>, written: &Written, plan: &mut Plan) -> Vec<Wish> {
    let mut wishes = Vec::new();
    let mut done: Vec<(&str, Shared)> = Vec::new();
    for Share { container, field, .. } in shares {
        let place = (container.name, *field);
        if done.contains(&place) {
            continue;
        }
        done.push(place);
        let here = shares.iter().filter(|share| (share.container.name, share.field) == place);
        let desired: Vec<&Desired<'_>> = here.map(|share| share.desired).collect();
        wishes.extend(match field {
            Shared::Arguments => arguments(*container, &desired, plan),
            Shared::Options(variable) => {
                let cleared = written.clear(*container, *variable, &within(situation, container.name));
                options(situation.target, *container, *variable, &desired, cleared, plan)
            }
        });
    }
    wishes
}

/// All that the policy sets in the environment of a container.
fn within<'a>(situation: &Situation<'a>, container: &str) -> Vec<&'a Desired<'a>> {
    let lands = |desired: &&Desired<'_>| {
        matches!(desired.knob.landing, Landing::Env(_) | Landing::Option(_))
            && find(situation.policy, situation.target, desired.knob).is_ok_and(|found| found.name == container)
    };
    situation.desired.iter().filter(lands).collect()
}

/// What knobs that share a field say of it together.
#[derive(Default)]
struct Together {
    parts: Vec<Part>,
}

impl Together {
    fn add(&mut self, desired: &Desired<'_>, live: Option<String>) {
        self.parts.push(Part {
            path: desired.knob.path.clone(),
            desired: desired.text.clone(),
            live,
            source: desired.source.to_string(),
        });
    }

    fn path(&self) -> Box<str> {
        let paths: Vec<&str> = self.parts.iter().map(|part| &*part.path).collect();
        paths.join(", ").into()
    }

    fn source(&self) -> String {
        let mut sources: Vec<&str> = Vec::new();
        for part in &self.parts {
            if !sources.contains(&part.source.as_str()) {
                sources.push(&part.source);
            }
        }
        sources.join("; ")
    }

    /// One knob alone needs no list.
    fn into_parts(self) -> Vec<Part> {
        if self.parts.len() > 1 { self.parts } else { Vec::new() }
    }
}

fn arguments(container: Container<'_>, all: &[&Desired<'_>], plan: &mut Plan) -> Option<Wish> {
    let live: Vec<String> =
        container.spec["args"].as_array().into_iter().flatten().filter_map(Json::as_str).map(str::to_owned).collect();
    let mut wanted = live.clone();
    let mut together = Together::default();
    for desired in all {
        let Landing::Arg(flag) = &desired.knob.landing else { continue };
        let was = flag_of(&live, flag).map(str::to_owned);
        match set_flag(&mut wanted, flag, &desired.text) {
            Ok(()) => together.add(desired, was),
            Err(count) => refuse(
                plan,
                Reason::Unsupported,
                format!(
                    "argument {flag} is given {count} times in container \"{}\": remove all but one",
                    container.name
                ),
            ),
        }
    }
    (!together.parts.is_empty()).then(|| Wish {
        path: together.path(),
        landing: arguments_of(container.name),
        source: Some(together.source()),
        field: container.path().field("args"),
        value: json!(wanted),
        text: wanted.join(" "),
        live_text: container.spec.get("args").map(|_| live.join(" ")),
        on_conflict: OnConflict::TakeOver,
        read_at_start: None,
        parts: together.into_parts(),
        options: None,
    })
}

/// What the rest of the variable says is nobody's business: people see our options only.
fn options(
    target: &Object,
    container: Container<'_>,
    variable: Variable,
    all: &[&Desired<'_>],
    cleared: Cleared,
    plan: &mut Plan,
) -> Option<Wish> {
    let name = variable.name();
    let landing = self::variable(name, container.name);
    let merged = match trouble_of(container, name, &landing) {
        Some(trouble) => Err(trouble),
        None => merge(variable, &landing, &cleared.text, all),
    };
    let (together, words, text) = match merged {
        Ok(merged) => merged,
        Err((reason, message)) => {
            refuse(plan, reason, message);
            plan.settings.extend(all.iter().map(|d| view(target, d, landing.clone(), None, State::Refused)));
            return None;
        }
    };
    let said = |of: fn(&Part) -> Option<&str>| together.parts.iter().filter_map(of).collect::<Vec<_>>().join(" ");
    // What goes with this write was ours, too.
    let mut live_text: Vec<String> = vec![said(|part| part.live.as_deref())];
    live_text.extend(cleared.taken);
    let live_text = live_text.join(" ").trim_start().to_owned();
    Some(Wish {
        path: together.path(),
        landing,
        source: Some(together.source()),
        field: container.value_of(name),
        value: json!(text),
        text: said(|part| Some(&part.desired)),
        live_text: (!live_text.is_empty()).then_some(live_text),
        // The text is one field: who leaves a part of it, leaves all of it.
        on_conflict: if all.iter().all(|desired| desired.knob.on_conflict == OnConflict::TakeOver) {
            OnConflict::TakeOver
        } else {
            OnConflict::Yield
        },
        read_at_start: None,
        parts: together.into_parts(),
        options: Some(claim::Options { variable, words }),
    })
}

type Merged = (Together, Vec<(&'static Known, String)>, String);

/// The text of a variable with our options in it.
fn merge(variable: Variable, landing: &str, live: &str, all: &[&Desired<'_>]) -> Result<Merged, (Reason, String)> {
    let unreadable = |error: &dyn std::fmt::Display| (Reason::OptionsUnparseable, format!("{landing} {error}"));
    let words = variable.split(live).map_err(|error| unreadable(&error))?;
    if let Some(word) = words.iter().find(|word| word.text.starts_with("$(")) {
        let message = format!("holds {}, and what that stands for cannot be seen: write the options out", word.text);
        return Err(unreadable(&message));
    }
    let mut together = Together::default();
    let mut wanted: Vec<(&'static Known, String)> = Vec::new();
    for desired in all {
        let Landing::Option(known) = desired.knob.landing else { continue };
        if let Some(at) = wanted.iter().position(|(other, _)| *other == known) {
            let first = together.parts.get(at).map_or("", |part| &part.path);
            let message = format!("{} lands where {first} lands already: option {}", desired.knob.path, known.token);
            return Err((Reason::InvalidSpec, message));
        }
        let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
        if known.unit == options::Unit::Socket && known.find(&texts).len() > 1 {
            let message = format!("{landing} gives {} more than once, and each is listened on: leave one", known.token);
            return Err((Reason::Unsupported, message));
        }
        let was = options::find_text(known, live).map_err(|error| unreadable(&error))?;
        // Another spelling of the same value is no change.
        let same = options::set(variable, was.as_deref().unwrap_or_default(), &[(known, &desired.text)]);
        let is_same = was.is_some() && same.as_ref().ok() == was.as_ref();
        together.add(desired, if is_same { Some(desired.text.clone()) } else { was });
        wanted.push((known, desired.text.clone()));
    }
    let pairs: Vec<_> = wanted.iter().map(|(known, word)| (*known, word.as_str())).collect();
    let text = options::set(variable, live, &pairs).map_err(|error| unreadable(&error))?;
    Ok((together, wanted, text))
}

/// How people are told of the kernel parameters of a pod.
const SYSCTLS: &str = "sysctls of the pod";
const SYSCTLS_AT: &str = "/spec/template/spec/securityContext/sysctls";

/// Whether an entry of the list of kernel parameters is the one of that name, however the name is written.
fn is_sysctl(entry: &Json, name: &str) -> bool {
    entry["name"].as_str().is_some_and(|written| sysctl::normal(written) == *name)
}

/// The wish for the kernel parameters of the pod: the list as it is with ours in it.
fn sysctl_list(target: &Object, sysctls: &[(&str, &Desired<'_>)], plan: &mut Plan) -> Option<Wish> {
    let live: Vec<Json> = target.items(SYSCTLS_AT).cloned().collect();
    let mut wanted = live.clone();
    let mut together = Together::default();
    for (name, desired) in sysctls {
        let places: Vec<usize> = (0..live.len()).filter(|i| is_sysctl(&live[*i], name)).collect();
        let trouble = match (not_of_the_pod(target, name), &places[..]) {
            (Some(why), _) => Some(format!("sysctl {name} cannot be set on the pods of {}: {why}", target.key.short())),
            (None, [_, _, ..]) => {
                Some(format!("sysctl {name} is listed {} times in the pod: remove all but one", places.len()))
            }
            (None, [at]) => {
                let written = wanted[*at]["value"].as_str().unwrap_or_default();
                // Another spelling of the same numbers is no change.
                if !sysctl::is_same(written, &desired.text) {
                    wanted[*at]["value"] = json!(desired.text);
                }
                None
            }
            (None, []) => {
                wanted.push(json!({"name": name, "value": desired.text}));
                None
            }
        };
        if let Some(message) = trouble {
            refuse(plan, Reason::Unsupported, message);
            let live = places.first().and_then(|at| live[*at]["value"].as_str()).map(str::to_owned);
            plan.settings.push(view(target, desired, SYSCTLS.to_owned(), live, State::Refused));
        } else {
            together.add(desired, None);
        }
    }
    let text = |list: &[Json]| {
        let word = |entry: &Json, member: &str| entry[member].as_str().unwrap_or_default().to_owned();
        let pairs: Vec<String> =
            list.iter().map(|entry| format!("{}={}", word(entry, "name"), word(entry, "value"))).collect();
        pairs.join(", ")
    };
    (!together.parts.is_empty()).then(|| Wish {
        // The names are in the text already.
        path: "kernel.sysctls".into(),
        landing: SYSCTLS.to_owned(),
        source: Some(together.source()),
        field: FieldPath::of(&["spec", "template", "spec", "securityContext", "sysctls"]),
        text: text(&wanted),
        live_text: target.at(SYSCTLS_AT).map(|_| text(&live)),
        on_conflict: sysctls.first().map(|(_, desired)| desired.knob.on_conflict).unwrap_or_default(),
        value: Json::Array(wanted),
        read_at_start: None,
        parts: Vec::new(),
        options: None,
    })
}

/// Why pods of `target` have no kernel parameter `name` of their own, which the API server or the kubelet would refuse.
fn not_of_the_pod(target: &Object, name: &str) -> Option<&'static str> {
    let pod = |member: &str| target.at(&format!("/spec/template/spec/{member}"));
    let shares = |member: &str| pod(member) == Some(&Json::Bool(true));
    if pod("os/name").is_some_and(|os| os == "windows") {
        return Some("they run on Windows");
    }
    match sysctl::namespace(name)? {
        Namespace::Net if shares("hostNetwork") => Some(
            "with hostNetwork they share the network of the node: remove it from the policy, or set it on the node",
        ),
        Namespace::Ipc if shares("hostIPC") => {
            Some("with hostIPC they share the memory of the node: remove it from the policy, or set it on the node")
        }
        Namespace::Net | Namespace::Ipc => None,
    }
}

/// Replaces the value of `flag`, written `--flag=value` or `--flag value`, or appends it.
///
/// # Errors
/// How often the flag is there, if more than once: which one counts is the application's secret.
fn set_flag(args: &mut Vec<String>, flag: &str, value: &str) -> Result<(), usize> {
    let joined = format!("{flag}=");
    let places: Vec<usize> = (0..args.len()).filter(|i| is_flag(&args[*i], flag)).collect();
    match places[..] {
        [] => args.push(format!("{joined}{value}")),
        [at] if args[at] == flag => match args.get_mut(at + 1) {
            Some(next) if !next.starts_with("--") => value.clone_into(next),
            _ => args[at] = format!("{joined}{value}"),
        },
        [at] => args[at] = format!("{joined}{value}"),
        _ => return Err(places.len()),
    }
    Ok(())
}

/// The stamp restarts pods when, and only when, bytes that this policy wrote into a document have changed.
fn stamp(situation: &Situation<'_>, documents: &Documents) -> Option<Wish> {
    let key = names::stamp(situation.policy.identity.name());
    let field = FieldPath::of(&["spec", "template", "metadata", "annotations", &key]);
    let live = field.lookup(&situation.target.content).and_then(Json::as_str).map(str::to_owned);
    // A stamp that failed is asked for once more, so that the claim takes it back to what was there before it.
    let failed = live.clone().filter(|live| situation.memory.quarantine.contains(&value_hash(STAMP, live)));
    let hash = &failed.or_else(|| documents.stamp.clone())?;
    Some(Wish {
        path: STAMP.into(),
        landing: format!("pod-template annotation {key}"),
        source: None,
        field,
        value: json!(hash),
        text: hash.clone(),
        live_text: live,
        on_conflict: OnConflict::Yield,
        read_at_start: None,
        parts: Vec::new(),
        options: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(args: &[&str], want: &[&str]) {
        let mut list: Vec<String> = args.iter().map(|a| (*a).to_owned()).collect();
        set_flag(&mut list, "--workers", "4").unwrap();
        assert_eq!(list, want);
    }

    #[test]
    fn a_flag_is_replaced_in_place_and_never_given_twice() {
        check(&["serve", "--workers=2", "-v"], &["serve", "--workers=4", "-v"]);
        check(&["serve", "--workers", "2", "-v"], &["serve", "--workers", "4", "-v"]);
        check(&["serve", "--workers"], &["serve", "--workers=4"]);
        check(&["serve", "--workers", "--verbose"], &["serve", "--workers=4", "--verbose"]);
        check(&[], &["--workers=4"]);
        check(&["--workers-max=9"], &["--workers-max=9", "--workers=4"]);
        let mut twice = vec!["--workers=1".to_owned(), "--workers=2".to_owned()];
        assert_eq!(set_flag(&mut twice, "--workers", "4"), Err(2));
    }
}

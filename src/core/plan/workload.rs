//! What lands in the pod template: environment, arguments, resources, and the stamp of bound documents.

use serde_json::{Value as Json, json};

use super::{
    Plan, STAMP, Setting, Situation, State,
    claim::{self, Part, Wish},
    config_map::Documents,
    leftovers::{Cleared, Written},
    shared::{Piece, is_sysctl, set_flag},
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
    if let (Landing::Sysctl(_), Some(piece)) = (&knob.landing, Piece::of(&knob.landing)) {
        return piece.read(target.at(SYSCTLS_AT));
    }
    let container = find(policy, target, knob).ok()?;
    match &knob.landing {
        Landing::Env(name) => container.variable(name).map(str::to_owned),
        Landing::Option(known) => {
            let text = container.variable(known.variable.name())?;
            options::find_text(known, text).ok().flatten()
        }
        Landing::Arg(_) => Piece::of(&knob.landing)?.read(container.spec.get("args")),
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
    Some(Wish {
        landing,
        field: container.value_of(name),
        value: json!(desired.text),
        on_conflict: desired.knob.on_conflict,
        read_at_start: None,
        parts: vec![Part::whole(desired, desired.text.clone(), live_text)],
        cleared: None,
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
        landing,
        field: container.path().field("resources").field(bucket).field(resource),
        value: json!(text),
        on_conflict: desired.knob.on_conflict,
        read_at_start: None,
        parts: vec![Part::whole(desired, text, live.map(str::to_owned))],
        cleared: None,
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
                options(situation.target, *container, *variable, &desired, &cleared, plan)
            }
        });
    }
    wishes
}

/// Whether a value failed, here or on another target, and is not written.
pub(super) fn is_out(situation: &Situation<'_>, desired: &Desired<'_>) -> bool {
    situation.memory.failed.contains(&value_hash(&desired.knob.path, &desired.text))
}

/// All that the policy sets in the environment of a container, but for what failed and stays out.
fn within<'a>(situation: &Situation<'a>, container: &str) -> Vec<&'a Desired<'a>> {
    let lands = |desired: &&Desired<'_>| {
        matches!(desired.knob.landing, Landing::Env(_) | Landing::Option(_))
            && !is_out(situation, desired)
            && find(situation.policy, situation.target, desired.knob).is_ok_and(|found| found.name == container)
    };
    situation.desired.iter().filter(lands).collect()
}

fn arguments(container: Container<'_>, all: &[&Desired<'_>], plan: &mut Plan) -> Option<Wish> {
    let live = container.spec.get("args");
    let mut wanted: Vec<String> =
        live.and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str).map(str::to_owned).collect();
    let mut parts = Vec::new();
    for desired in all {
        let (Landing::Arg(flag), Some(piece)) = (&desired.knob.landing, Piece::of(&desired.knob.landing)) else {
            continue;
        };
        let was = piece.read(live);
        match set_flag(&mut wanted, flag, &desired.text) {
            Ok(()) => parts.push(Part::of(piece, desired, was)),
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
    (!parts.is_empty()).then(|| Wish {
        landing: arguments_of(container.name),
        field: container.path().field("args"),
        value: json!(wanted),
        on_conflict: OnConflict::TakeOver,
        read_at_start: None,
        parts,
        cleared: None,
    })
}

/// What the rest of the variable says is nobody's business: people see our options only.
fn options(
    target: &Object,
    container: Container<'_>,
    variable: Variable,
    all: &[&Desired<'_>],
    cleared: &Cleared,
    plan: &mut Plan,
) -> Option<Wish> {
    let name = variable.name();
    let landing = self::variable(name, container.name);
    let merged = match trouble_of(container, name, &landing) {
        Some(trouble) => Err(trouble),
        None => merge(variable, &landing, &cleared.text, all),
    };
    let (parts, text) = match merged {
        Ok(merged) => merged,
        Err((reason, message)) => {
            refuse(plan, reason, message);
            plan.settings.extend(all.iter().map(|d| view(target, d, landing.clone(), None, State::Refused)));
            return None;
        }
    };
    Some(Wish {
        landing,
        field: container.value_of(name),
        value: json!(text),
        // The text is one field: who leaves a part of it, leaves all of it.
        on_conflict: if all.iter().all(|desired| desired.knob.on_conflict == OnConflict::TakeOver) {
            OnConflict::TakeOver
        } else {
            OnConflict::Yield
        },
        read_at_start: None,
        parts,
        cleared: (!cleared.taken.is_empty())
            .then(|| claim::Cleared { text: json!(cleared.text), taken: cleared.taken.join(" ") }),
    })
}

/// Our options, and the text of a variable with them in it.
fn merge(
    variable: Variable,
    landing: &str,
    live: &str,
    all: &[&Desired<'_>],
) -> Result<(Vec<Part>, String), (Reason, String)> {
    let unreadable = |error: &dyn std::fmt::Display| (Reason::OptionsUnparseable, format!("{landing} {error}"));
    let words = variable.split(live).map_err(|error| unreadable(&error))?;
    if let Some(word) = words.iter().find(|word| word.text.starts_with("$(")) {
        let message = format!("holds {}, and what that stands for cannot be seen: write the options out", word.text);
        return Err(unreadable(&message));
    }
    let mut parts: Vec<Part> = Vec::new();
    let mut wanted: Vec<(&'static Known, String)> = Vec::new();
    for desired in all {
        let Landing::Option(known) = desired.knob.landing else { continue };
        if let Some(at) = wanted.iter().position(|(other, _)| *other == known) {
            let first = parts.get(at).map_or("", |part| &part.path);
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
        let was = if is_same { Some(desired.text.clone()) } else { was };
        parts.push(Part::of(Piece::Option(known), desired, was));
        wanted.push((known, desired.text.clone()));
    }
    let pairs: Vec<_> = wanted.iter().map(|(known, word)| (*known, word.as_str())).collect();
    let text = options::set(variable, live, &pairs).map_err(|error| unreadable(&error))?;
    Ok((parts, text))
}

/// How people are told of the kernel parameters of a pod.
const SYSCTLS: &str = "sysctls of the pod";
const SYSCTLS_AT: &str = "/spec/template/spec/securityContext/sysctls";

/// The wish for the kernel parameters of the pod: the list as it is with ours in it.
fn sysctl_list(target: &Object, sysctls: &[(&str, &Desired<'_>)], plan: &mut Plan) -> Option<Wish> {
    let live = target.at(SYSCTLS_AT);
    let mut wanted = live.cloned();
    let mut parts = Vec::new();
    for (name, desired) in sysctls {
        let piece = Piece::Sysctl((*name).into());
        let was = piece.read(live);
        let times = target.items(SYSCTLS_AT).filter(|entry| is_sysctl(entry, name)).count();
        let trouble = match (not_of_the_pod(target, name), times) {
            (Some(why), _) => Some(format!("sysctl {name} cannot be set on the pods of {}: {why}", target.key.short())),
            (None, 2..) => Some(format!("sysctl {name} is listed {times} times in the pod: remove all but one")),
            (None, _) => None,
        };
        if let Some(message) = trouble {
            refuse(plan, Reason::Unsupported, message);
            plan.settings.push(view(target, desired, SYSCTLS.to_owned(), was, State::Refused));
            continue;
        }
        wanted = piece.set(wanted.as_ref(), &desired.text);
        // Another spelling of the same numbers is no change.
        let is_same = was.as_ref().is_some_and(|was| sysctl::is_same(was, &desired.text));
        parts.push(Part::of(piece, desired, if is_same { Some(desired.text.clone()) } else { was }));
    }
    (!parts.is_empty()).then(|| Wish {
        landing: SYSCTLS.to_owned(),
        field: FieldPath::of(&["spec", "template", "spec", "securityContext", "sysctls"]),
        on_conflict: sysctls.first().map(|(_, desired)| desired.knob.on_conflict).unwrap_or_default(),
        value: wanted.unwrap_or_default(),
        read_at_start: None,
        parts,
        cleared: None,
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

/// The stamp restarts pods when, and only when, bytes that this policy wrote into a document have changed.
fn stamp(situation: &Situation<'_>, documents: &Documents) -> Option<Wish> {
    let key = names::stamp(situation.policy.identity.name());
    let field = FieldPath::of(&["spec", "template", "metadata", "annotations", &key]);
    let live = field.lookup(&situation.target.content).and_then(Json::as_str).map(str::to_owned);
    // A stamp that failed is asked for once more, so that the claim takes it back to what was there before it.
    let failed = live.clone().filter(|live| situation.memory.quarantine.contains(&value_hash(STAMP, live)));
    let hash = &failed.or_else(|| documents.stamp.clone())?;
    Some(Wish {
        landing: format!("pod-template annotation {key}"),
        field,
        value: json!(hash),
        on_conflict: OnConflict::Yield,
        read_at_start: None,
        parts: vec![Part { path: STAMP.into(), text: hash.clone(), live, source: None, piece: None }],
        cleared: None,
    })
}

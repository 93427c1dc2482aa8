//! Traps of precedence: what a container reads later than the place where a knob lands, and which therefore wins.
//!
//! | knob lands in | what wins |
//! |---|---|
//! | `WEB_CONCURRENCY` | `--workers` in `GUNICORN_CMD_ARGS` or in the command; a configuration file may |
//! | `GUNICORN_CMD_ARGS` | the same option in the command |
//! | `JAVA_TOOL_OPTIONS` | the same option in the command, in `JDK_JAVA_OPTIONS` or in `_JAVA_OPTIONS`; `-Xmx` before `MaxRAMPercentage` |
//! | `JAVA_TOOL_OPTIONS` | nothing, where two places together keep the JVM from its start: two collectors, a first heap above the largest |
//! | `NODE_OPTIONS` | the same option in the command; `--max-old-space-size-percentage` |
//! | `PYTHON_CPU_COUNT` | `-X cpu_count` and `-E`, `-I` in the command |
//!
//! A value that could not have any effect is refused: to write it and call it applied would be a lie. So is one with which the
//! JVM would not start, also where that needs an image whose start script puts a variable such as `JAVA_OPTS` into the command,
//! as most do that read one. What may have less effect than its author expects is a warning. Only the pod template is seen: not the image, its start script or what code sets.

use super::{
    Plan, Situation,
    leftovers::{Written, lands_in, value},
    workload::{Container, find, is_out, refuse},
};
use crate::{
    api::conditions::Reason,
    core::{
        options::{self, HEAP_MAX, HEAP_MIN, Known, MAX_RAM, SOFT_MAX, Unit, Variable, WORKERS},
        policy::{Landing, runtime},
        resolve::{self, Desired},
        units::Value,
    },
};

/// Looks at every container in which the policy sets variables.
pub(super) fn look(situation: &Situation<'_>, written: &Written, plan: &mut Plan) {
    let mut seen: Vec<(Container<'_>, Vec<&Desired<'_>>)> = Vec::new();
    for desired in situation.desired {
        // What failed is not written, so it can neither be idle nor make anything else so.
        if !matches!(desired.knob.landing, Landing::Env(_) | Landing::Option(_)) || is_out(situation, desired) {
            continue;
        }
        // What has no container has been refused already.
        let Ok(container) = find(situation.policy, situation.target, desired.knob) else { continue };
        match seen.iter_mut().find(|(known, _)| known.name == container.name) {
            Some((_, all)) => all.push(desired),
            None => seen.push((container, vec![desired])),
        }
    }
    for (container, all) in seen {
        let sight = Sight { short: situation.target.key.short(), container, command: command(container), all, written };
        for desired in &sight.all {
            match &desired.knob.landing {
                Landing::Option(known) => sight.option(desired, known, plan),
                Landing::Env(name) => sight.environment(desired, name, plan),
                _ => {}
            }
        }
    }
    let value = |path: &str| Some(situation.desired.iter().find(|desired| *desired.knob.path == *path)?.value.clone());
    for memory in resolve::memory(situation.policy, situation.target, value) {
        if let Some(message) = memory.warning() {
            plan.warn(&memory.path, message);
        }
    }
}

/// What is known of one container.
struct Sight<'a> {
    short: String,
    container: Container<'a>,
    /// The words of its command and arguments.
    command: Vec<String>,
    /// What the policy sets in its environment.
    all: Vec<&'a Desired<'a>>,
    /// What it has written there before.
    written: &'a Written,
}

/// Where options of a JVM stand, and their words.
struct Place {
    name: &'static str,
    words: Vec<String>,
    /// It is certain that the JVM reads them.
    is_certain: bool,
}

/// An option, where the JVM reads it last.
struct Effective<'a> {
    value: Value,
    word: String,
    place: &'static str,
    is_certain: bool,
    /// The policy sets it.
    by: Option<&'a Desired<'a>>,
}

/// Options that other variables give to a JVM, and whether that is certain.
const JAVA_LATER: [&str; 2] = ["JDK_JAVA_OPTIONS", "_JAVA_OPTIONS"];
/// Variables that start scripts of many images put into the command.
const JAVA_MAYBE: [&str; 5] = ["JAVA_OPTS", "JAVA_OPTIONS", "JVM_OPTS", "CATALINA_OPTS", "JAVA_ARGS"];
const COMMAND: &str = "its command";
/// Pairs of which the JVM does not start unless the first is at most the second, and what they are.
const PAIRS: [(&str, &str); 3] =
    [(HEAP_MIN, "an initial heap of"), (SOFT_MAX, "a soft limit of the heap of"), ("", "a smallest heap of")];
const OLD_SPACE_SHARE: &str = "--max-old-space-size-percentage";
/// Servers that read `WEB_CONCURRENCY`, and a number of workers from their command first.
const SERVERS: [&str; 3] = ["gunicorn", "uvicorn", "hypercorn"];

impl Sight<'_> {
    fn option(&self, desired: &Desired<'_>, known: &'static Known, plan: &mut Plan) {
        let name = known.variable.name();
        if self.container.variable(name).is_none()
            && self.container.spec["envFrom"].as_array().is_some_and(|all| !all.is_empty())
        {
            let message = format!(
                "begins the variable {name} in container \"{}\", which has an envFrom: if {name} comes from there, it is \
                 replaced; then write all of it into env",
                self.container.name
            );
            plan.warn(&desired.knob.path, message);
        }
        if known.unit == Unit::Collector {
            self.collectors(desired, plan);
        } else if let Some((place, word)) = self.later(known) {
            self.no_effect(desired, &place, &word, name, plan);
        }
        match known.variable {
            Variable::JavaToolOptions => self.java(desired, known, plan),
            Variable::NodeOptions => self.node(desired, known, plan),
            Variable::GunicornCmdArgs => {}
        }
    }

    /// Where the option stands that is read after the one of the variable.
    fn later(&self, known: &'static Known) -> Option<(String, String)> {
        let command = self.words_for(known.variable);
        if let Some(word) = written(known, command) {
            return Some((COMMAND.to_owned(), word));
        }
        if known.variable != Variable::JavaToolOptions {
            return None;
        }
        let mut later =
            JAVA_LATER.into_iter().filter_map(|name| Some((name.to_owned(), self.in_variable(known, name)?)));
        later.next()
    }

    /// The option in the text of a variable.
    fn in_variable(&self, known: &Known, name: &str) -> Option<String> {
        let words = if name == known.variable.name() {
            self.own(known.variable)
        } else {
            split(self.container.variable(name)?, known.variable)
        };
        written(known, &words)
    }

    /// The words of a variable of options, as they are when what the policy has left there is out of its way. Only a variable
    /// that is written anyhow is cleared.
    fn own(&self, variable: Variable) -> Vec<String> {
        let is_written = |desired: &&Desired<'_>| matches!(desired.knob.landing, Landing::Option(known) if known.variable == variable);
        if self.all.iter().any(is_written) {
            split(&self.written.clear(self.container, variable, &self.all).text, variable)
        } else {
            split(self.container.variable(variable.name()).unwrap_or_default(), variable)
        }
    }

    /// Everywhere that a JVM reads options, in its order: with those of a variable that a start script may put into the command.
    fn places(&self, script: Option<&'static str>) -> Vec<Place> {
        let text = |name: &'static str, is_certain| {
            let words = split(self.container.variable(name).unwrap_or_default(), Variable::JavaToolOptions);
            Place { name, words, is_certain }
        };
        let [launcher, last] = JAVA_LATER;
        let own = Place {
            name: Variable::JavaToolOptions.name(),
            words: self.own(Variable::JavaToolOptions),
            is_certain: true,
        };
        let command =
            Place { name: COMMAND, words: self.words_for(Variable::JavaToolOptions).to_vec(), is_certain: true };
        let script = script.map(|name| text(name, false));
        [own, text(launcher, true)].into_iter().chain(script).chain([command, text(last, true)]).collect()
    }

    /// Without any variable of a start script, and with each that is there.
    fn scripts(&self) -> impl Iterator<Item = Option<&'static str>> {
        let there = JAVA_MAYBE.into_iter().filter(|name| self.container.variable(name).is_some());
        std::iter::once(None).chain(there.map(Some))
    }

    /// What is said of two options with which the JVM would not start.
    fn no_start(
        &self,
        desired: &Desired<'_>,
        what: &str,
        (word, place): (&str, &str),
        is_certain: bool,
        plan: &mut Plan,
    ) {
        let condition =
            if is_certain { String::new() } else { format!(" if the image puts {place} into the command of java") };
        let own = Variable::JavaToolOptions.name();
        let next = if place == own {
            "set both in the policy, or take it out there".to_owned()
        } else {
            format!("take it out there, or change {}", desired.knob.path)
        };
        let message = format!(
            "{} is {}, and container \"{}\" of {} has {word} in {place}: {what}, and the JVM would not start{condition}; {next}",
            desired.knob.path, desired.value, self.container.name, self.short
        );
        refuse(plan, Reason::BoundsConflictWithTarget, message);
    }

    /// Two collectors stop the JVM, wherever they stand.
    fn collectors(&self, desired: &Desired<'_>, plan: &mut Plan) {
        let own = Variable::JavaToolOptions.name();
        let Value::Enum(ours) = &desired.value else { return };
        for script in self.scripts() {
            // In the own variable one is left.
            let mut others: Vec<(String, String, &'static str, bool)> = Vec::new();
            let mut off = None;
            for place in self.places(script).into_iter().filter(|place| place.name != own) {
                for word in &place.words {
                    let Some((name, is_on)) = collector(word) else { continue };
                    // An old name of a part of the same one.
                    let is_ours = name == ours || (ours == "Parallel" && name == "ParallelOld");
                    match (is_ours, is_on) {
                        (true, on) => off = (!on).then(|| (word.clone(), place.name)),
                        (false, true) => others.push((name.to_owned(), word.clone(), place.name, place.is_certain)),
                        (false, false) => others.retain(|(other, ..)| other != name),
                    }
                }
            }
            if let Some((word, place)) = off {
                self.no_effect(desired, place, &word, own, plan);
            } else if let Some((_, word, place, is_certain)) = others.first() {
                let both = format!("with {} in {own} that makes two garbage collectors", desired.text);
                self.no_start(desired, &both, (word, place), *is_certain, plan);
                return;
            }
        }
    }

    /// The words of the command that the runtime of a variable reads.
    fn words_for(&self, variable: Variable) -> &[String] {
        match variable {
            Variable::JavaToolOptions => {
                let words = after(&self.command, &["java"]).unwrap_or(&self.command);
                until(words, |word| word == "-jar")
            }
            Variable::NodeOptions => match after(&self.command, &["node", "nodejs"]) {
                Some(words) => until(words, |word| !word.starts_with('-')),
                // The image may begin with node itself.
                None if self.container.spec.get("command").is_none() => {
                    until(&self.command, |word| !word.starts_with('-'))
                }
                None => &[],
            },
            Variable::GunicornCmdArgs => after(&self.command, &SERVERS).unwrap_or(&self.command),
        }
    }

    fn no_effect(&self, desired: &Desired<'_>, place: &str, word: &str, lands: &str, plan: &mut Plan) {
        let message = format!(
            "{} would have no effect on container \"{}\" of {}: {word} in {place} is read after {lands}; take it out there",
            desired.knob.path, self.container.name, self.short
        );
        refuse(plan, Reason::NoEffect, message);
    }

    fn java(&self, desired: &Desired<'_>, known: &'static Known, plan: &mut Plan) {
        let path = &desired.knob.path;
        for name in JAVA_MAYBE.into_iter().filter(|_| known.unit != Unit::Collector) {
            let Some(word) = self.in_variable(known, name) else { continue };
            let message = format!(
                "may have no effect: {word} in {name} is read after JAVA_TOOL_OPTIONS if the image puts {name} into the \
                 command of java; take it out there"
            );
            plan.warn(path, message);
        }
        for entry in self.container.environment().filter(|entry| entry.get("valueFrom").is_some()) {
            if let Some(name) = JAVA_LATER.into_iter().find(|name| entry["name"] == *name) {
                plan.warn(path, format!("may have no effect: {name}, which is read later, comes from a valueFrom"));
            }
        }
        let ours = |token: &str| self.all.iter().find(|other| lands_in(other, token));
        if known.token == MAX_RAM
            && let Some(heap) = options::known(HEAP_MAX)
        {
            let elsewhere = || self.anywhere(heap).map(|(place, word)| format!("{word} in {place}"));
            let word = ours(HEAP_MAX).map(|other| other.knob.path.to_string()).or_else(elsewhere);
            if let Some(word) = word {
                let message = format!(
                    "{path} would have no effect on container \"{}\" of {}: {word} sets the heap, and makes it idle; take \
                     one of the two out",
                    self.container.name, self.short
                );
                refuse(plan, Reason::NoEffect, message);
            }
            for name in JAVA_MAYBE {
                let Some(word) = self.in_variable(heap, name) else { continue };
                let message = format!(
                    "may have no effect: {word} in {name} sets the heap if the image puts {name} into the command of java; take \
                     it out there"
                );
                plan.warn(path, message);
            }
        }
        if known.token == HEAP_MAX
            && let Some((_, word)) = options::known(MAX_RAM).and_then(|known| self.anywhere(known))
        {
            plan.warn(path, format!("makes {word} of container \"{}\" idle: take that out", self.container.name));
        }
        self.heaps(desired, known, plan);
    }

    /// A JVM whose first heap is above its largest one does not start.
    fn heaps(&self, desired: &Desired<'_>, known: &'static Known, plan: &mut Plan) {
        let Some(most) = options::known(HEAP_MAX) else { return };
        let is_pair = |token: &str| known.token == HEAP_MAX || known.token == token;
        for script in self.scripts() {
            let places = self.places(script);
            for (token, what) in PAIRS.into_iter().filter(|(token, _)| is_pair(token)) {
                let small = options::known(token).unwrap_or(&options::MIN_HEAP);
                let (Some(small), Some(large)) = (self.effective(small, &places), self.effective(most, &places)) else {
                    continue;
                };
                // Both of the policy are held against each other where it is read.
                let theirs = match (small.by, large.by) {
                    (Some(ours), None) if std::ptr::eq(ours, desired) => &large,
                    (None, Some(ours)) if std::ptr::eq(ours, desired) => &small,
                    _ => continue,
                };
                if small.value > large.value {
                    let sum = format!("{what} {} is above the largest of {}", small.value, large.value);
                    self.no_start(desired, &sum, (&theirs.word, theirs.place), theirs.is_certain, plan);
                    return;
                }
            }
        }
    }

    /// An option where the JVM reads it last.
    fn effective(&self, known: &'static Known, places: &[Place]) -> Option<Effective<'_>> {
        let own = Variable::JavaToolOptions.name();
        let ours = self.all.iter().copied().find(|desired| lands_in(desired, known.token));
        let mut effective = ours.map(|desired| Effective {
            value: desired.value.clone(),
            word: desired.text.clone(),
            place: own,
            is_certain: true,
            by: Some(desired),
        });
        // What the policy sets replaces what is in its variable.
        for place in places.iter().filter(|place| ours.is_none() || place.name != own) {
            let Some(word) = written(known, &place.words) else { continue };
            // What cannot be read is not judged.
            let value = value(known, &word)?;
            effective = Some(Effective { value, word, place: place.name, is_certain: place.is_certain, by: None });
        }
        effective
    }

    /// An option of the JVM wherever it stands, as the JVM reads it last.
    fn anywhere(&self, known: &'static Known) -> Option<(String, String)> {
        let name = known.variable.name();
        self.later(known).or_else(|| Some((name.to_owned(), self.in_variable(known, name)?)))
    }

    fn node(&self, desired: &Desired<'_>, known: &'static Known, plan: &mut Plan) {
        if known.token != options::MAX_OLD_SPACE {
            return;
        }
        let is_share =
            |word: &String| word.split('=').next().is_some_and(|name| name.replace('_', "-") == OLD_SPACE_SHARE);
        let own = self.own(known.variable);
        let found = own.iter().map(|word| (word, known.variable.name()));
        let command = self.words_for(known.variable).iter().map(|word| (word, COMMAND));
        if let Some((word, place)) = found.chain(command).find(|(word, _)| is_share(word)) {
            let message = format!(
                "{} would have no effect on container \"{}\" of {}: {word} in {place} takes precedence; take it out there",
                desired.knob.path, self.container.name, self.short
            );
            refuse(plan, Reason::NoEffect, message);
        }
    }

    fn environment(&self, desired: &Desired<'_>, name: &str, plan: &mut Plan) {
        let path = &desired.knob.path;
        match name {
            "WEB_CONCURRENCY" => self.web_concurrency(desired, plan),
            "GOMAXPROCS" => plan.warn(
                path,
                "sets GOMAXPROCS: Go 1.25 and later would follow the CPU limit by themselves, and no longer do".into(),
            ),
            runtime::GO_MEMORY_LIMIT => {
                let own = self
                    .all
                    .iter()
                    .any(|other| matches!(&other.knob.landing, Landing::Env(name) if **name == *"GOMAXPROCS"));
                if let Some(text) = self.container.variable("GOMAXPROCS").filter(|_| !own) {
                    let message = format!(
                        "is set beside GOMAXPROCS={text} in container \"{}\": Go 1.25 and later would follow the CPU limit by \
                         themselves without it",
                        self.container.name
                    );
                    plan.warn(path, message);
                }
            }
            "PYTHON_CPU_COUNT" => self.python(desired, plan),
            _ => {}
        }
    }

    fn web_concurrency(&self, desired: &Desired<'_>, plan: &mut Plan) {
        let Some(workers) = options::known(WORKERS) else { return };
        let variable = workers.variable.name();
        let is_ours = |other: &&Desired<'_>| lands_in(other, WORKERS);
        let server = after(&self.command, &SERVERS);
        let words = server.unwrap_or(&self.command);
        // Of an unknown program only the long name is certain.
        let is_certain = |word: &String| server.is_some() || word.starts_with(WORKERS);
        if let Some(word) = written(workers, words).filter(is_certain) {
            self.no_effect(desired, COMMAND, &word, "WEB_CONCURRENCY", plan);
        } else if let Some(word) = self.in_variable(workers, variable) {
            let is_left = !self.written.clear(self.container, workers.variable, &self.all).taken.is_empty();
            let place =
                if is_left { format!("{variable}, where this policy has left it,") } else { variable.to_owned() };
            self.no_effect(desired, &place, &word, "WEB_CONCURRENCY", plan);
        } else if let Some(other) = self.all.iter().copied().find(|other| is_ours(other)) {
            let word = &other.knob.path;
            self.no_effect(desired, variable, word, "WEB_CONCURRENCY", plan);
        }
        let options = self.container.variable(variable).map(|text| split(text, workers.variable)).unwrap_or_default();
        let file = |words: &[String]| {
            words.iter().any(|word| word == "-c" || word == "--config" || word.starts_with("--config="))
        };
        if server.is_some_and(file) || file(&options) {
            let message = "may have no effect: gunicorn is started with a configuration file, and workers there is read \
                           after WEB_CONCURRENCY";
            plan.warn(&desired.knob.path, message.into());
        }
    }

    fn python(&self, desired: &Desired<'_>, plan: &mut Plan) {
        let is_python = |word: &&String| base(word).starts_with("python");
        let Some(at) = self.command.iter().position(|word| is_python(&word)) else { return };
        let words = self.command.get(at + 1..).unwrap_or_default();
        // A value of its own follows these; anything else that is no option is the program.
        let mut rest = words.iter();
        while let Some(word) = rest.next() {
            let value = match word.as_str() {
                "-X" | "-W" => rest.next().map(String::as_str),
                _ => None,
            };
            let counts = value.or_else(|| word.strip_prefix("-X")).is_some_and(|text| text.starts_with("cpu_count"));
            if counts {
                self.no_effect(desired, COMMAND, "-X cpu_count", "PYTHON_CPU_COUNT", plan);
            }
            if !word.starts_with('-') || matches!(word.as_str(), "-m" | "-c") {
                break;
            }
            let is_short = !word.starts_with("--") && !word.starts_with("-X") && !word.starts_with("-W");
            if is_short && word.contains(['E', 'I']) {
                let message = format!(
                    "{} would have no effect on container \"{}\" of {}: with {word} in its command, Python ignores its \
                     environment; take it out there",
                    desired.knob.path, self.container.name, self.short
                );
                refuse(plan, Reason::NoEffect, message);
            }
        }
    }
}

/// The collector that a word switches on or off.
fn collector(word: &str) -> Option<(&str, bool)> {
    let (sign, name) = word.strip_prefix("-XX:")?.split_at_checked(1)?;
    let is_on = match sign {
        "+" => true,
        "-" => false,
        _ => return None,
    };
    let name = name.strip_prefix("Use")?.strip_suffix("GC")?;
    options::is_collector(name).then_some((name, is_on))
}

/// The words of an option among others, where the last one of them stands.
fn written(known: &Known, words: &[String]) -> Option<String> {
    let found = known.find(words).pop()?;
    Some(words.get(found.words)?.join(" "))
}

fn split(text: &str, variable: Variable) -> Vec<String> {
    match variable.split(text) {
        Ok(words) => words.into_iter().map(|word| word.text).collect(),
        Err(_) => Vec::new(),
    }
}

/// The last part of a path.
fn base(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

/// What follows the first of some programs.
fn after<'w>(words: &'w [String], programs: &[&str]) -> Option<&'w [String]> {
    let at = words.iter().position(|word| programs.contains(&base(word)))?;
    words.get(at + 1..)
}

fn until(words: &[String], ends: impl Fn(&str) -> bool) -> &[String] {
    let end = words.iter().position(|word| ends(word)).unwrap_or(words.len());
    words.get(..end).unwrap_or_default()
}

/// The words of the command and arguments of a container: those of a script that a shell runs, too, and of variables whose
/// plain text stands there.
fn command(container: Container<'_>) -> Vec<String> {
    let lists = ["command", "args"].into_iter();
    let all = lists.flat_map(|list| container.spec[list].as_array().into_iter().flatten());
    let mut words = Vec::new();
    let mut is_script = false;
    for argument in all.filter_map(|argument| argument.as_str()) {
        let parts = if is_script { options::shell_words(argument) } else { vec![argument.to_owned()] };
        let is_flag = argument.starts_with('-') && !argument.starts_with("--") && argument.ends_with('c');
        is_script = is_flag && words.last().is_some_and(|shell: &String| base(shell).ends_with("sh"));
        for part in parts {
            let name = part.strip_prefix("$(").and_then(|rest| rest.strip_suffix(')'));
            let name = name.or_else(|| part.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')));
            let name = name.or_else(|| part.strip_prefix('$'));
            match name.and_then(|name| container.variable(name)) {
                Some(text) => words.extend(options::shell_words(text)),
                None => words.push(part),
            }
        }
    }
    words
}

//! `report`: how policies stand, for people and documents; or two measurements side by side.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

use super::{
    readings,
    select::{Cluster, block_on, emit},
    world::{Documents, Surroundings},
};
use crate::{
    core::{
        engine::{Account, TargetAccount},
        facts::Span,
        paper::{Document, Readings, Subject, compare::Comparison, readings::Switched},
        policy::{Policy, PolicyKey},
        promql::Identity,
        report::checklist::Target,
        table::{Table, embed},
        units::{Decimal, Value, ValueType},
    },
    shell::clock,
};

/// What can be typed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Every report has the tables PROFILES, CHECKLIST, THRESHOLDS, VALUES, NOT_ENFORCEABLE, ADVICE and OPERATIONS, \
where there is something to say, beside those of spec.reports. It judges what active profiles make of a policy. In a document, a table stands between <!-- EMBED:NAME:START --> and \
<!-- EMBED:NAME:END -->."
)]
pub struct Args {
    #[command(flatten)]
    subjects: Subjects,
    /// Measurement before a change, a file of readings; with --after: means, standard deviations and what changed, of operations
    /// that were run and of thresholds that were recorded
    #[arg(long, value_name = "FILE", requires = "after", conflicts_with_all = ["filename", "live", "readings", "prometheus", "record"])]
    before: Option<PathBuf>,
    /// Measurement after it
    #[arg(long, value_name = "FILE", requires = "before")]
    after: Option<PathBuf>,
    /// Write the readings to a file, too, for later reports without Prometheus
    #[arg(long, value_name = "FILE", conflicts_with = "readings")]
    record: Option<PathBuf>,
    /// How it was measured; measurements of different methods are never compared
    #[arg(long, value_name = "TEXT", requires = "record")]
    method: Option<String>,
    /// Only the table of that name
    #[arg(long, value_name = "NAME")]
    table: Option<String>,
    /// Put the tables between their markers in a Markdown document, and change no other byte of it
    #[arg(long, value_name = "FILE", conflicts_with = "output")]
    into: Option<PathBuf>,
    /// Format of the output
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Which policies, and where their readings come from.
#[derive(Debug, clap::Args)]
pub struct Subjects {
    /// Files or directories with policies, the objects that they govern and metrics sources; - for standard input
    #[arg(short, long = "filename", value_name = "PATH")]
    filename: Vec<PathBuf>,
    /// Take what the files do not have from the cluster; without files, all policies of the namespace
    #[arg(long)]
    live: bool,
    /// Readings that were recorded
    #[arg(long, value_name = "FILE", conflicts_with = "prometheus")]
    readings: Option<PathBuf>,
    /// Ask this server, in place of those of metrics sources
    #[arg(long, value_name = "URL")]
    prometheus: Option<String>,
    /// How far back readings are taken for trends, such as 6h
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    since: String,
    #[command(flatten)]
    surroundings: Surroundings,
    #[command(flatten)]
    cluster: Cluster,
}

/// How a report is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people and repositories.
    #[default]
    Markdown,
    /// For programs.
    Json,
    /// One table, for spreadsheets.
    Csv,
    /// For browsers.
    Html,
}

/// Policies and what was read of them.
pub struct Found {
    /// What each policy amounts to.
    accounts: Vec<Account>,
    /// How the series of the first metrics source tell their workload.
    pub identity: Identity,
    /// What was read, if anybody was asked.
    pub readings: Option<Readings>,
}

impl Found {
    /// The profiles of each policy, as far as they and readings tell: see [`Self::subjects`].
    pub fn profiles(&self) -> Vec<Profiles> {
        self.accounts.iter().map(|account| Profiles::of(account, self.readings.as_ref())).collect()
    }

    /// What reports are made of.
    pub fn subjects<'a>(&'a self, profiles: &'a [Profiles]) -> Vec<Subject<'a>> {
        self.accounts.iter().zip(profiles).map(|(account, profiles)| subject(account, profiles)).collect()
    }

    /// What each policy amounts to.
    pub fn accounts(&self) -> &[Account] {
        &self.accounts
    }

    /// The policies that can be served.
    pub fn policies(&self) -> Vec<&Policy> {
        self.accounts.iter().filter_map(|account| account.policy.as_ref()).collect()
    }
}

/// Which profiles of a policy are active.
#[derive(Debug)]
pub struct Profiles {
    /// Where there is no target.
    alone: Option<Switched>,
    /// On each target, in their order.
    targets: Vec<Option<Switched>>,
}

impl Profiles {
    fn of(account: &Account, readings: Option<&Readings>) -> Self {
        let policy = account.policy.as_ref();
        let on = |target: &TargetAccount| {
            Some(Switched::new(policy?, Some(&target.object), (&target.profiles, account.remembered), readings))
        };
        Self {
            alone: policy.map(|policy| Switched::new(policy, None, (&account.profiles, account.remembered), readings)),
            targets: account.targets.iter().map(on).collect(),
        }
    }
}

fn subject<'a>(account: &'a Account, profiles: &'a Profiles) -> Subject<'a> {
    let Account { key, policy, troubles, targets, told, .. } = account;
    let policy = policy.as_ref();
    let made = |switched: &'a Option<Switched>| Some(switched.as_ref()?.made(policy?));
    let target = |(target, switched): (&'a TargetAccount, &'a Option<Switched>)| {
        Some(Target { object: &target.object, plan: &target.plan, made: made(switched)? })
    };
    Subject {
        key,
        policy,
        alone: made(&profiles.alone),
        troubles: troubles.iter().map(|(reason, message)| format!("{reason}: {message}")).collect(),
        targets: targets.iter().zip(&profiles.targets).filter_map(target).collect(),
        alerting: *told,
    }
}

impl Subjects {
    /// Documents of the files, the cluster, or both, and the names of the policies that are meant.
    fn documents(&self) -> anyhow::Result<(Documents, Vec<PolicyKey>)> {
        if self.filename.is_empty() && !self.live {
            bail!("name files with -f, or take the policies of a cluster with --live");
        }
        let namespace = self.cluster.namespace.clone().unwrap_or_else(|| "default".to_owned());
        let (mut documents, mine) = if self.live {
            block_on(async {
                let (client, namespace) = self.cluster.connect().await?;
                let (mut documents, mine) = if self.filename.is_empty() {
                    let documents = Documents::of_cluster(&client, &namespace).await?;
                    let all = names(&documents);
                    (documents, all)
                } else {
                    let documents = Documents::read(&self.filename, &namespace)?;
                    let mine = names(&documents);
                    (documents.join(&client).await?, mine)
                };
                if self.readings.is_none() {
                    documents.add_sources(&client).await?;
                }
                Ok((documents, mine))
            })?
        } else {
            let documents = Documents::read(&self.filename, &namespace)?;
            let mine = names(&documents);
            (documents, mine)
        };
        if let Some(url) = &self.prometheus {
            documents.read_from(url);
        }
        Ok((documents, mine))
    }

    /// The policies, without any readings.
    pub fn find_unread(&self) -> anyhow::Result<Found> {
        let (documents, mine) = self.documents()?;
        let now = clock::now();
        let identity = documents.sources().first().map(|source| Identity::of(&source.spec)).unwrap_or_default();
        let mut accounts = documents.into_world(&self.surroundings, now).accounts(now);
        accounts.retain(|account| mine.contains(&account.key));
        Ok(Found { accounts, identity, readings: None })
    }

    /// The policies with their readings: those of the file, else those of the metrics sources that are known. `past`: with those
    /// of before, where they are asked for now.
    pub fn find(&self, past: bool) -> anyhow::Result<Found> {
        let (documents, mine) = self.documents()?;
        let now = clock::now();
        let world = documents.clone().into_world(&self.surroundings, now);
        let mut accounts = world.accounts(now);
        accounts.retain(|account| mine.contains(&account.key));
        let readings = match &self.readings {
            Some(file) => Some(readings::read(file)?),
            None if documents.sources().is_empty() => None,
            None => {
                let past = past.then(|| span(&self.since)).transpose()?;
                Some(block_on(readings::measure(&documents, &self.surroundings, &accounts, past, now))?)
            }
        };
        let identity = documents.sources().first().map(|source| Identity::of(&source.spec)).unwrap_or_default();
        let found = Found { accounts, identity, readings };
        if let Some(readings) = &found.readings {
            readings.check(&found.policies()).map_err(|error| anyhow::anyhow!("reading readings: {error}"))?;
        }
        Ok(found)
    }
}

fn names(documents: &Documents) -> Vec<PolicyKey> {
    let name = |text: &Option<String>| text.clone().unwrap_or_default().into();
    documents.policies.iter().map(|policy| (name(&policy.metadata.namespace), name(&policy.metadata.name))).collect()
}

fn span(text: &str) -> anyhow::Result<Span> {
    let value = Value::parse(ValueType::Duration, text).map_err(|error| anyhow::anyhow!("--since {error}"))?;
    let seconds = value.amount().and_then(Decimal::to_i64).filter(|seconds| (60..=2_592_000).contains(seconds));
    seconds.map(Span::seconds).context("--since must be whole seconds from 1m to 30d")
}

/// Prints a report, or writes it into a document.
pub fn run(args: &Args) -> anyhow::Result<()> {
    if let (Some(before), Some(after)) = (&args.before, &args.after) {
        let comparison = Comparison::new(&readings::read(before)?, &readings::read(after)?).map_err(|error| {
            anyhow::anyhow!("comparing \"{}\" with \"{}\": {error}", before.display(), after.display())
        })?;
        let table = comparison.table();
        return match (&args.into, args.output) {
            (Some(file), _) => embed_into(file, &[table], args.table.as_deref()),
            (None, Format::Json) => emit(&json(&comparison)?),
            (None, format) => emit(&tabular(&table, format)),
        };
    }
    let found = args.subjects.find(args.record.is_some())?;
    if let Some(file) = &args.record {
        let Some(mut readings) = found.readings.clone() else {
            bail!("nothing was read that could be recorded: give a MetricsSource with -f, --prometheus URL, or --live");
        };
        readings.method.clone_from(&args.method);
        replace(file, json(&readings)?.as_bytes())?;
    }
    let document = Document::new(&found.subjects(&found.profiles()), found.readings.as_ref());
    match (&args.into, &args.table, args.output) {
        (Some(file), named, _) => embed_into(file, &document.tables(), named.as_deref()),
        (None, None, Format::Json) => emit(&json(&document)?),
        (None, None, Format::Markdown) => emit(&document.markdown()),
        (None, None, Format::Html) => emit(&document.html()),
        (None, named, format) => {
            let tables = document.tables();
            emit(&one(&tables, named.as_deref(), format)?)
        }
    }
}

fn json(value: &impl serde::Serialize) -> anyhow::Result<String> {
    Ok(format!("{}\n", serde_json::to_string_pretty(value).context("writing JSON")?))
}

fn tabular(table: &Table, format: Format) -> String {
    match format {
        Format::Markdown | Format::Json => table.markdown(),
        Format::Csv => table.csv(),
        Format::Html => table.html(),
    }
}

/// The one table that is meant.
fn one(tables: &[Table], named: Option<&str>, format: Format) -> anyhow::Result<String> {
    let chosen: Vec<&Table> = tables.iter().filter(|table| named.is_none_or(|name| table.name == name)).collect();
    let known = || tables.iter().map(|table| table.name.as_str()).collect::<Vec<_>>().join(", ");
    match (&chosen[..], format) {
        ([table], Format::Json) => {
            let rows = serde_json::json!({"name": table.name, "columns": table.columns, "rows": table.rows});
            json(&rows)
        }
        ([table], format) => Ok(tabular(table, format)),
        ([], _) => bail!("there is no such table; this report has {}", known()),
        (_, Format::Csv) if named.is_none() => bail!("CSV is one table: choose with --table from {}", known()),
        _ => bail!("several policies have a table of that name: name files of one with -f"),
    }
}

/// Writes tables between their markers.
fn embed_into(file: &Path, tables: &[Table], named: Option<&str>) -> anyhow::Result<()> {
    let context = || format!("writing into \"{}\"", file.display());
    // What is behind a link is replaced, and not the link.
    let path = file.canonicalize().with_context(context)?;
    let before = fs::read(&path).with_context(context)?;
    let regions = embed::regions(&before).with_context(context)?;
    let mut texts: std::collections::BTreeMap<&str, String> = std::collections::BTreeMap::new();
    for table in tables.iter().filter(|table| named.is_none_or(|name| table.name == name)) {
        if regions.contains_key(&table.name) && texts.insert(&table.name, table.markdown()).is_some() {
            bail!(
                "writing into \"{}\": several policies have a table {}: name files of one with -f",
                file.display(),
                table.name
            );
        }
    }
    if texts.is_empty() {
        let wanted = named.map_or_else(
            || format!("none of the tables {}", tables.iter().map(|t| t.name.as_str()).collect::<Vec<_>>().join(", ")),
            |name| format!("no table {name} with rows and markers"),
        );
        bail!(
            "writing into \"{}\": {wanted}: put <!-- EMBED:NAME:START --> and <!-- EMBED:NAME:END --> there",
            file.display()
        );
    }
    let after = embed::replace(&before, &texts).with_context(context)?;
    if after == before { Ok(()) } else { replace(&path, &after) }
}

/// Writes a file whole or not at all: whoever reads it sees the old text or the new one.
fn replace(path: &Path, text: &[u8]) -> anyhow::Result<()> {
    let context = || format!("writing \"{}\"", path.display());
    let name = path.file_name().with_context(context)?.to_string_lossy().into_owned();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let beside = folder.join(format!(".{name}.{}.tmp", std::process::id()));
    let written = write_new(&beside, text).and_then(|()| {
        if let Ok(old) = fs::metadata(path) {
            fs::set_permissions(&beside, old.permissions())?;
        }
        fs::rename(&beside, path)
    });
    if let Err(error) = written {
        // The first error is the one to tell; what cannot be taken away was not made.
        let _ = fs::remove_file(&beside);
        return Err(error).with_context(context);
    }
    Ok(())
}

fn write_new(path: &Path, text: &[u8]) -> std::io::Result<()> {
    let mut file: File = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text)?;
    file.sync_all()
}

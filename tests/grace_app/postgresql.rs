//! The application on a real PostgreSQL: the settings are connections that the database counts.

use std::{
    io::ErrorKind,
    net::TcpListener,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;
use tokio_postgres::NoTls;

use crate::harness::{Process, Server, eventually, load, signal};

/// The folder with initdb and postgres of the newest installation on this machine.
fn installed() -> Option<PathBuf> {
    newest(Path::new("/usr/lib/postgresql"))
}

fn newest(versions: &Path) -> Option<PathBuf> {
    let versions = std::fs::read_dir(versions).into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            let bin = entry.path().join("bin");
            bin.join("initdb").exists().then_some((version, bin))
        })
        .collect();
    found.sort();
    found.pop().map(|(_, bin)| bin)
}

/// Unpacks the server that the test cluster runs in its pods, and gives its programs and their libraries.
fn unpacked(below: &Path) -> (PathBuf, PathBuf) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/build.sh");
    let built = Command::new(&script).arg("postgres").stderr(Stdio::inherit()).output().unwrap();
    assert!(
        built.status.success(),
        "there is no PostgreSQL under /usr/lib/postgresql, and \"{} postgres\" failed; see above",
        script.display()
    );
    let tools = PathBuf::from(String::from_utf8(built.stdout).unwrap().trim());
    let (image, root) = (below.join("image"), below.join("root"));
    let unpack = |archive: &Path, into: &Path| {
        std::fs::create_dir(into).unwrap_or_else(|error| assert_eq!(error.kind(), ErrorKind::AlreadyExists));
        let status = Command::new("tar").arg("-xf").arg(archive).arg("-C").arg(into).status().unwrap();
        assert!(status.success(), "unpacking \"{}\" failed", archive.display());
    };
    unpack(&tools.join("share/postgres.tar"), &image);
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(image.join("manifest.json")).unwrap()).unwrap();
    for layer in manifest[0]["Layers"].as_array().unwrap() {
        unpack(&image.join(layer.as_str().unwrap()), &root);
    }
    let libraries = root.join(format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH));
    // The machine's loader brings its own.
    for part_of_the_loader in ["libc.so.6", "libm.so.6", "libresolv.so.2"] {
        std::fs::remove_file(libraries.join(part_of_the_loader)).unwrap();
    }
    (newest(&root.join("usr/lib/postgresql")).expect("initdb in the image"), libraries)
}

/// The user and group that PostgreSQL runs as: it refuses to be root.
fn account() -> Option<(u32, u32)> {
    let root = std::fs::metadata("/proc/self").map(|own| std::os::unix::fs::MetadataExt::uid(&own)).unwrap() == 0;
    if !root {
        return None;
    }
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    ["postgres", "nobody"].iter().find_map(|name| {
        let line = passwd.lines().find(|line| line.starts_with(&format!("{name}:")))?;
        let mut ids = line.split(':').skip(2).map_while(|id| id.parse().ok());
        Some((ids.next()?, ids.next()?))
    })
}

fn command(program: &Path, libraries: Option<&Path>, account: Option<(u32, u32)>) -> Command {
    let mut command = Command::new(program);
    if let Some(libraries) = libraries {
        command.env("LD_LIBRARY_PATH", libraries);
    }
    if let Some((user, group)) = account {
        command.gid(group).uid(user);
    }
    command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// A PostgreSQL server of its own, with its data in a folder that goes away with it.
struct PostgreSql {
    bin: PathBuf,
    /// What the programs need that this machine may lack.
    libraries: Option<PathBuf>,
    dir: TempDir,
    port: u16,
    process: Option<Process>,
}

impl PostgreSql {
    /// Prepares a server and starts it.
    fn start() -> Self {
        let mut server = Self::prepare();
        server.run();
        server
    }

    /// A server that does not run yet: the machine's, else the one of the test cluster.
    fn prepare() -> Self {
        let account = account();
        let dir = tempfile::tempdir().unwrap();
        if let Some((user, group)) = account {
            chown(dir.path(), Some(user), Some(group)).unwrap();
        }
        let (bin, libraries) = installed().map_or_else(
            || {
                let (bin, libraries) = unpacked(dir.path());
                (bin, Some(libraries))
            },
            |bin| (bin, None),
        );
        let status = command(&bin.join("initdb"), libraries.as_deref(), account)
            .args(["--auth=trust", "--username=grace", "--no-sync", "--encoding=UTF8", "--locale=C", "-D"])
            .arg(dir.path().join("data"))
            .status()
            .unwrap();
        assert!(status.success(), "initdb failed");
        // The port is free now, and nobody on this machine is given the same one right after.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self { bin, libraries, dir, port, process: None }
    }

    fn run(&mut self) {
        let child = command(&self.bin.join("postgres"), self.libraries.as_deref(), account())
            .arg("-D")
            .arg(self.dir.path().join("data"))
            .args(["-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"])
            .args(["-c", "max_connections=40", "-k"])
            .arg(self.dir.path())
            .spawn()
            .unwrap();
        self.process = Some(Process(child));
    }

    /// Ends all connections at once, as a failing database does.
    fn stop(&mut self) {
        let mut process = self.process.take().unwrap();
        signal(process.id(), "INT");
        process.end();
    }

    fn url(&self) -> String {
        format!("postgresql+asyncpg://grace:password@127.0.0.1:{}/postgres", self.port)
    }

    /// One number from the database, asked on a connection of its own; `None` if it is away.
    fn number(&self, sql: &str) -> Option<i64> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let parameters = format!("host=127.0.0.1 port={} user=grace dbname=postgres", self.port);
            let (client, connection) = tokio_postgres::connect(&parameters, NoTls).await.ok()?;
            tokio::spawn(connection);
            client.query_one(sql, &[]).await.ok()?.try_get(0).ok()
        })
    }

    /// Connections that the application holds, as the database sees them.
    fn connections(&self) -> Option<i64> {
        self.number("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'grace'")
    }

    fn wait_connections(&self, expected: i64) {
        let mut last = None;
        eventually(&format!("the database counts {expected} connections"), || {
            last = self.connections();
            (last == Some(expected)).then_some(())
        });
    }
}

#[test]
fn the_database_counts_the_connections_that_the_settings_ask_for() {
    let database = PostgreSql::start();
    let url = database.url();
    let server = Server::ready(&[
        ("DATABASE_URL", &url),
        ("WEB_CONCURRENCY", "2"),
        ("DB_POOL_SIZE", "3"),
        ("DB_MAX_OVERFLOW", "2"),
    ]);
    database.wait_connections(6);

    assert_eq!(server.chat("https://example.com/").status, 200);
    let second = server.chat("https://example.com/").json();
    assert_eq!(second["history"].as_array().unwrap().len(), 1, "the first message was stored");
    assert_eq!(database.number("SELECT count(*) FROM trust_scores"), Some(1));

    // A crowd: overflow is opened, but never more than twice five.
    let (mut most, mut most_open) = (0, 0.0_f64);
    std::thread::scope(|scope| {
        let crowd = scope.spawn(|| load(&server, &["--users", "40", "--think-time", "0", "--duration", "3s"]));
        while !crowd.is_finished() {
            most = most.max(database.connections().unwrap());
            most_open = most_open.max(server.metric("db_client_connection_count"));
        }
        let (code, summary) = crowd.join().unwrap();
        assert_eq!(code, Some(0), "{summary}");
    });
    assert!(most_open <= 10.0, "the application had {most_open} connections at most");
    // A connection that was closed is counted until its backend has ended: one for each of the four that overflow.
    assert!((7..=14).contains(&most), "the database saw {most} connections at most");
    database.wait_connections(6);
    assert!(database.number("SELECT count(*) FROM chat_messages").unwrap() > 2);
    server.wait_metric("db_client_connection_max", 10.0);
    server.wait_metric("db_client_connection_count", 6.0);

    server.stop();
    database.wait_connections(0);
}

#[test]
fn a_restart_of_the_database_is_survived() {
    let mut database = PostgreSql::start();
    let url = database.url();
    let server = Server::ready(&[("DATABASE_URL", &url), ("DB_POOL_SIZE", "3"), ("HEALTH_CHECK_INTERVAL", "0.2")]);
    database.wait_connections(3);
    database.stop();
    server.wait_metric("database_up", 0.0);
    assert_eq!(server.chat("https://example.com/").status, 503);
    database.run();
    server.wait_metric("database_up", 1.0);
    database.wait_connections(3);
    assert_eq!(server.chat("https://example.com/").status, 200);
    server.stop();
}

#[test]
fn a_server_that_starts_before_its_database_waits_for_it() {
    let mut database = PostgreSql::prepare();
    let url = database.url();
    let server = Server::start(&[("DATABASE_URL", &url)], &[]);
    let readiness = server.readiness();
    assert_eq!((readiness.status, readiness.text().as_str()), (503, "starting: waiting for the database\n"));
    database.run();
    let server = server.wait_ready();
    database.wait_connections(2);
    server.stop();
}

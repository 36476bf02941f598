//! Logging: diagnostics and the access log.
//!
//! - *Diagnostics* are records of the [`log`] facade. An `env_logger` filters them
//!   (`RUST_LOG`, else the command line), `diagnostics` formats them, and they go to standard
//!   error at once.
//! - *Access lines* are appended by the caller to one block. The block is written when the
//!   loop is idle, when the block is full, or after a second. So a line costs no copy and no
//!   system call. They can be turned on and off like records of the target `access`, but they
//!   aren't records, because a record would cost more than the request.
//!
//! ```text
//! log::info! ─► filter ─► format ─► Pipe ─┬─► standard error
//! Log::access ────────────────────────────┴─► access log: file, standard output or error; files of hosts
//! ```
//!
//! Lines of both kinds for standard error are in one queue, so their order is kept.

mod diagnostics;
mod escape;
mod host_log;
mod json;
mod options;
mod sink;

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use env_logger::{Builder, Target};
use log::LevelFilter;

use diagnostics::Style;
pub use escape::{escape, push_escaped};
pub use host_log::HostLog;
use host_log::HostLogs;
pub use json::push_json_string;
pub use options::{AccessLog, DiagnosticFormat, LogFormat, LogOptions};
use sink::{CALM, Cause, News, Sink};

use crate::panics;
use crate::reactor::Tick;

/// The target of access lines.
pub const ACCESS: &str = "access";

/// The longest time until an access line is written.
const MAX_DELAY: Duration = Duration::from_secs(1);
/// After this time without an event, the loop has time to write.
const QUIET: Duration = Duration::from_millis(10);
/// The time until a sink that took nothing is tried again.
const RETRY: Duration = Duration::from_millis(100);
/// The longest time that the last lines may take at exit.
const FAREWELL: Duration = Duration::from_millis(500);

/// The handle by which the server writes access lines, and says when they are written. The
/// default handle is for programs that install a logger of their own. That logger gets access
/// lines as records.
#[derive(Clone, Default)]
pub struct Log {
    sinks: Option<Arc<Mutex<Sinks>>>,
    format: LogFormat,
    /// Access lines are wanted. The default handle leaves that to its logger.
    enabled: bool,
}

/// The lines that were lost since the start, because they couldn't be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Lost {
    /// Of all access logs that aren't on standard error.
    pub access: u64,
    /// Of standard error.
    pub diagnostics: u64,
}

/// Installs the logger of the process.
///
/// # Errors
/// If the access log can't be opened, or there is a logger already.
pub fn init(options: &LogOptions) -> io::Result<Log> {
    let access = open_access(&options.access)?;
    let wanted = is_wanted(&options.access);
    let sinks = Arc::new(Mutex::new(Sinks {
        stderr: Sink::stream(io::stderr())?,
        access,
        hosts: HostLogs::default(),
        since: None,
    }));

    let rust_log = std::env::var("RUST_LOG").ok().filter(|filters| !filters.is_empty());
    let mut builder = filtered(options.verbosity, wanted, rust_log.as_deref());
    let journal = diagnostics::is_journal(io::stderr(), std::env::var_os("JOURNAL_STREAM").as_deref());
    write_to(&mut builder, Style { format: options.diagnostics, journal }, &sinks);
    builder.try_init().map_err(io::Error::other)?;
    let enabled = log::log_enabled!(target: ACCESS, log::Level::Info);
    Ok(Log { sinks: Some(sinks), format: options.format, enabled })
}

/// Whether an access log could be opened in this file. It isn't made.
///
/// # Errors
/// Why not.
pub fn check_file(path: &Path) -> io::Result<()> {
    sink::check(path)
}

/// Where access lines go, if that isn't standard error.
fn open_access(to: &AccessLog) -> io::Result<Option<Sink>> {
    match to {
        AccessLog::File(path) => Sink::file(path).map(Some),
        AccessLog::Stdout => Sink::stream(io::stdout()).map(Some),
        AccessLog::Auto | AccessLog::Off => Ok(None),
    }
}

fn is_wanted(access: &AccessLog) -> bool {
    match access {
        AccessLog::Auto => io::stderr().is_terminal(),
        AccessLog::Off => false,
        AccessLog::File(_) | AccessLog::Stdout => true,
    }
}

/// An access log that is open, but not in use yet.
pub struct NewAccessLog {
    sink: Option<Sink>,
    format: LogFormat,
    enabled: bool,
}

/// Logs each panic as an error with its place. A backtrace would need tens of megabytes that
/// are never given back.
pub fn install_panic_hook() {
    std::panic::set_hook(Box::new(|info| {
        if panics::is_expected() {
            return;
        }
        let payload = info.payload();
        let text = payload.downcast_ref::<&str>().copied().or(payload.downcast_ref::<String>().map(String::as_str));
        let message = escape(text.unwrap_or("(no message)").as_bytes());
        match info.location() {
            Some(place) => log::error!(target: "panic", "panicked at {place}: {message}"),
            None => log::error!(target: "panic", "panicked: {message}"),
        }
    }));
}

impl Log {
    /// The format of access lines.
    pub fn format(&self) -> LogFormat {
        self.format
    }

    /// Whether access lines are wanted.
    pub fn is_access_enabled(&self) -> bool {
        self.enabled
    }

    /// Opens the access log of other options, for [`replace_access`](Self::replace_access).
    ///
    /// # Errors
    /// If it can't be opened.
    pub fn open_access(options: &LogOptions) -> io::Result<NewAccessLog> {
        let sink = open_access(&options.access)?;
        Ok(NewAccessLog { sink, format: options.format, enabled: is_wanted(&options.access) })
    }

    /// Uses another access log from now on. What waits for the present one is written.
    pub fn replace_access(&mut self, new: NewAccessLog) {
        (self.format, self.enabled) = (new.format, new.enabled);
        if let Some(mut sinks) = self.lock()
            && let Some(mut old) = std::mem::replace(&mut sinks.access, new.sink)
        {
            // The loop can't wait for a slow reader.
            old.flush();
        }
    }

    /// Opens an access log for the hosts that share this file. None for the default handle, whose
    /// logger gets the lines of all hosts.
    ///
    /// # Errors
    /// If it can't be opened.
    pub fn open_host_log(&self, path: &Path) -> io::Result<Option<HostLog>> {
        self.lock().map(|mut sinks| sinks.hosts.open(path)).transpose()
    }

    /// Adds an access line, which `write` appends with its line end: to the log of a host, or to
    /// that of all others. For that the caller has checked by `log_enabled!` for `ACCESS` that it
    /// is wanted. `write` can't log anything itself.
    pub fn access(&self, to: Option<&HostLog>, write: impl FnOnce(&mut Vec<u8>)) {
        match self.lock() {
            Some(mut sinks) => sinks.access(to, write),
            None => {
                let mut line = Vec::new();
                write(&mut line);
                log::info!(target: ACCESS, "{}", String::from_utf8_lossy(&line).trim_end());
            }
        }
    }

    /// Writes pending lines if they are due. Call it before each wait of the loop; `quiet`: the
    /// last wait brought no event. Returns the longest time to the next call.
    pub fn before_wait(&self, now: Tick, quiet: bool) -> Option<Duration> {
        let mut sinks = self.lock()?;
        let again = sinks.before_wait(now, quiet);
        if sinks.all().any(|sink| sink.has_outage()) {
            let news = sinks.news(now);
            drop(sinks);
            news.into_iter().for_each(|(name, news)| tell(&name, news));
        }
        again
    }

    /// Writes everything at exit, waiting a little for a slow reader. Tells how many lines were lost
    /// since the start.
    pub fn flush(&self) {
        let Some(mut sinks) = self.lock() else { return };
        for sink in sinks.all() {
            sink.flush_patiently(FAREWELL);
        }
        drop(sinks);
        let Lost { access, diagnostics } = self.lost();
        if access > 0 {
            log::warn!("{access} lines of the access log were lost");
        }
        if diagnostics > 0 {
            log::warn!("{diagnostics} lines of standard error were lost");
        }
    }

    /// The lines that were lost since the start.
    pub fn lost(&self) -> Lost {
        let Some(sinks) = self.lock() else { return Lost::default() };
        let access = sinks.access.as_ref().map_or(0, Sink::lost) + sinks.hosts.lost();
        Lost { access, diagnostics: sinks.stderr.lost() }
    }

    /// Opens all access logs again, after they were rotated. Returns the names of those that can't
    /// be opened, and why; their old files stay open.
    pub fn reopen(&self) -> Vec<(String, io::Error)> {
        let Some(mut sinks) = self.lock() else { return Vec::new() };
        let Sinks { access, hosts, .. } = &mut *sinks;
        let common = access.iter_mut().map(|sink| (sink, false));
        let all = common.chain(hosts.sinks().map(|sink| (sink, true)));
        let reopen = |(sink, is_of_host): (&mut Sink, bool)| {
            let error = sink.reopen().err()?;
            Some((access_log_name(sink, is_of_host), error))
        };
        all.filter_map(reopen).collect()
    }

    fn lock(&self) -> Option<MutexGuard<'_, Sinks>> {
        self.sinks.as_deref().map(lock)
    }
}

/// After a panic the sinks hold complete lines and perhaps a partial one, so they can be used.
fn lock(sinks: &Mutex<Sinks>) -> MutexGuard<'_, Sinks> {
    sinks.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells what happened to a sink.
fn tell(name: &str, news: News) {
    match news {
        News::Fails(Cause::Failed(error)) => {
            log::warn!("{name} can't be written; its lines are lost until it can: {error}");
        }
        News::Fails(Cause::Slow) => log::warn!("nobody reads {name}; its lines are lost until somebody does"),
        News::Works(lost) => log::warn!("{name} can be written again; {lost} lines were lost"),
    }
}

/// An access log in messages: that of all hosts without their own, or the file of one.
fn access_log_name(sink: &Sink, is_of_host: bool) -> String {
    match sink.path().filter(|_| is_of_host) {
        Some(path) => format!("the access log {}", escape(path.as_os_str().as_encoded_bytes())),
        None => "the access log".to_owned(),
    }
}

/// The filter: `RUST_LOG` unchanged, else everything but the details of other crates. A
/// configured access log stays on unless `RUST_LOG` names it.
fn filtered(verbosity: i8, access: bool, rust_log: Option<&str>) -> Builder {
    let level = match verbosity {
        ..=-2 => LevelFilter::Error,
        -1 => LevelFilter::Warn,
        0 => LevelFilter::Info,
        1 => LevelFilter::Debug,
        2.. => LevelFilter::Trace,
    };
    let mut builder = Builder::new();
    builder.filter_module(ACCESS, if access { LevelFilter::Info } else { LevelFilter::Off });
    match rust_log {
        Some(filters) => builder.parse_filters(filters),
        None => builder.filter_module("miod", level).filter_level(level.min(LevelFilter::Warn)),
    };
    builder
}

/// Makes the logger write its records in this style.
fn write_to(builder: &mut Builder, style: Style, sinks: &Arc<Mutex<Sinks>>) {
    builder.format(move |out, record| out.write_all(&style.line(record, diagnostics::now())));
    builder.target(Target::Pipe(Box::new(Pipe(Arc::clone(sinks)))));
}

/// The sinks of the process.
struct Sinks {
    stderr: Sink,
    /// The access log, if it isn't standard error.
    access: Option<Sink>,
    /// The access logs of hosts that have their own.
    hosts: HostLogs,
    /// When the loop first saw pending lines.
    since: Option<Tick>,
}

impl Sinks {
    /// Adds an access line.
    fn access(&mut self, to: Option<&HostLog>, write: impl FnOnce(&mut Vec<u8>)) {
        let own = to.and_then(|log| self.hosts.get(log));
        own.or(self.access.as_mut()).unwrap_or(&mut self.stderr).collect(write);
    }

    /// Adds a diagnostic, which is a line.
    fn record(&mut self, record: &[u8]) {
        // Standard output may be the same terminal or pipe, so the order is kept.
        if let Some(access) = self.access.as_mut().filter(|access| access.is_stream()) {
            access.flush();
        }
        self.stderr.collect(|out| out.extend_from_slice(record));
        self.stderr.flush();
    }

    fn before_wait(&mut self, now: Tick, quiet: bool) -> Option<Duration> {
        self.hosts.close_unused();
        if !self.is_pending() {
            self.since = None;
            return self.all().any(|sink| sink.is_recovering()).then_some(CALM);
        }
        let since = *self.since.get_or_insert(now);
        if !quiet && now.since(since) < MAX_DELAY {
            return Some(QUIET);
        }
        self.all().for_each(Sink::flush);
        self.hosts.close_unused();
        self.since = None;
        let recovers = self.all().any(|sink| sink.is_recovering());
        if self.is_pending() { Some(RETRY) } else { recovers.then_some(CALM) }
    }

    fn all(&mut self) -> impl Iterator<Item = &mut Sink> {
        self.access.iter_mut().chain(self.hosts.sinks()).chain([&mut self.stderr])
    }

    fn is_pending(&self) -> bool {
        self.stderr.is_pending() || self.access.as_ref().is_some_and(Sink::is_pending) || self.hosts.is_pending()
    }

    /// What is to be told, and of what.
    #[cold]
    fn news(&mut self, now: Tick) -> Vec<(String, News)> {
        let mut all = Vec::new();
        if let Some(access) = &mut self.access
            && let Some(news) = access.news(now)
        {
            all.push((access_log_name(access, false), news));
        }
        for sink in self.hosts.sinks() {
            if let Some(news) = sink.news(now) {
                all.push((access_log_name(sink, true), news));
            }
        }
        // That it fails can't be told there.
        if let Some(news @ News::Works(_)) = self.stderr.news(now) {
            all.push(("standard error".to_owned(), news));
        }
        all
    }
}

/// The writer of the logger: one call is one record.
struct Pipe(Arc<Mutex<Sinks>>);

impl Write for Pipe {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        lock(&self.0).record(record);
        Ok(record.len())
    }

    /// The sinks flush by themselves.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use log::{Level, Log as _, Record};
    use std::fs;
    use std::path::PathBuf;

    /// Both sinks are files, so that the test can read them.
    struct Bench {
        sinks: Sinks,
        stderr: PathBuf,
        access: PathBuf,
    }

    impl Bench {
        fn new(name: &str, separate: bool) -> Self {
            let path = |kind| std::env::temp_dir().join(format!("miod-log-{name}-{kind}-{}", std::process::id()));
            let (stderr, access) = (path("stderr"), path("access"));
            for path in [&stderr, &access] {
                fs::write(path, "").unwrap();
            }
            let sinks = Sinks {
                stderr: Sink::file(&stderr).unwrap(),
                access: separate.then(|| Sink::file(&access).unwrap()),
                hosts: HostLogs::default(),
                since: None,
            };
            Self { sinks, stderr, access }
        }

        fn written(&self) -> (String, String) {
            (fs::read_to_string(&self.stderr).unwrap(), fs::read_to_string(&self.access).unwrap())
        }
    }

    impl Drop for Bench {
        fn drop(&mut self) {
            let _ = (fs::remove_file(&self.stderr), fs::remove_file(&self.access));
        }
    }

    /// Appends a line.
    fn text(line: &[u8]) -> impl FnOnce(&mut Vec<u8>) {
        move |out| out.extend_from_slice(line)
    }

    fn at(millis: u64) -> Tick {
        Tick::from_micros(1000 * millis)
    }

    fn strings(one: &str, other: &str) -> (String, String) {
        (one.to_owned(), other.to_owned())
    }

    #[test]
    fn diagnostics_are_written_at_once_and_access_lines_when_it_is_quiet() {
        let mut bench = Bench::new("quiet", true);
        assert_eq!(bench.sinks.before_wait(at(0), false), None);
        bench.sinks.access(None, text(b"GET / 200\n"));
        bench.sinks.record(b"2026 INFO hello\n");
        assert_eq!(bench.written(), strings("2026 INFO hello\n", ""));
        assert_eq!(bench.sinks.before_wait(at(5), false), Some(QUIET));
        assert_eq!(bench.written().1, "");
        assert_eq!(bench.sinks.before_wait(at(15), true), None);
        assert_eq!(bench.written().1, "GET / 200\n");
    }

    #[test]
    fn access_lines_wait_for_at_most_a_second() {
        let mut bench = Bench::new("busy", true);
        bench.sinks.access(None, text(b"one\n"));
        assert_eq!(bench.sinks.before_wait(at(5), false), Some(QUIET));
        assert_eq!(bench.sinks.before_wait(at(1004), false), Some(QUIET));
        assert_eq!(bench.sinks.before_wait(at(1005), false), None);
        assert_eq!(bench.written().1, "one\n");
        // The next second is counted again.
        bench.sinks.access(None, text(b"two\n"));
        assert_eq!(bench.sinks.before_wait(at(1100), false), Some(QUIET));
        assert_eq!(bench.written().1, "one\n");
    }

    #[test]
    fn one_sink_keeps_the_order() {
        let mut bench = Bench::new("order", false);
        bench.sinks.access(None, text(b"one\n"));
        bench.sinks.record(b"2026 INFO two\n");
        bench.sinks.access(None, text(b"three\n"));
        assert_eq!(bench.written().0, "one\n2026 INFO two\n");
        bench.sinks.all().for_each(Sink::flush);
        assert_eq!(bench.written().0, "one\n2026 INFO two\nthree\n");
    }

    #[test]
    fn two_streams_to_one_place_keep_the_order_too() {
        let (mut reader, writer) = io::pipe().unwrap();
        let [stderr, access] = [(); 2].map(|()| Sink::stream(&writer).unwrap());
        drop(writer);
        let mut sinks = Sinks { stderr, access: Some(access), hosts: HostLogs::default(), since: None };
        sinks.access(None, text(b"one\n"));
        sinks.record(b"2026 INFO two\n");
        drop(sinks);
        assert_eq!(io::read_to_string(&mut reader).unwrap(), "one\n2026 INFO two\n");
    }

    #[test]
    fn a_stalled_reader_is_retried() {
        let (_reader, writer) = io::pipe().unwrap();
        let mut bench = Bench::new("stalled", true);
        bench.sinks.access = Some(Sink::stream(&writer).unwrap());
        for _ in 0..1024 {
            bench.sinks.access(None, text(&[&[b'x'; 199][..], b"\n"].concat()));
        }
        assert_eq!(bench.sinks.before_wait(at(0), true), Some(RETRY));
        bench.sinks.record(b"2026 INFO still here\n");
        assert_eq!(bench.written().0, "2026 INFO still here\n");
    }

    #[test]
    fn rust_log_overrides_the_options() {
        type Enabled<'a> = &'a [(&'a str, Level, bool)];
        let cases: &[(i8, bool, Option<&str>, Enabled<'_>)] = &[
            (0, false, None, &[("miod::x", Level::Info, true), ("miod::x", Level::Debug, false)]),
            (
                0,
                false,
                None,
                &[("mio", Level::Warn, true), ("mio", Level::Info, false), ("access", Level::Info, false)],
            ),
            (1, true, None, &[("miod", Level::Debug, true), ("access", Level::Info, true)]),
            (9, false, None, &[("miod", Level::Trace, true), ("mio", Level::Info, false)]),
            (
                -1,
                true,
                None,
                &[("miod", Level::Info, false), ("miod", Level::Warn, true), ("access", Level::Info, true)],
            ),
            (-9, false, None, &[("panic", Level::Error, true), ("mio", Level::Warn, false)]),
            (-9, false, Some("debug"), &[("miod", Level::Debug, true), ("access", Level::Info, false)]),
            (0, true, Some("warn"), &[("miod", Level::Info, false), ("access", Level::Info, true)]),
            (0, false, Some("access=info"), &[("access", Level::Info, true), ("miod", Level::Error, false)]),
            (0, true, Some("info,access=off"), &[("access", Level::Info, false), ("miod", Level::Info, true)]),
        ];
        for &(verbosity, access, rust_log, expected) in cases {
            let logger = filtered(verbosity, access, rust_log).build();
            for &(target, level, enabled) in expected {
                let metadata = log::Metadata::builder().target(target).level(level).build();
                assert_eq!(logger.enabled(&metadata), enabled, "{verbosity} {rust_log:?} {target} {level}");
            }
        }
    }

    #[test]
    fn the_format_of_lines() {
        let bench = Bench::new("form", true);
        let (stderr, access) = (bench.stderr.clone(), bench.access.clone());
        let sinks = Sinks {
            stderr: Sink::file(&stderr).unwrap(),
            access: Some(Sink::file(&access).unwrap()),
            hosts: HostLogs::default(),
            since: None,
        };
        let sinks = Arc::new(Mutex::new(sinks));
        let log = Log { sinks: Some(Arc::clone(&sinks)), format: LogFormat::Json, enabled: true };
        let mut builder = filtered(0, true, None);
        write_to(&mut builder, Style::default(), &sinks);
        let logger = builder.build();
        let say = |target: &str, level, args: std::fmt::Arguments<'_>| {
            logger.log(&Record::builder().target(target).level(level).args(args).build());
        };
        log.access(None, text(b"GET / 200\n"));
        say("miod::server", Level::Info, format_args!("hello"));
        say("miod::server", Level::Debug, format_args!("unheard"));
        assert_eq!(log.before_wait(at(0), false), Some(QUIET));
        log.flush();
        assert_eq!(log.before_wait(at(1), false), None);
        assert!(log.reopen().is_empty());
        let (diagnostics, lines) = bench.written();
        assert_eq!(lines, "GET / 200\n");
        let (time, rest) = diagnostics.split_at(20);
        assert!(time.starts_with("20") && time.ends_with('Z') && time.as_bytes()[10] == b'T', "{time}");
        assert_eq!(rest, " INFO  miod::server hello\n");
    }

    /// The child process of the next test. It is a process of its own, since a process has only one
    /// logger.
    #[test]
    fn logger_of_a_process() {
        if std::env::var_os("MIOD_TEST_CHILD").is_none() {
            return;
        }
        let log = init(&LogOptions::diagnostics_only(0)).unwrap();
        assert!(init(&LogOptions::default()).is_err());
        install_panic_hook();
        if log::log_enabled!(target: ACCESS, Level::Info) {
            log.access(None, text(b"GET / 200\n"));
        }
        assert!(std::thread::spawn(|| panic!("a \"quoted\"\n{}", "line")).join().is_err());
        log.flush();
    }

    #[test]
    fn records_reach_standard_error() {
        for (rust_log, access) in [(None, ""), (Some("error,access=info"), "GET / 200\n")] {
            let mut child = std::process::Command::new(std::env::current_exe().unwrap());
            child.args(["--exact", "logging::tests::logger_of_a_process", "--nocapture"]).env("MIOD_TEST_CHILD", "1");
            match rust_log {
                Some(filters) => child.env("RUST_LOG", filters),
                None => child.env_remove("RUST_LOG"),
            };
            let output = child.output().unwrap();
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert!(output.status.success(), "{stderr}");
            let diagnostic = stderr.strip_prefix(access).expect(&stderr);
            assert_eq!(diagnostic.lines().count(), 1, "{stderr}");
            assert!(diagnostic.contains(" ERROR panic panicked at src/logging/mod.rs:"), "{stderr}");
            assert!(diagnostic.ends_with(": a \\\"quoted\\\"\\x0aline\n"), "{stderr}");
        }
    }

    #[test]
    fn a_log_of_no_logger_does_nothing() {
        let log = Log::default();
        log.flush();
        assert!(log.reopen().is_empty());
        assert_eq!(log.before_wait(at(0), true), None);
    }
}

//! The certificates of the listeners for TLS, and how they are replaced while the server runs.
//!
//! The files are looked at when a connection is accepted, at most once a second, and after
//! SIGHUP. So a new certificate is used for the next handshake within a second, also where it is
//! behind a symbolic link, and an idle server stays asleep. A certificate and its key are two
//! files: between the two writes they don't fit. What can't be used is logged once, and the old
//! certificate stays in use until the files change again.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::certificates::x509::iso_date;
use crate::certificates::{self, CertificateError, Identity, PemFiles};
use crate::reactor::{KeyLog, Tick, Time, TlsAcceptor, TlsIdentity, TlsServerSettings, TlsSettingsError};

/// How often the files are looked at, at most.
const LOOK: Duration = Duration::from_secs(1);
const DAY: i64 = 86_400;
/// A certificate that ends sooner is reported.
const ENDS_SOON: i64 = 14 * DAY;

/// Where the certificates come from, and what is offered with them.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The certificates and keys.
    pub files: Vec<PemFiles>,
    /// Those of `--tls auto` are kept valid.
    pub auto: Option<AutoSource>,
    /// The authorities that must have signed clients' certificates.
    pub client_ca: Option<PathBuf>,
    /// TLS 1.2 is refused.
    pub only_tls13: bool,
    /// The protocols that are spoken (ALPN).
    pub protocols: &'static [&'static str],
    /// Where the secrets of sessions are written.
    pub key_log: KeyLog,
}

/// What a certificate of `--tls auto` is made from.
#[derive(Clone, Debug)]
pub struct AutoSource {
    /// Where the authority and the certificate are kept.
    pub directory: PathBuf,
    /// The names that the certificate is for, in addition to localhost.
    pub names: Vec<String>,
    /// The addresses that it is for, in addition to the loopback addresses.
    pub addresses: Vec<IpAddr>,
}

/// The certificates in use.
pub struct Certificates {
    acceptor: TlsAcceptor,
    sources: Sources,
    /// What the files were like when they were looked at last.
    seen: Vec<Option<Stamp>>,
    looked: Tick,
    /// The end of each certificate in use, in Unix seconds, with its file.
    ends: Vec<(PathBuf, i64)>,
    /// The day of the last report about them, in days since 1970.
    reported: i64,
}

/// What tells whether a file has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stamp {
    inode: (u64, u64),
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// That of a file; none if it isn't there.
    fn of(path: &Path) -> Option<Self> {
        let data = fs::metadata(path).ok()?;
        Some(Self {
            inode: (data.dev(), data.ino()),
            length: data.len(),
            modified: (data.mtime(), data.mtime_nsec()),
            changed: (data.ctime(), data.ctime_nsec()),
        })
    }
}

impl Sources {
    fn paths(&self) -> impl Iterator<Item = &Path> {
        let pairs = self.files.iter().flat_map(|files| [Some(&files.certificate), files.key.as_ref()]);
        pairs.chain([self.client_ca.as_ref()]).flatten().map(PathBuf::as_path)
    }

    fn stamps(&self) -> Vec<Option<Stamp>> {
        self.paths().map(Stamp::of).collect()
    }

    /// Reads all files.
    fn load(&self) -> Result<(TlsServerSettings, Vec<(PathBuf, i64)>), String> {
        let readable = |error: CertificateError| error.to_string();
        let loaded: Vec<Identity> =
            self.files.iter().map(PemFiles::load).collect::<Result<_, _>>().map_err(readable)?;
        let client_authorities = match &self.client_ca {
            Some(path) => certificates::load_authorities(path).map_err(readable)?,
            None => Vec::new(),
        };
        let paths = self.files.iter().map(|files| files.certificate.clone());
        let ends = paths.zip(loaded.iter().map(|identity| identity.facts.not_after)).collect();
        let identities =
            loaded.into_iter().map(|Identity { chain, key, facts }| TlsIdentity { chain, key, names: facts.dns_names });
        let settings = TlsServerSettings {
            identities: identities.collect(),
            only_tls13: self.only_tls13,
            protocols: self.protocols,
            client_authorities,
            key_log: self.key_log.clone(),
        };
        Ok((settings, ends))
    }

    /// A sentence about settings that can't be used.
    fn explain(&self, error: &TlsSettingsError) -> String {
        match error {
            TlsSettingsError::KeyMismatch(number) | TlsSettingsError::Unusable(number, _) => {
                let files = self.files.get(*number).map_or_else(String::new, PemFiles::to_string);
                format!("{files}: {error}")
            }
            TlsSettingsError::Authorities(_) => match &self.client_ca {
                Some(path) => format!("{}: {error}", path.display()),
                None => error.to_string(),
            },
            TlsSettingsError::NoCertificate => error.to_string(),
        }
    }
}

impl Certificates {
    /// Whether the certificate of a connection is good for a host; `asked` is the name that its
    /// client asked for.
    pub fn acceptor_is_for(&self, asked: Option<&str>, host: &str) -> bool {
        self.acceptor.is_for(asked, host)
    }

    /// Reads the certificates, those of `--tls auto` made or checked just now.
    ///
    /// # Errors
    /// A sentence that says which file can't be used, and why.
    pub fn open(sources: Sources, unix_seconds: i64) -> Result<Self, String> {
        let seen = sources.stamps();
        let (settings, ends) = sources.load()?;
        let acceptor = TlsAcceptor::new(settings).map_err(|error| sources.explain(&error))?;
        let reported = unix_seconds.div_euclid(DAY);
        Ok(Self { acceptor, sources, seen, looked: Tick::default(), ends, reported })
    }

    /// Uses other certificates from the next handshake on. Sessions can still be resumed.
    pub fn take_over(&mut self, other: Self) {
        self.acceptor.take_over(&other.acceptor);
        *self = Self { acceptor: self.acceptor.clone(), looked: self.looked, ..other };
    }

    /// What listeners accept connections with.
    pub fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.clone()
    }

    /// Looks whether the files have changed, if a second has passed.
    pub fn refresh(&mut self, time: Time) {
        if time.now >= self.looked.after(LOOK) {
            self.reload(time);
        }
    }

    /// Looks whether the files have changed.
    pub fn reload(&mut self, time: Time) {
        self.looked = time.now;
        self.report(time.unix_seconds);
        // Before they are read: what changes meanwhile is read again.
        let seen = self.sources.stamps();
        if seen == self.seen {
            return;
        }
        self.seen = seen;
        let loaded = self.sources.load();
        let replaced = loaded.and_then(|(settings, ends)| {
            self.acceptor.replace(settings).map_err(|error| self.sources.explain(&error))?;
            Ok(ends)
        });
        match replaced {
            Ok(ends) => {
                self.ends = ends;
                log::info!("the TLS certificates were read again");
            }
            Err(why) => log::error!("the TLS certificates in use stay in use: {why}"),
        }
    }

    /// Once a day: logs which certificates end soon, and makes those of `--tls auto` anew.
    fn report(&mut self, unix_seconds: i64) {
        let today = unix_seconds.div_euclid(DAY);
        if self.reported == today {
            return;
        }
        self.reported = today;
        if let Some(AutoSource { directory, names, addresses }) = &self.sources.auto
            && let Err(error) = certificates::prepare(directory, names, addresses, unix_seconds)
        {
            log::error!("{error}");
        }
        self.log_notices(unix_seconds);
    }

    fn log_notices(&self, unix_seconds: i64) {
        for notice in self.notices(unix_seconds) {
            log::warn!("{notice}");
        }
    }

    /// The files of the certificates, and when each ends, in Unix seconds.
    pub fn ends(&self) -> &[(PathBuf, i64)] {
        &self.ends
    }

    /// A sentence about each certificate in use that has ended, or ends soon.
    pub fn notices(&self, unix_seconds: i64) -> Vec<String> {
        let soon = self.ends.iter().filter(|(_, end)| end - unix_seconds < ENDS_SOON);
        let say = |(path, end): &(PathBuf, i64)| {
            let verb = if *end < unix_seconds { "ended" } else { "ends" };
            format!("the certificate in {} {verb} on {}", path.display(), iso_date(*end))
        };
        soon.map(say).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::scratch::Scratch;

    const NOW: i64 = 1_790_000_000;

    fn time(seconds: u64) -> Time {
        Time { now: Tick::from_micros(seconds * 1_000_000), unix_seconds: NOW + seconds as i64, ..Time::default() }
    }

    fn open(files: &Scratch) -> Certificates {
        let auto = certificates::prepare(&files.at("tls"), &[], &[], NOW).unwrap();
        let sources = Sources {
            files: vec![auto.files],
            auto: None,
            client_ca: None,
            only_tls13: false,
            protocols: &["http/1.1"],
            key_log: KeyLog::default(),
        };
        Certificates::open(sources, NOW).unwrap()
    }

    fn copy(files: &Scratch, from: &str, to: &str) {
        fs::copy(files.at(from), files.at(to)).unwrap();
    }

    #[test]
    fn a_pair_that_does_not_fit_keeps_the_old_one_until_it_does() {
        let files = Scratch::new();
        let mut certificates = open(&files);
        let first = certificates.ends.clone();
        certificates::prepare(&files.at("other"), &["other.example".to_owned()], &[], NOW + 5 * DAY).unwrap();
        copy(&files, "other/server.pem", "tls/server.pem");
        certificates.refresh(time(2));
        assert_eq!(certificates.ends, first, "the key is still the old one");
        copy(&files, "other/server-key.pem", "tls/server-key.pem");
        certificates.refresh(time(2));
        assert_eq!(certificates.ends, first, "no second has passed");
        certificates.refresh(time(3));
        assert!(certificates.ends[0].1 > first[0].1);
        fs::remove_file(files.at("tls/server.pem")).unwrap();
        let before = certificates.ends.clone();
        certificates.reload(time(3));
        assert_eq!(certificates.ends, before);
    }

    #[test]
    fn certificates_that_end_soon_are_reported() {
        let files = Scratch::new();
        let certificates = open(&files);
        let end = certificates.ends[0].1;
        assert!(certificates.notices(NOW).is_empty() && certificates.notices(end - 15 * DAY).is_empty());
        let [soon] = &certificates.notices(end - 13 * DAY)[..] else { panic!() };
        assert!(soon.contains("server.pem ends on 20"), "{soon}");
        let [ended] = &certificates.notices(end + 1)[..] else { panic!() };
        assert!(ended.contains(" ended on "), "{ended}");
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let files = Scratch::new();
        let mut certificates = open(&files);
        let sources = |certificate: &str, key: &str| {
            let pem = PemFiles { certificate: files.at(certificate), key: Some(files.at(key)) };
            Sources { files: vec![pem], ..certificates.sources.clone() }
        };
        let mismatch = Certificates::open(sources("tls/server.pem", "tls/ca-key.pem"), NOW).err().unwrap();
        assert!(mismatch.contains("ca-key.pem") && mismatch.contains("does not belong"), "{mismatch}");
        let absent = Certificates::open(sources("tls/none.pem", "tls/ca-key.pem"), NOW).err().unwrap();
        assert!(absent.contains("none.pem"), "{absent}");
        certificates.sources.client_ca = Some(files.at("tls/server-key.pem"));
        let authorities = Certificates::open(certificates.sources.clone(), NOW).err().unwrap();
        assert!(authorities.contains("server-key.pem"), "{authorities}");
    }
}

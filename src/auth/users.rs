//! The users of one password file, and their state: recently verified passwords, running
//! checks and failures.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use ring::hmac;

use super::expiry_map::ExpiryMap;
use super::htpasswd::{self, Table};
use super::throttle::{Charge, Throttle, block};
use crate::http::basic::Credentials;
use crate::limits;

/// The HMAC of a name and a password.
type Pair = [u8; 32];

/// The users of one password file. Clones share the limit of failures, so a guess at one place
/// counts at all; all other state is a clone's own.
#[derive(Clone)]
pub struct Users {
    /// The file; none: the users are fixed.
    path: Option<PathBuf>,
    /// The file's version when it was read; none if it couldn't be read.
    version: Option<Version>,
    /// When the file was last looked at, in seconds of the loop's clock.
    last_look: u64,
    table: Arc<Table>,
    /// The number of files read so far. It is part of each HMAC, so that nothing that was
    /// verified with one file is valid for the next.
    generation: u64,
    signer: hmac::Key,
    hasher: RandomState,
    verified: ExpiryMap<Pair>,
    running: Vec<Running>,
    /// Locked for one call, by the thread of the loop alone.
    throttle: Arc<Mutex<Throttle>>,
}

/// Distinguishes one version of a file from another.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Version {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Version {
    fn of(file: &fs::Metadata) -> Self {
        let changed = (file.ctime(), file.ctime_nsec());
        Self { device: file.dev(), inode: file.ino(), size: file.size(), changed }
    }
}

/// A check on the helper thread, as long as its result is awaited.
#[derive(Clone)]
struct Running {
    pair: Pair,
    from: Option<IpAddr>,
    result: Weak<OnceLock<bool>>,
}

/// The immediate result of a check.
pub enum Verdict {
    /// The password was verified recently.
    Right,
    /// The password must be checked, by this job.
    Ask(Check),
    /// Too many checks run.
    Busy,
    /// Too many failures: seconds until the next attempt.
    TooMany(u64),
}

/// A check of a password: a job for the helper thread.
pub struct Check {
    table: Arc<Table>,
    credentials: Credentials,
    pick: u64,
    checked: Checked,
    /// Shared by all concurrent checks of the same pair; the first to run fills it.
    result: Arc<OnceLock<bool>>,
}

impl Check {
    /// Runs the check.
    pub fn run(self) -> Checked {
        let Self { table, credentials, pick, checked, result } = self;
        let right = *result.get_or_init(|| table.verify(&credentials.name, &credentials.password, pick));
        Checked { right, ..checked }
    }
}

/// The result of a check, for [`Users::settle`].
pub struct Checked {
    pair: Pair,
    /// The tokens that it takes if the password is wrong; none if another check of the same
    /// pair took them.
    charge: Option<Charge>,
    right: bool,
}

impl Users {
    /// The users of the file `path`.
    ///
    /// # Errors
    /// A message, if it can't be read or has an invalid line.
    pub fn open(path: &Path) -> Result<Self, String> {
        let (table, version) = read(path).map_err(|error| format!("{} can't be read: {error}", path.display()))?;
        let table = reject_invalid(path, table)?;
        Ok(Self { path: Some(path.to_owned()), version: Some(version), ..Self::new(table) })
    }

    /// The users in `text`; they are fixed.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn fixed(text: &str) -> Result<Self, String> {
        Ok(Self::new(reject_invalid(Path::new("the text"), htpasswd::parse(text.as_bytes()))?))
    }

    /// No users.
    pub fn empty() -> Self {
        Self::new(Table::default())
    }

    fn new(table: Table) -> Self {
        // One block of the hash.
        let mut key = [0; 64];
        getrandom::fill(&mut key).expect("the system has random bytes; sessions need them too");
        Self {
            path: None,
            version: None,
            last_look: 0,
            table: Arc::new(table),
            generation: 0,
            signer: hmac::Key::new(hmac::HMAC_SHA256, &key),
            hasher: RandomState::new(),
            verified: ExpiryMap::new(limits::VERIFIED),
            running: Vec::new(),
            throttle: Arc::new(Mutex::new(Throttle::new())),
        }
    }

    /// How many users there are.
    pub fn count(&self) -> usize {
        self.table.len()
    }

    /// Checks credentials. `from` is the client's address (none on a unix-domain socket), `now`
    /// the loop's clock in seconds.
    pub fn check(&mut self, credentials: Credentials, from: Option<IpAddr>, now: u64) -> Verdict {
        self.read_if_changed(now);
        let pair = self.sign(&credentials);
        if self.verified.get(&pair, now) > now {
            return Verdict::Right;
        }
        let from = from.map(block);
        self.running.retain(|running| running.result.strong_count() > 0);
        let same = self.running.iter().find(|running| running.pair == pair);
        let (result, charge) = match same.and_then(|running| running.result.upgrade()) {
            Some(result) => (result, None),
            None => {
                let same_address = self.running.iter().filter(|running| running.from == from).count();
                if self.running.len() >= limits::CHECKS || same_address >= limits::CHECKS_PER_ADDRESS {
                    return Verdict::Busy;
                }
                let charge = match self.throttle().charge(from, &credentials.name, now) {
                    Ok(charge) => charge,
                    Err(wait) => return Verdict::TooMany(wait),
                };
                let result = Arc::new(OnceLock::new());
                self.running.push(Running { pair, from, result: Arc::downgrade(&result) });
                (result, Some(charge))
            }
        };
        let pick = self.hasher.hash_one(&credentials.name);
        let checked = Checked { pair, charge, right: false };
        Verdict::Ask(Check { table: Arc::clone(&self.table), credentials, pick, checked, result })
    }

    /// Records the result of a check. Returns whether the password was right.
    pub fn settle(&mut self, checked: &Checked, now: u64) -> bool {
        if checked.right {
            self.verified.set(checked.pair, now + limits::VERIFIED_FOR, now);
            if let Some(charge) = checked.charge {
                self.throttle().refund(charge, now);
            }
        }
        checked.right
    }

    fn throttle(&self) -> MutexGuard<'_, Throttle> {
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sign(&self, credentials: &Credentials) -> Pair {
        let mut signer = hmac::Context::with_key(&self.signer);
        signer.update(&self.generation.to_le_bytes());
        // The length separates name and password.
        signer.update(&(credentials.name.len() as u64).to_le_bytes());
        signer.update(credentials.name.as_bytes());
        signer.update(credentials.password.as_bytes());
        let mut pair = Pair::default();
        pair.copy_from_slice(signer.sign().as_ref());
        pair
    }

    /// Reads the file again if it has changed, once a second at most. It blocks, as reading a
    /// served file does. If the file can't be read, there are no users: an error must not bring
    /// back a deleted user.
    fn read_if_changed(&mut self, now: u64) {
        let Some(path) = self.path.as_deref().filter(|_| now != self.last_look) else { return };
        self.last_look = now;
        let version = fs::metadata(path).ok().map(|metadata| Version::of(&metadata));
        if version.is_some() && version == self.version {
            return;
        }
        let was_there = self.version.is_some();
        let (table, version) = match read(path) {
            Ok(((table, wrong), version)) => {
                log::info!("read {} again: {} users", path.display(), table.len());
                if let Some(wrong) = wrong {
                    log::error!("{} line {}: {}; the line is ignored", path.display(), wrong.line, wrong.why);
                }
                (table, Some(version))
            }
            Err(_) if !was_there => return,
            Err(error) => {
                log::error!("can't read {}, so all users are refused: {error}", path.display());
                (Table::default(), None)
            }
        };
        self.table = Arc::new(table);
        self.version = version;
        self.generation += 1;
        self.verified.clear();
    }
}

type Parsed = (Table, Option<htpasswd::InvalidLine>);

/// Reads a password file and its version.
fn read(path: &Path) -> io::Result<(Parsed, Version)> {
    let (metadata, text) = htpasswd::read(path)?.ok_or_else(|| io::Error::other("it is larger than 1 MiB"))?;
    Ok((htpasswd::parse(&text), Version::of(&metadata)))
}

/// At the start an invalid line is an error.
fn reject_invalid(path: &Path, (table, wrong): Parsed) -> Result<Table, String> {
    match wrong {
        None => Ok(table),
        Some(wrong) => Err(format!("{} line {}: {}", path.display(), wrong.line, wrong.why)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// At cost 4: "apple" for both.
    const ALICE: &str = "alice:$2y$04$Im0z16.DTEB3DDCKewmGnuoTXtBavQMwSiNl3R4rR7ofB0rN/w5B6\n";
    const BOB: &str = "bob:$2y$04$Im0z16.DTEB3DDCKewmGnuoTXtBavQMwSiNl3R4rR7ofB0rN/w5B6\n";

    fn pair(name: &str, password: &str) -> Credentials {
        Credentials { name: name.to_owned(), password: password.to_owned() }
    }

    fn ask(users: &mut Users, password: &str, from: &str, now: u64) -> Option<Check> {
        match users.check(pair("alice", password), from.parse().ok(), now) {
            Verdict::Ask(check) => Some(check),
            _ => None,
        }
    }

    /// Makes a check and settles it; none if no check is needed.
    fn check(users: &mut Users, password: &str, from: &str, now: u64) -> Option<bool> {
        let checked = ask(users, password, from, now)?.run();
        Some(users.settle(&checked, now))
    }

    /// A temporary file.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(text: &str) -> Self {
            let name = format!("miod-users-{}-{:?}", std::process::id(), std::thread::current().id());
            let path = std::env::temp_dir().join(name);
            fs::write(&path, text).unwrap();
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    #[test]
    fn a_right_password_is_remembered_for_a_while() {
        let mut users = Users::fixed(ALICE).unwrap();
        assert_eq!(check(&mut users, "apple", "::1", 0), Some(true));
        for now in [0, limits::VERIFIED_FOR - 1] {
            assert!(matches!(users.check(pair("alice", "apple"), None, now), Verdict::Right));
        }
        for (name, password) in [("alice", "Apple"), ("alic", "eapple"), ("aliceapple", ""), ("bob", "apple")] {
            assert!(matches!(users.check(pair(name, password), None, 0), Verdict::Ask(_)), "{name}");
        }
        assert_eq!(check(&mut users, "apple", "::1", limits::VERIFIED_FOR), Some(true));
        for now in [limits::VERIFIED_FOR; 2] {
            assert_eq!(check(&mut users, "pear", "::1", now), Some(false), "a wrong password isn't remembered");
        }
    }

    #[test]
    fn concurrent_checks_of_one_pair_run_once_and_take_one_token() {
        let mut users = Users::fixed(ALICE).unwrap();
        let checks: Vec<_> = (0..50).map(|_| ask(&mut users, "pear", "192.0.2.1", 0).unwrap()).collect();
        assert_eq!(users.running.len(), 1);
        let mut charged = 0;
        for check in checks {
            let checked = check.run();
            charged += usize::from(checked.charge.is_some());
            assert!(!users.settle(&checked, 0));
        }
        assert_eq!(charged, 1);
    }

    #[test]
    fn concurrent_checks_are_limited_per_address_and_in_all() {
        let mut users = Users::fixed(ALICE).unwrap();
        let mut checks = Vec::new();
        for address in 1.. {
            let from = format!("192.0.2.{address}");
            let passwords = (0..).map(|number| number.to_string());
            let new: Vec<_> = passwords.map_while(|password| ask(&mut users, &password, &from, address)).collect();
            if new.is_empty() {
                break;
            }
            // Except for the first address, the first check is the same as one of an earlier
            // address.
            let own = new.iter().filter(|check| check.checked.charge.is_some()).count();
            assert_eq!(own, limits::CHECKS_PER_ADDRESS.min(limits::CHECKS - checks.len()));
            checks.extend(new.into_iter().filter(|check| check.checked.charge.is_some()));
            if checks.len() == limits::CHECKS {
                break;
            }
        }
        assert!(matches!(users.check(pair("bob", "x"), None, 99), Verdict::Busy));
        // A finished check makes room, even if its result is dropped.
        drop(checks);
        assert!(matches!(users.check(pair("bob", "x"), None, 99), Verdict::Ask(_)));
    }

    #[test]
    fn failures_are_limited_and_successes_are_not() {
        let mut users = Users::fixed(&format!("{ALICE}{BOB}")).unwrap();
        for number in 0..10 {
            assert_eq!(check(&mut users, &number.to_string(), "192.0.2.1", 0), Some(false));
        }
        assert!(matches!(users.check(pair("alice", "apple"), "192.0.2.1".parse().ok(), 0), Verdict::TooMany(6)));
        assert_eq!(check(&mut users, "apple", "192.0.2.2", 0), Some(true));
        // A verified pair is allowed from every address.
        assert!(matches!(users.check(pair("alice", "apple"), "192.0.2.1".parse().ok(), 0), Verdict::Right));
    }

    #[test]
    fn clones_share_the_limit_of_failures_and_nothing_else() {
        let mut users = Users::fixed(ALICE).unwrap();
        let mut clone = users.clone();
        for number in 0..5 {
            for users in [&mut users, &mut clone] {
                assert_eq!(check(users, &number.to_string(), "192.0.2.1", 0), Some(false));
            }
        }
        for users in [&mut users, &mut clone] {
            assert!(matches!(users.check(pair("alice", "apple"), "192.0.2.1".parse().ok(), 0), Verdict::TooMany(6)));
        }
        assert_eq!(check(&mut users, "apple", "192.0.2.2", 0), Some(true));
        assert!(matches!(clone.check(pair("alice", "apple"), "192.0.2.2".parse().ok(), 0), Verdict::Ask(_)));
    }

    #[test]
    fn a_changed_file_is_read_again_and_verified_passwords_are_forgotten() {
        let file = Scratch::new(ALICE);
        let mut users = Users::open(&file.0).unwrap();
        assert_eq!(check(&mut users, "apple", "::1", 1), Some(true));
        // A check with the old file is not valid for the new one.
        let late = ask(&mut users, "pear", "::1", 1).unwrap();
        let mut right = ask(&mut users, "peach", "::1", 1).unwrap().run();
        right.right = true;

        fs::write(&file.0, BOB).unwrap();
        assert!(matches!(users.check(pair("alice", "apple"), None, 1), Verdict::Right), "once a second");
        assert_eq!(check(&mut users, "apple", "::1", 2), Some(false));
        assert!(!users.settle(&late.run(), 2));
        users.settle(&right, 2);
        assert!(ask(&mut users, "peach", "::1", 2).is_some());

        fs::remove_file(&file.0).unwrap();
        let bob = |users: &mut Users, now| match users.check(pair("bob", "apple"), None, now) {
            Verdict::Ask(check) => {
                let checked = check.run();
                users.settle(&checked, now)
            }
            verdict => matches!(verdict, Verdict::Right),
        };
        assert!(bob(&mut users, 2));
        assert!(!bob(&mut users, 3));
        fs::write(&file.0, format!("nonsense\n{BOB}")).unwrap();
        assert!(bob(&mut users, 4));
    }

    #[test]
    fn an_unusable_file_is_an_error_at_the_start() {
        let file = Scratch::new(&format!("{ALICE}nonsense\n"));
        let message = |path: &Path| Users::open(path).err().unwrap();
        assert!(message(&file.0).ends_with(" line 2: there is no colon behind a name"));
        fs::write(&file.0, "#".repeat(limits::PASSWORD_FILE as usize + 1)).unwrap();
        assert!(message(&file.0).contains("larger than 1 MiB"));
        assert!(message(&std::env::temp_dir()).contains("not a regular file"));
        assert!(message(Path::new("/none/such")).contains("No such file"));
        assert_eq!(Users::fixed(crate::auth::DEMONSTRATION).unwrap().count(), 1);
    }
}

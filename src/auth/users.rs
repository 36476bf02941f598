//! The users of one password file, and what is known of them: who was verified
//! lately, which checks run, who failed how often.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, Weak};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::htpasswd::{self, Table};
use super::moments::Moments;
use super::throttle::{Charge, Throttle, block};
use crate::http::basic::Credentials;
use crate::limits;

/// Name and password, under a key of this run: what is kept of them.
type Pair = [u8; 32];

/// The users of one password file. A clone goes its own way.
#[derive(Clone)]
pub struct Users {
    /// None: they can't change.
    path: Option<PathBuf>,
    /// What the file was when it was read; none if it couldn't be.
    seen: Option<Seen>,
    /// When it was last looked at, in seconds of the loop's clock.
    looked: u64,
    table: Arc<Table>,
    /// Files read so far: a part of what is signed, so that nothing known of one
    /// counts for the next.
    generation: u64,
    signer: Hmac<Sha256>,
    hasher: RandomState,
    verified: Moments<Pair>,
    running: Vec<Running>,
    throttle: Throttle,
}

/// What tells one state of a file from another.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Seen {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Seen {
    fn of(file: &fs::Metadata) -> Self {
        let changed = (file.ctime(), file.ctime_nsec());
        Self { device: file.dev(), inode: file.ino(), size: file.size(), changed }
    }
}

/// A check on the helper thread, as long as its answer is wanted there.
#[derive(Clone)]
struct Running {
    pair: Pair,
    from: Option<IpAddr>,
    answer: Weak<OnceLock<bool>>,
}

/// What can be said of a name and a password at once.
pub enum Verdict {
    /// They were right a moment ago.
    Right,
    /// That must be found out, by this job.
    Ask(Check),
    /// Too many checks run.
    Busy,
    /// There were too many failures: wait so many seconds.
    TooMany(u64),
}

/// A check of a password: a job for the helper thread.
pub struct Check {
    table: Arc<Table>,
    who: Credentials,
    pick: u64,
    checked: Checked,
    /// Shared by all who ask the same at once: the first to run finds it out.
    answer: Arc<OnceLock<bool>>,
}

impl Check {
    /// Makes the check.
    pub fn run(self) -> Checked {
        let Self { table, who, pick, checked, answer } = self;
        let right = *answer.get_or_init(|| table.verify(&who.name, &who.password, pick));
        Checked { right, ..checked }
    }
}

/// What came of a check, for [`Users::settle`].
pub struct Checked {
    pair: Pair,
    /// What it costs if it was wrong; nothing if another pays.
    charge: Option<Charge>,
    right: bool,
}

impl Users {
    /// The users of the file `path`.
    ///
    /// # Errors
    /// A sentence, if it can't be read or holds a line that can't be used.
    pub fn open(path: &Path) -> Result<Self, String> {
        let (table, seen) = read(path).map_err(|error| format!("{} can't be read: {error}", path.display()))?;
        let table = first_wrong(path, table)?;
        Ok(Self { path: Some(path.to_owned()), seen: Some(seen), ..Self::new(table) })
    }

    /// The users in `text`, which can't change.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn fixed(text: &str) -> Result<Self, String> {
        Ok(Self::new(first_wrong(Path::new("the text"), htpasswd::parse(text.as_bytes()))?))
    }

    /// No users.
    pub fn nobody() -> Self {
        Self::new(Table::default())
    }

    fn new(table: Table) -> Self {
        // A whole block of the hash.
        let mut key = [0; 64];
        getrandom::fill(&mut key).expect("the system gives random bytes, as it does for sessions");
        Self {
            path: None,
            seen: None,
            looked: 0,
            table: Arc::new(table),
            generation: 0,
            signer: Hmac::new(&key.into()),
            hasher: RandomState::new(),
            verified: Moments::new(limits::VERIFIED),
            running: Vec::new(),
            throttle: Throttle::new(),
        }
    }

    /// How many users there are.
    pub fn count(&self) -> usize {
        self.table.len()
    }

    /// Looks whether the password is known to be the user's. `from` is the client's
    /// address (none on a unix-domain socket), `now` the loop's clock in seconds.
    pub fn check(&mut self, who: Credentials, from: Option<IpAddr>, now: u64) -> Verdict {
        self.look_at_file(now);
        let pair = self.sign(&who);
        if self.verified.get(&pair, now) > now {
            return Verdict::Right;
        }
        let from = from.map(block);
        self.running.retain(|running| running.answer.strong_count() > 0);
        let same = self.running.iter().find(|running| running.pair == pair);
        let (answer, charge) = match same.and_then(|running| running.answer.upgrade()) {
            Some(answer) => (answer, None),
            None => {
                let theirs = self.running.iter().filter(|running| running.from == from).count();
                if self.running.len() >= limits::CHECKS || theirs >= limits::CHECKS_PER_ADDRESS {
                    return Verdict::Busy;
                }
                let charge = match self.throttle.charge(from, &who.name, now) {
                    Ok(charge) => charge,
                    Err(wait) => return Verdict::TooMany(wait),
                };
                let answer = Arc::new(OnceLock::new());
                self.running.push(Running { pair, from, answer: Arc::downgrade(&answer) });
                (answer, Some(charge))
            }
        };
        let pick = self.hasher.hash_one(&who.name);
        let checked = Checked { pair, charge, right: false };
        Verdict::Ask(Check { table: Arc::clone(&self.table), who, pick, checked, answer })
    }

    /// Takes note of what came of a check, and says whether it was right.
    pub fn settle(&mut self, checked: &Checked, now: u64) -> bool {
        if checked.right {
            self.verified.set(checked.pair, now + limits::VERIFIED_FOR, now);
            if let Some(charge) = checked.charge {
                self.throttle.refund(charge, now);
            }
        }
        checked.right
    }

    fn sign(&self, who: &Credentials) -> Pair {
        let mut signer = self.signer.clone();
        signer.update(&self.generation.to_le_bytes());
        // With its length, so that no two pairs read the same.
        signer.update(&(who.name.len() as u64).to_le_bytes());
        signer.update(who.name.as_bytes());
        signer.update(who.password.as_bytes());
        signer.finalize().into_bytes().into()
    }

    /// Once a second: reads the file again if it isn't what it was, here, as files that
    /// are served are. If it can't be read, there are no users: who was deleted must
    /// not come back by an error.
    fn look_at_file(&mut self, now: u64) {
        let Some(path) = self.path.as_deref().filter(|_| now != self.looked) else { return };
        self.looked = now;
        let seen = fs::metadata(path).ok().map(|metadata| Seen::of(&metadata));
        if seen.is_some() && seen == self.seen {
            return;
        }
        let was_there = self.seen.is_some();
        let (table, seen) = match read(path) {
            Ok(((table, wrong), seen)) => {
                log::info!("{} is read again: {} users", path.display(), table.len());
                if let Some(wrong) = wrong {
                    log::error!("{} line {}: {}; it counts for nobody", path.display(), wrong.line, wrong.why);
                }
                (table, Some(seen))
            }
            Err(_) if !was_there => return,
            Err(error) => {
                log::error!("{} can't be read, so nobody is let in: {error}", path.display());
                (Table::default(), None)
            }
        };
        self.table = Arc::new(table);
        self.seen = seen;
        self.generation += 1;
        self.verified.clear();
    }
}

type Parsed = (Table, Option<htpasswd::Wrong>);

/// Reads a password file, and what it was at that moment.
fn read(path: &Path) -> io::Result<(Parsed, Seen)> {
    let (metadata, text) = htpasswd::read(path)?.ok_or_else(|| io::Error::other("it is larger than 1 MiB"))?;
    Ok((htpasswd::parse(&text), Seen::of(&metadata)))
}

/// At the start, a line that can't be used is an error.
fn first_wrong(path: &Path, (table, wrong): Parsed) -> Result<Table, String> {
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

    fn who(name: &str, password: &str) -> Credentials {
        Credentials { name: name.to_owned(), password: password.to_owned() }
    }

    fn ask(users: &mut Users, password: &str, from: &str, now: u64) -> Option<Check> {
        match users.check(who("alice", password), from.parse().ok(), now) {
            Verdict::Ask(check) => Some(check),
            _ => None,
        }
    }

    /// The whole way, or none if there is nothing to find out.
    fn find_out(users: &mut Users, password: &str, from: &str, now: u64) -> Option<bool> {
        let checked = ask(users, password, from, now)?.run();
        Some(users.settle(&checked, now))
    }

    /// A file of its own, removed when dropped.
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
    fn what_was_right_is_right_for_a_while() {
        let mut users = Users::fixed(ALICE).unwrap();
        assert_eq!(find_out(&mut users, "apple", "::1", 0), Some(true));
        for now in [0, limits::VERIFIED_FOR - 1] {
            assert!(matches!(users.check(who("alice", "apple"), None, now), Verdict::Right));
        }
        for (name, password) in [("alice", "Apple"), ("alic", "eapple"), ("aliceapple", ""), ("bob", "apple")] {
            assert!(matches!(users.check(who(name, password), None, 0), Verdict::Ask(_)), "{name}");
        }
        assert_eq!(find_out(&mut users, "apple", "::1", limits::VERIFIED_FOR), Some(true));
        for now in [limits::VERIFIED_FOR; 2] {
            assert_eq!(find_out(&mut users, "pear", "::1", now), Some(false), "what was wrong isn't remembered");
        }
    }

    #[test]
    fn who_asks_the_same_at_once_waits_for_the_same_check_and_pays_once() {
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
    fn few_checks_run_at_once_for_one_address_and_for_all() {
        let mut users = Users::fixed(ALICE).unwrap();
        let mut checks = Vec::new();
        for address in 1.. {
            let from = format!("192.0.2.{address}");
            let passwords = (0..).map(|number| number.to_string());
            let new: Vec<_> = passwords.map_while(|password| ask(&mut users, &password, &from, address)).collect();
            if new.is_empty() {
                break;
            }
            // The first of each but the first asks what one before it asks.
            let own = new.iter().filter(|check| check.checked.charge.is_some()).count();
            assert_eq!(own, limits::CHECKS_PER_ADDRESS.min(limits::CHECKS - checks.len()));
            checks.extend(new.into_iter().filter(|check| check.checked.charge.is_some()));
            if checks.len() == limits::CHECKS {
                break;
            }
        }
        assert!(matches!(users.check(who("bob", "x"), None, 99), Verdict::Busy));
        // When they have run, even if nobody waits for them any more, others may.
        drop(checks);
        assert!(matches!(users.check(who("bob", "x"), None, 99), Verdict::Ask(_)));
    }

    #[test]
    fn failures_are_bounded_and_successes_are_not() {
        let mut users = Users::fixed(&format!("{ALICE}{BOB}")).unwrap();
        for number in 0..10 {
            assert_eq!(find_out(&mut users, &number.to_string(), "192.0.2.1", 0), Some(false));
        }
        assert!(matches!(users.check(who("alice", "apple"), "192.0.2.1".parse().ok(), 0), Verdict::TooMany(6)));
        assert_eq!(find_out(&mut users, "apple", "192.0.2.2", 0), Some(true));
        // Who was verified is let in from wherever.
        assert!(matches!(users.check(who("alice", "apple"), "192.0.2.1".parse().ok(), 0), Verdict::Right));
    }

    #[test]
    fn a_changed_file_is_read_and_what_was_verified_is_forgotten() {
        let file = Scratch::new(ALICE);
        let mut users = Users::open(&file.0).unwrap();
        assert_eq!(find_out(&mut users, "apple", "::1", 1), Some(true));
        // A check of the old file is no good for the new one.
        let late = ask(&mut users, "pear", "::1", 1).unwrap();
        let mut right = ask(&mut users, "peach", "::1", 1).unwrap().run();
        right.right = true;

        fs::write(&file.0, BOB).unwrap();
        assert!(matches!(users.check(who("alice", "apple"), None, 1), Verdict::Right), "once a second");
        assert_eq!(find_out(&mut users, "apple", "::1", 2), Some(false));
        assert!(!users.settle(&late.run(), 2));
        users.settle(&right, 2);
        assert!(ask(&mut users, "peach", "::1", 2).is_some());

        fs::remove_file(&file.0).unwrap();
        let bob = |users: &mut Users, now| match users.check(who("bob", "apple"), None, now) {
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
    fn a_file_that_is_no_good_is_told_at_the_start() {
        let file = Scratch::new(&format!("{ALICE}nonsense\n"));
        let told = |path: &Path| Users::open(path).err().unwrap();
        assert!(told(&file.0).ends_with(" line 2: there is no colon behind a name"));
        fs::write(&file.0, "#".repeat(limits::PASSWORD_FILE as usize + 1)).unwrap();
        assert!(told(&file.0).contains("larger than 1 MiB"));
        assert!(told(&std::env::temp_dir()).contains("no regular file"));
        assert!(told(Path::new("/none/such")).contains("No such file"));
        assert_eq!(Users::fixed(crate::auth::DEMONSTRATION).unwrap().count(), 1);
    }
}

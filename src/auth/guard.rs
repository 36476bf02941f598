//! Which paths are under protection, and who may pass.
//!
//! A [prefix](crate::http::prefixes) protects files, listings and applications alike;
//! the longest one decides. It is compared with the path
//! as files and applications get it, decoded and tidied
//! ([`decode_path`](crate::http::target::decode_path)), so no way of writing it
//! gets around. Byte by byte: where the file system takes two names for one (as
//! vfat does, which ignores case), only the whole site can be protected.

use std::net::IpAddr;

use super::{Check, Checked, Users, Verdict};
use crate::http::prefixes::{self, Prefixes};
use crate::http::{Fields, basic};

/// The protected paths.
#[derive(Default)]
pub struct Guard {
    /// Of each prefix the users who may pass; none: nobody may.
    realms: Prefixes<Option<Users>>,
}

/// Whether a request may pass.
pub enum Access {
    /// It may.
    Allowed,
    /// That must be found out, by this job.
    Ask(Check),
    /// It may not.
    Refused(Refusal),
}

/// Why a request may not pass.
pub enum Refusal {
    /// Without credentials, or with wrong ones: the value of the WWW-Authenticate that
    /// asks for them.
    Unauthorized(Vec<u8>),
    /// Nobody may.
    Closed,
    /// Too many checks run.
    Busy,
    /// There were too many failures: wait so many seconds.
    TooMany(u64),
}

impl Guard {
    /// Protects the paths below `prefix`, in place of who did before; without users
    /// nobody gets there.
    ///
    /// # Errors
    /// A sentence, if no request could ever match the prefix: it would protect
    /// nothing.
    pub fn protect(&mut self, prefix: &str, users: Option<Users>) -> Result<(), String> {
        let path = check_prefix(prefix)?;
        self.realms.set(path, users);
        Ok(())
    }

    /// The realm of a decoded path (which begins with a slash): its number, if it
    /// is in one.
    pub fn find(&self, path: &[u8]) -> Option<u16> {
        // There are as many as an operator lists.
        self.realms.find(path).map(|realm| realm as u16)
    }

    /// Whether a request with these fields, from this address, may pass into a
    /// realm; `now` is the loop's clock in seconds.
    pub fn check(&mut self, realm: u16, fields: &Fields<'_>, from: Option<IpAddr>, now: u64) -> Access {
        let (prefix, users) = self.realms.get_mut(usize::from(realm));
        let Some(users) = users else { return Access::Refused(Refusal::Closed) };
        let Some(who) = basic::credentials(fields) else { return Access::Refused(challenge(prefix)) };
        match users.check(who, from, now) {
            Verdict::Right => Access::Allowed,
            Verdict::Ask(check) => Access::Ask(check),
            Verdict::Busy => Access::Refused(Refusal::Busy),
            Verdict::TooMany(seconds) => Access::Refused(Refusal::TooMany(seconds)),
        }
    }

    /// The same, with what came of the job.
    ///
    /// # Errors
    /// Why it may not pass.
    pub fn settle(&mut self, realm: u16, checked: &Checked, now: u64) -> Result<(), Refusal> {
        let (prefix, users) = self.realms.get_mut(usize::from(realm));
        let Some(users) = users else { return Err(Refusal::Closed) };
        if users.settle(checked, now) { Ok(()) } else { Err(challenge(prefix)) }
    }
}

fn challenge(prefix: &str) -> Refusal {
    Refusal::Unauthorized(basic::challenge(prefix.as_bytes()))
}

/// The prefix without a slash at its end.
///
/// # Errors
/// If no path of a request is ever like it.
pub fn check_prefix(prefix: &str) -> Result<&str, String> {
    let path = prefixes::tidy(prefix).ok_or("give a path that begins with a slash, like /private=FILE")?;
    let bytes = path.as_bytes();
    if bytes.windows(3).any(|w| w[0] == b'%' && w[1].is_ascii_hexdigit() && w[2].is_ascii_hexdigit()) {
        return Err("give the path as the directory is called, not as it is written in a link".to_owned());
    }
    if bytes.iter().any(|&byte| byte.is_ascii_control() || byte == b'\\') {
        return Err("no path of a request holds such a character".to_owned());
    }
    if path.ends_with("/index.html") {
        return Err("the page is shown for its directory too: protect that".to_owned());
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Lines;

    fn guard(prefixes: &[&str]) -> Guard {
        let mut guard = Guard::default();
        for prefix in prefixes {
            guard.protect(prefix, None).unwrap();
        }
        guard
    }

    #[test]
    fn a_prefix_that_would_protect_nothing_is_refused() {
        for prefix in ["", "a", "//", "/a//b", "/a/../b", "/.", "/a%20b", "/a\\b", "/a\nb", "/a/index.html"] {
            assert!(check_prefix(prefix).is_err(), "{prefix:?}");
        }
        for (prefix, path) in [("/", ""), ("/a/", "/a"), ("/a b", "/a b"), ("/100%", "/100%"), ("/%zz", "/%zz")] {
            assert_eq!(check_prefix(prefix), Ok(path));
        }
    }

    #[test]
    fn who_passes() {
        let mut guard = guard(&["/closed"]);
        // At cost 4: "apple".
        let users = Users::fixed("alice:$2y$04$Im0z16.DTEB3DDCKewmGnuoTXtBavQMwSiNl3R4rR7ofB0rN/w5B6").unwrap();
        guard.protect("/open", Some(users)).unwrap();
        let realm = |guard: &Guard, path: &str| guard.find(path.as_bytes()).unwrap();
        let (open, closed) = (realm(&guard, "/open"), realm(&guard, "/closed"));
        // alice:apple, alice:pear
        let line = |value| Lines::of([("Authorization", value)]);
        let (right, wrong) = (line(&b"Basic YWxpY2U6YXBwbGU="[..]), line(b"Basic YWxpY2U6cGVhcg=="));

        let is_closed = |access| matches!(access, Access::Refused(Refusal::Closed));
        let is_asked = |access| matches!(access, Access::Refused(Refusal::Unauthorized(_)));
        assert!(is_closed(guard.check(closed, &right.fields(), None, 0)));
        assert!(is_asked(guard.check(open, &Fields::default(), None, 0)));
        let Access::Ask(check) = guard.check(open, &wrong.fields(), None, 0) else { panic!("no check") };
        let Err(Refusal::Unauthorized(challenge)) = guard.settle(open, &check.run(), 0) else { panic!("it passes") };
        assert_eq!(challenge, b"Basic realm=\"/open/\", charset=\"UTF-8\"");
        let Access::Ask(check) = guard.check(open, &right.fields(), None, 0) else { panic!("no check") };
        assert!(guard.settle(open, &check.run(), 0).is_ok());
        assert!(matches!(guard.check(open, &right.fields(), None, 0), Access::Allowed));
        assert!(is_closed(guard.check(closed, &right.fields(), None, 0)));
    }
}

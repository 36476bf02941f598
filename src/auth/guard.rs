//! The protected paths, and the check of a request's credentials.
//!
//! A [prefix](crate::http::prefix_map) protects files, listings and applications alike; the
//! longest matching one applies. It is compared with the path that files and applications
//! get, decoded and normalised ([`decode_path`](crate::http::target::decode_path)), so no
//! other spelling of a path gets around it. The comparison is byte by byte: on a file
//! system where two names mean one file (vfat ignores case), only the whole site can be
//! protected.

use std::net::IpAddr;

use super::{Check, Checked, Users, Verdict};
use crate::http::basic::Asker;
use crate::http::prefix_map::{self, PrefixMap};
use crate::http::{Fields, basic};

/// The protected paths.
#[derive(Default)]
pub struct Guard {
    /// The users of each prefix.
    realms: PrefixMap<Users>,
}

/// Whether a request is allowed.
pub enum Access {
    /// It is allowed.
    Allowed,
    /// The password must be checked, by this job.
    Ask(Check),
    /// It is refused.
    Refused(Refusal),
}

/// Why a request is refused.
pub enum Refusal {
    /// The credentials are missing or wrong. This is the value of the field with
    /// the challenge.
    Unauthorized(Vec<u8>),
    /// Too many checks run.
    Busy,
    /// Too many failures: seconds until the next attempt.
    TooMany(u64),
}

impl Guard {
    /// Protects the paths below `prefix`; earlier users of it are replaced.
    ///
    /// # Errors
    /// A hint for the user, if no request can ever match the prefix, so that it would protect
    /// nothing.
    pub fn protect(&mut self, prefix: &str, users: Users) -> Result<(), String> {
        let path = check_prefix(prefix)?;
        self.realms.set(path, users);
        Ok(())
    }

    /// The number of the realm of a decoded path (which begins with a slash), if there is one.
    pub fn find(&self, path: &[u8]) -> Option<u16> {
        // There are only a few.
        self.realms.find(path).map(|realm| realm as u16)
    }

    /// The prefix of a realm, without the slash at its end.
    pub fn prefix(&self, realm: u16) -> &str {
        self.realms.get(usize::from(realm)).0
    }

    /// Whether a request with these fields, from this address, is allowed into a realm of `asker`;
    /// `now` is the loop's clock in seconds.
    pub fn check(&mut self, realm: u16, fields: &Fields<'_>, asker: Asker, from: Option<IpAddr>, now: u64) -> Access {
        let (prefix, users) = self.realms.get_mut(usize::from(realm));
        let Some(credentials) = basic::credentials(fields, asker) else { return Access::Refused(challenge(prefix)) };
        match users.check(credentials, from, now) {
            Verdict::Right => Access::Allowed,
            Verdict::Ask(check) => Access::Ask(check),
            Verdict::Busy => Access::Refused(Refusal::Busy),
            Verdict::TooMany(seconds) => Access::Refused(Refusal::TooMany(seconds)),
        }
    }

    /// Whether the request is allowed, by the result of the check.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn settle(&mut self, realm: u16, checked: &Checked, now: u64) -> Result<(), Refusal> {
        let (prefix, users) = self.realms.get_mut(usize::from(realm));
        if users.settle(checked, now) { Ok(()) } else { Err(challenge(prefix)) }
    }
}

fn challenge(prefix: &str) -> Refusal {
    Refusal::Unauthorized(basic::challenge(prefix.as_bytes()))
}

/// The prefix without a slash at its end.
///
/// # Errors
/// A hint for the user, if no request's path can match the prefix.
pub fn check_prefix(prefix: &str) -> Result<&str, String> {
    let path = prefix_map::normalise(prefix).ok_or("give a path that begins with a slash, like /private=FILE")?;
    let bytes = path.as_bytes();
    if bytes.windows(3).any(|w| w[0] == b'%' && w[1].is_ascii_hexdigit() && w[2].is_ascii_hexdigit()) {
        return Err(
            "give the path decoded, with the name of the directory, not percent-encoded as in a link".to_owned()
        );
    }
    if bytes.iter().any(|&byte| byte.is_ascii_control() || byte == b'\\') {
        return Err("no request's path contains such a character".to_owned());
    }
    if path.ends_with("/index.html") {
        return Err("the page is shown for its directory too: protect that".to_owned());
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::FieldLines;

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
    fn a_request_passes_with_the_right_password_only() {
        let mut guard = Guard::default();
        // At cost 4: "apple".
        let users = Users::fixed("alice:$2y$04$Im0z16.DTEB3DDCKewmGnuoTXtBavQMwSiNl3R4rR7ofB0rN/w5B6").unwrap();
        guard.protect("/open", users).unwrap();
        let open = guard.find(b"/open").unwrap();
        assert_eq!(guard.find(b"/opened"), None);
        // alice:apple, alice:pear
        let line = |value| FieldLines::of([("Authorization", value)]);
        let (right, wrong) = (line(&b"Basic YWxpY2U6YXBwbGU="[..]), line(b"Basic YWxpY2U6cGVhcg=="));

        let is_unauthorized = |access| matches!(access, Access::Refused(Refusal::Unauthorized(_)));
        assert!(is_unauthorized(guard.check(open, &Fields::default(), Asker::Origin, None, 0)));
        let Access::Ask(check) = guard.check(open, &wrong.fields(), Asker::Origin, None, 0) else { panic!("no check") };
        let Err(Refusal::Unauthorized(challenge)) = guard.settle(open, &check.run(), 0) else {
            panic!("it is allowed")
        };
        assert_eq!(challenge, b"Basic realm=\"/open/\", charset=\"UTF-8\"");
        let Access::Ask(check) = guard.check(open, &right.fields(), Asker::Origin, None, 0) else { panic!("no check") };
        assert!(guard.settle(open, &check.run(), 0).is_ok());
        assert!(matches!(guard.check(open, &right.fields(), Asker::Origin, None, 0), Access::Allowed));
    }
}

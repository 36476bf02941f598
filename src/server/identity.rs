//! The user that `--user NAME[:GROUP]` names.
//!
//! Names are looked up in /etc/passwd and /etc/group, and not by the C library: a static build
//! has no other source either, and the C library of a dynamic one may load modules and ask
//! servers, as root. Users that are kept elsewhere are given by their numbers.

use std::fs;

/// A user, and the groups that a process of it is in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Identity {
    /// As it is shown.
    pub(super) name: String,
    /// The number of the user; not 0.
    pub(super) user: u32,
    /// The number of the group.
    pub(super) group: u32,
    /// The numbers of the further groups.
    pub(super) groups: Vec<u32>,
}

impl Identity {
    /// The user that a value of `--user` means.
    ///
    /// # Errors
    /// A sentence.
    pub(super) fn find(wanted: &str) -> Result<Self, String> {
        let read = |path: &str| fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Self::among(wanted, &read("/etc/passwd").unwrap_or_default(), &read("/etc/group").unwrap_or_default())
    }

    /// The same, with the content of /etc/passwd and /etc/group.
    fn among(wanted: &str, passwd: &str, group: &str) -> Result<Self, String> {
        let (user, chosen) = match wanted.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (wanted, None),
        };
        // name:password:user:group:...
        let entry = entries(passwd).find(|entry| is_named(entry, user));
        let number = entry.as_ref().map_or_else(|| user.parse().ok(), |entry| entry.get(2)?.parse().ok());
        let number: u32 = number.ok_or_else(|| format!("--user: unknown user {user:?}"))?;
        if number == 0 || number == u32::MAX {
            return Err(format!("--user: {user} has the number {number}: give a user without privileges"));
        }
        let primary = entry.as_ref().and_then(|entry| entry.get(3)?.parse().ok());
        let name = entry.as_ref().map_or(user, |entry| entry[0]).to_owned();
        let (group, groups) = match chosen {
            Some(chosen) => {
                // name:password:group:members
                let entry = entries(group).find(|entry| is_named(entry, chosen));
                let number = entry.map_or_else(|| chosen.parse().ok(), |entry| entry.get(2)?.parse().ok());
                (number.ok_or_else(|| format!("--user: unknown group {chosen:?}"))?, Vec::new())
            }
            None => {
                let of_it = |entry: &Vec<&str>| entry.get(3).is_some_and(|all| all.split(',').any(|one| one == name));
                let groups = entries(group).filter(of_it).filter_map(|entry| entry[2].parse().ok()).collect();
                let why = || format!("--user: the user {user} isn't in /etc/passwd: give its group too, as USER:GROUP");
                (primary.ok_or_else(why)?, groups)
            }
        };
        if group == u32::MAX {
            return Err(format!("--user: there can be no group {group}"));
        }
        Ok(Self { name, user: number, group, groups })
    }
}

/// The entries of such a file, each in its fields.
fn entries(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().map(|line| line.split(':').collect::<Vec<_>>()).filter(|fields| fields.len() > 2)
}

/// Whether an entry has this name or, if no name is a number, this number.
fn is_named(entry: &[&str], wanted: &str) -> bool {
    !wanted.is_empty() && (entry[0] == wanted || entry[2] == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash
broken
www:x:33:34::/var/www:/usr/sbin/nologin
huge:x:4294967295:1::/:/bin/sh
odd:x:-1:1::/:/bin/sh
";
    const GROUP: &str = "root:x:0:
web:x:34:
certs:x:50:other,www
logs:x:51:www
bad:x:many:www
";

    #[test]
    fn a_user_is_found_by_name_and_by_number() {
        let www = |group, groups: &[u32]| Ok(Identity { name: "www".into(), user: 33, group, groups: groups.to_vec() });
        let find = |wanted| Identity::among(wanted, PASSWD, GROUP);
        assert_eq!(find("www"), www(34, &[50, 51]));
        assert_eq!(find("33"), www(34, &[50, 51]));
        assert_eq!(find("www:certs"), www(50, &[]));
        assert_eq!(find("33:7"), www(7, &[]));
        assert_eq!(find("1000:7"), Ok(Identity { name: "1000".into(), user: 1000, group: 7, groups: Vec::new() }));
    }

    #[test]
    fn a_user_that_cannot_be_is_an_error() {
        for (wanted, part) in [
            ("nobody", "unknown user \"nobody\""),
            ("", "unknown user"),
            (":web", "unknown user"),
            ("www:none", "unknown group \"none\""),
            ("www:", "unknown group"),
            ("1000", "give its group too"),
            ("root", "without privileges"),
            ("0:34", "without privileges"),
            ("huge", "without privileges"),
            ("odd", "unknown user"),
            ("-1:1", "unknown user"),
            ("www:4294967295", "no group"),
        ] {
            let error = Identity::among(wanted, PASSWD, GROUP).unwrap_err();

            assert!(error.contains(part), "{wanted}: {error}");
        }
    }
}

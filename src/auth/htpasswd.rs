//! Password files in the format of Apache's htpasswd: a line `name:hash` for each user;
//! lines that begin with `#` are comments. Further fields after another colon, like a full
//! name, are ignored, and so is a byte order mark at the beginning.
//!
//! bcrypt is the only hash that is accepted. The others that some servers accept (MD5,
//! SHA-1, crypt, plain text) are too fast to be safe if the file leaks.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use crate::limits;

/// What some editors write at the beginning of a file.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
/// Longest name in bytes.
pub const NAME: usize = 255;
/// Longest password in bytes: bcrypt ignores all further ones.
pub const PASSWORD: usize = 72;
/// The accepted costs: from bcrypt's least, for tests, to one at which a check takes about two
/// seconds.
pub const COSTS: std::ops::RangeInclusive<u32> = 4..=15;

/// Users by name, with the hashes of their passwords.
#[derive(Default)]
pub struct Table {
    hashes: Vec<String>,
    /// The index of each name's hash.
    names: HashMap<String, usize>,
}

/// An invalid line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InvalidLine {
    /// Its number, from 1.
    pub line: usize,
    /// The reason.
    pub why: &'static str,
}

/// The metadata and text of a file; none if it is larger than [`limits::PASSWORD_FILE`].
///
/// # Errors
/// If it can't be read, or isn't a regular file.
pub fn read(path: &Path) -> io::Result<Option<(fs::Metadata, Vec<u8>)>> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut text = Vec::new();
    file.take(limits::PASSWORD_FILE + 1).read_to_end(&mut text)?;
    Ok((text.len() as u64 <= limits::PASSWORD_FILE).then_some((metadata, text)))
}

/// Parses a file: its users, and the first invalid line, if there is one. Invalid lines are
/// ignored.
pub fn parse(text: &[u8]) -> (Table, Option<InvalidLine>) {
    let mut table = Table::default();
    let mut wrong = None;
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    for (at, line) in text.split(|&byte| byte == b'\n').enumerate() {
        if let Err(why) = table.add(line) {
            wrong = wrong.or(Some(InvalidLine { line: at + 1, why }));
        }
    }
    (table, wrong)
}

impl Table {
    /// How many users there are.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Whether there is no user.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    fn add(&mut self, line: &[u8]) -> Result<(), &'static str> {
        let line = std::str::from_utf8(line).map_err(|_| "it is not UTF-8")?.trim_end();
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        let (name, rest) = line.split_once(':').ok_or("there is no colon behind a name")?;
        check_name(name)?;
        let hash = rest.split(':').next().unwrap_or_default();
        let is_bcrypt = ["$2a$", "$2b$", "$2y$"].iter().any(|version| hash.starts_with(version));
        let parts = hash.parse::<bcrypt::HashParts>().ok().filter(|_| is_bcrypt);
        let parts = parts.ok_or("the hash isn't one of bcrypt ($2a$, $2b$ or $2y$); miod passwd makes these")?;
        if !COSTS.contains(&parts.get_cost()) {
            return Err("the cost isn't from 4 to 15");
        }
        if self.names.contains_key(name) {
            return Err("this user has a line already");
        }
        self.names.insert(name.to_owned(), self.hashes.len());
        self.hashes.push(hash.to_owned());
        Ok(())
    }

    /// Whether this is the user's password. It takes as long as bcrypt takes, so not on the loop.
    ///
    /// For an unknown name the hash of another user is checked, the one that `pick` selects. So
    /// an unknown name takes as long as a known one, even where costs differ. `pick` should be
    /// constant for a name, and secret.
    pub fn verify(&self, name: &str, password: &str, pick: u64) -> bool {
        if self.is_empty() {
            return false;
        }
        let user = self.names.get(name).copied();
        let hash = &self.hashes[user.unwrap_or((pick % self.hashes.len() as u64) as usize)];
        let same = bcrypt::verify(password, hash).unwrap_or(false);
        same && user.is_some() && password.len() <= PASSWORD
    }
}

/// Whether a name is valid: it must fit into a line, and RFC 7617 forbids colons and control
/// characters.
///
/// # Errors
/// The reason why it isn't.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() || name.len() > NAME {
        return Err("a name has 1 to 255 bytes");
    }
    if name.trim() != name {
        return Err("a name doesn't begin or end with a blank");
    }
    if name.starts_with('#') || name.contains(|c: char| c == ':' || c.is_control()) {
        return Err("a name contains no colon and no control characters, and doesn't begin with #");
    }
    Ok(())
}

/// Whether a password is valid.
///
/// # Errors
/// The reason why it isn't.
pub fn check_password(password: &str) -> Result<(), &'static str> {
    if password.is_empty() || password.len() > PASSWORD {
        return Err("a password has 1 to 72 bytes; bcrypt ignores more");
    }
    if password.contains(|c: char| c.is_control()) {
        return Err("a password contains no control characters; no browser could send them");
    }
    Ok(())
}

/// The hash of a password with this salt.
///
/// # Errors
/// If the cost isn't one of [`COSTS`].
pub fn hash(password: &str, cost: u32, salt: [u8; 16]) -> Result<String, &'static str> {
    let parts = Some(cost)
        .filter(|cost| COSTS.contains(cost))
        .and_then(|cost| bcrypt::hash_with_salt(password, cost, salt).ok());
    // Apache and nginx know this version too.
    parts.map(|parts| parts.format_for_version(bcrypt::Version::TwoY)).ok_or("the cost isn't from 4 to 15")
}

/// Sets the hash of a user in `text`, or removes the user if `hash` is none. Returns the new
/// text, and whether the user was there. All other lines, and further fields of the user's
/// line, stay as they are.
pub fn edit(text: &[u8], name: &str, hash: Option<&str>) -> (Vec<u8>, bool) {
    let mut edited = Vec::new();
    let mut found = false;
    let text = match text.strip_prefix(BYTE_ORDER_MARK) {
        Some(text) => {
            edited.extend_from_slice(BYTE_ORDER_MARK);
            text
        }
        None => text,
    };
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        let is_same = line.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.starts_with(b":"));
        match hash {
            _ if !is_same => edited.extend_from_slice(line),
            Some(hash) if !found => {
                let further = line.trim_ascii_end().splitn(3, |&byte| byte == b':').nth(2);
                push_line(&mut edited, name, hash, further);
            }
            _ => {}
        }
        found |= is_same;
    }
    if let Some(hash) = hash
        && !found
    {
        if edited.last().is_some_and(|&byte| byte != b'\n') {
            edited.push(b'\n');
        }
        push_line(&mut edited, name, hash, None);
    }
    (edited, found)
}

fn push_line(text: &mut Vec<u8>, name: &str, hash: &str, further: Option<&[u8]>) {
    text.extend_from_slice(format!("{name}:{hash}").as_bytes());
    if let Some(further) = further {
        text.push(b':');
        text.extend_from_slice(further);
    }
    text.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// By Apache's htpasswd at cost 4: "apple", and "p\u{e4}ss" for bob.
    const ALICE: &str = "$2y$04$ssBGioq2AKzwqg9PWXd7O.evWqHzjgJZUYhRrPMi/XGcctYa5P1Ta";
    const BOB: &str = "$2y$04$rUlw2PJd9Goh8/xKaQoONOToSV7mqeK8mjwo9.Oy5G9ghg0oTZou6";

    fn table(text: &str) -> Table {
        let (table, wrong) = parse(text.as_bytes());
        assert_eq!(wrong, None);
        table
    }

    #[test]
    fn passwords_are_verified() {
        let file = table(&format!("# users\n\nalice:{ALICE}\r\n  \nbob:{BOB}"));
        assert_eq!(file.len(), 2);
        for (name, password, expected) in [
            ("alice", "apple", true),
            ("bob", "p\u{e4}ss", true),
            ("alice", "Apple", false),
            ("alice", "", false),
            ("alice", "apple\0", false),
            ("alice", "p\u{e4}ss", false),
            ("Alice", "apple", false),
            ("", "apple", false),
            ("# users", "", false),
        ] {
            for pick in 0..2 {
                assert_eq!(file.verify(name, password, pick), expected, "{name} {password}");
            }
        }
        assert!(!Table::default().verify("alice", "apple", 0));
    }

    #[test]
    fn further_fields_and_a_byte_order_mark_are_ignored() {
        let file = table(&format!("\u{feff}alice:{ALICE}:Alice Liddell:alice@example.org\nbob:{BOB}:\n"));
        assert!(file.verify("alice", "apple", 0) && file.verify("bob", "p\u{e4}ss", 0));
    }

    #[test]
    fn all_versions_of_bcrypt_are_accepted() {
        for version in ["2a", "2b", "2y"] {
            let hash = ALICE.replacen("2y", version, 1);
            assert!(table(&format!("alice:{hash}\n")).verify("alice", "apple", 0), "{version}");
        }
    }

    #[test]
    fn a_password_too_long_for_bcrypt_is_wrong() {
        let whole = "x".repeat(72);
        let file = table(&format!("a:{}\n", hash(&whole, 4, [7; 16]).unwrap()));
        assert!(file.verify("a", &whole, 0));
        assert!(!file.verify("a", &(whole + "y"), 0));
    }

    #[test]
    fn an_invalid_line_is_reported_and_ignored() {
        let cost = |cost: &str| ALICE.replacen("$04$", &format!("${cost}$"), 1);
        for (line, hint) in [
            ("alice".to_owned(), "colon"),
            (format!(":{ALICE}"), "1 to 255"),
            (format!("{}:{ALICE}", "n".repeat(256)), "1 to 255"),
            (format!("a\tb:{ALICE}"), "control"),
            ("carol:$apr1$x$y".to_owned(), "miod passwd"),
            ("carol:{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=".to_owned(), "miod passwd"),
            ("carol:apple".to_owned(), "miod passwd"),
            ("carol:".to_owned(), "miod passwd"),
            (format!("carol:{}", ALICE.replacen("2y", "2x", 1)), "miod passwd"),
            (format!("carol:{ALICE}x"), "miod passwd"),
            (format!(" carol:{ALICE}"), "blank"),
            (format!("carol :{ALICE}"), "blank"),
            ("\u{feff}carol:$apr1$x$y".to_owned(), "miod passwd"),
            (format!("carol:{}", cost("03")), "from 4 to 15"),
            (format!("carol:{}", cost("31")), "from 4 to 15"),
            (format!("bob:{ALICE}"), "already"),
        ] {
            let (file, wrong) = parse(format!("bob:{BOB}\n{line}\ndave:{ALICE}\nx\n").as_bytes());
            let wrong = wrong.unwrap();
            assert!(wrong.line == 2 && wrong.why.contains(hint), "{line}: {wrong:?}");
            assert_eq!(file.len(), 2);
            assert!(file.verify("bob", "p\u{e4}ss", 0) && file.verify("dave", "apple", 0));
        }
        assert_eq!(parse(b"\xff").1.unwrap().why, "it is not UTF-8");
    }

    #[test]
    fn an_edit_changes_one_user_only() {
        for (text, name, hash, expected, found) in [
            ("", "a", Some("1"), "a:1\n", false),
            ("# c\nb:2", "a", Some("1"), "# c\nb:2\na:1\n", false),
            ("a:0\nb:2\n", "a", Some("1"), "a:1\nb:2\n", true),
            ("b:2\na:0\r\nodd line\na:9", "a", Some("1"), "b:2\na:1\nodd line\n", true),
            ("a:0\nb:2\n", "a", None, "b:2\n", true),
            ("\u{feff}a:0\n", "a", Some("1"), "\u{feff}a:1\n", true),
            ("a:0:A:m\r\nb:2", "a", Some("1"), "a:1:A:m\nb:2", true),
            ("aa:0\n#a:0\n a:0\n", "a", None, "aa:0\n#a:0\n a:0\n", false),
        ] {
            let (edited, was_there) = edit(text.as_bytes(), name, hash);
            assert_eq!((String::from_utf8(edited).unwrap().as_str(), was_there), (expected, found), "{text:?}");
        }
    }

    #[test]
    fn names_and_passwords_are_checked() {
        assert!(["a", "a b", "\u{e4}", "a#"].iter().all(|name| check_name(name).is_ok()));
        assert!(["", "a:b", "#a", "a\n", "a\u{85}", " a", "a "].iter().all(|name| check_name(name).is_err()));
        assert!(["a", ":", " "].iter().all(|password| check_password(password).is_ok()));
        assert!(["", "a\nb", "\0"].iter().all(|password| check_password(password).is_err()));
        assert!(check_password(&"x".repeat(72)).is_ok() && check_password(&"\u{e4}".repeat(37)).is_err());
        assert!(hash("a", 3, [0; 16]).is_err() && hash("a", 16, [0; 16]).is_err());
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in proptest::collection::vec(any::<u8>(), 0..200), hash in "\\$2[abxy]\\$[0-9]{2}\\$[./A-Za-z0-9]{50,56}") {
            let _ = parse(&text);
            let _ = parse(format!("a:{hash}").as_bytes());
        }
    }
}

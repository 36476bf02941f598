//! The keys that sign cookies, and the file that they are in.
//!
//! One key a line, in base64; the first signs, and all are tried when a signature
//! is checked. So a key is replaced by writing a new one above it, and the old line
//! is taken away when its last cookies are over. Lines that begin with `#` are left
//! out.
//!
//! A key file that isn't there is made, for its owner's eyes only.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::limits;

/// Bytes of a key and of a signature.
const LENGTH: usize = 32;
/// Bytes of a signed text's key and signature, in base64, and their two dots.
#[cfg(test)]
pub const SIGNATURE: usize = KEY_ID.div_ceil(3) * 4 + 43 + 2;
/// Bytes by which a key is named in what it signed.
const KEY_ID: usize = 3;
/// Most of a key file: the keys, and some words about each.
const FILE: u64 = 16 * 1024;

/// What signs, and what did.
#[derive(Clone)]
pub struct Keys(Vec<Key>);

#[derive(Clone)]
struct Key {
    /// How cookies name it.
    name: String,
    mac: Hmac<Sha256>,
}

/// No key is ever printed.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.0.len())
    }
}

/// Why there are no keys.
#[derive(Debug)]
pub enum Failure {
    /// The system refuses the file.
    Io(io::Error),
    /// There is something else in it: which line, from 1, or all of it.
    Malformed(Option<usize>),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Key {
    fn new(secret: &[u8]) -> Self {
        let mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
        let name = mac.clone().chain_update(b"key id").finalize().into_bytes();
        Self { name: BASE64_URL_SAFE_NO_PAD.encode(&name[..KEY_ID]), mac }
    }

    /// The signature of a text that is for one purpose and no other.
    fn mac(&self, purpose: &str, text: &str) -> Hmac<Sha256> {
        // The length keeps the two apart.
        let length = (purpose.len() as u64).to_be_bytes();
        self.mac.clone().chain_update(length).chain_update(purpose).chain_update(text)
    }
}

impl Keys {
    /// One key that nobody else has, for this run.
    pub fn random() -> Self {
        Self(vec![Key::new(&secret())])
    }

    /// The keys in a text.
    ///
    /// # Errors
    /// If there is none, too many, or a line that is no key of 32 bytes.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let mut keys = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match BASE64_STANDARD.decode(line) {
                Ok(secret) if secret.len() >= LENGTH => keys.push(Key::new(&secret)),
                _ => return Err(Failure::Malformed(Some(number + 1))),
            }
        }
        if keys.is_empty() || keys.len() > limits::KEYS {
            return Err(Failure::Malformed(None));
        }
        Ok(Self(keys))
    }

    /// The keys in a file, which is made if it isn't there, with the directories
    /// above it.
    ///
    /// # Errors
    /// If it can be neither read nor made, or holds something else.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        match File::open(path) {
            Ok(file) => Self::read(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make(path)?;
                // Somebody else's, if he was quicker.
                Self::read(File::open(path)?)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn read(file: File) -> Result<Self, Failure> {
        let mut text = String::new();
        let length = file.take(FILE + 1).read_to_string(&mut text).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => Failure::Malformed(None),
            _ => Failure::Io(error),
        })?;
        if length as u64 > FILE { Err(Failure::Malformed(None)) } else { Self::parse(&text) }
    }

    /// `text` with a signature that says that we wrote it for `purpose`. It is made
    /// of what may stand in a cookie and in a query, if the text is.
    pub fn sign(&self, purpose: &str, text: &str) -> String {
        let key = &self.0[0];
        let signature = BASE64_URL_SAFE_NO_PAD.encode(key.mac(purpose, text).finalize().into_bytes());
        format!("{}.{text}.{signature}", key.name)
    }

    /// The text that was signed for `purpose`; none if it wasn't, or isn't as it was.
    pub fn verify<'a>(&self, purpose: &str, signed: &'a str) -> Option<&'a str> {
        let (name, rest) = signed.split_once('.')?;
        let (text, signature) = rest.rsplit_once('.')?;
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?;
        // Two keys may have the same name, though hardly ever.
        let mut named = self.0.iter().filter(|key| key.name == name);
        // In constant time.
        named.any(|key| key.mac(purpose, text).verify_slice(&signature).is_ok()).then_some(text)
    }
}

/// Bytes that nobody can guess. Four UUIDs of version 4 have 488 random bits,
/// more than a key of 256 needs; they come from the system's generator.
fn secret() -> [u8; LENGTH] {
    let mut digest = Sha256::new();
    for _ in 0..4 {
        digest.update(uuid::Uuid::new_v4().as_bytes());
    }
    digest.finalize().into()
}

/// Makes a key file. Whole or not at all, and never in place of one that is there.
fn make(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let beside = directory.join(format!(".miod-key-{}", uuid::Uuid::new_v4().simple()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    let text = format!("# Signs cookies. A new key goes above the old ones.\n{}\n", BASE64_STANDARD.encode(secret()));
    let made = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    // A link, unlike a rename, replaces nothing.
    let linked = made.and_then(|()| fs::hard_link(&beside, path));
    let _ = fs::remove_file(&beside);
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Where the key file is if nobody says: in the user's directory for state (XDG Base
/// Directory Specification). None if the user has none.
pub fn default_path(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")))?;
    Some(state.join("miod/session.key"))
}

/// Whether others than its owner may read the file.
pub fn is_open_to_others(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

/// Whether `path` lies below the directory `root`, so that it could be served. What
/// of it isn't there yet is where its nearest parent is.
pub fn is_below(path: &Path, root: &Path) -> bool {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let Ok(root) = fs::canonicalize(root) else { return false };
    absolute.ancestors().find_map(|part| fs::canonicalize(part).ok()).is_some_and(|real| real.starts_with(root))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::scratch::Scratch;

    const ONE: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    const TWO: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

    fn keys(lines: &[&str]) -> Keys {
        Keys::parse(&lines.join("\n")).unwrap()
    }

    #[test]
    fn what_was_signed_is_verified_and_nothing_else() {
        let keys = Keys::random();
        let signed = keys.sign("a", "te.xt");
        assert_eq!(signed.len(), "te.xt".len() + SIGNATURE);
        assert_eq!(keys.verify("a", &signed), Some("te.xt"));
        assert_eq!(keys.verify("b", &signed), None, "for another purpose");
        assert_eq!(keys.verify("at", &keys.sign("a", "text")[..]), None);
        assert_eq!(Keys::random().verify("a", &signed), None, "by another key");
        // Any byte made another, taken away or added.
        for at in 0..signed.len() {
            let other = if &signed[at..=at] == "A" { "B" } else { "A" };
            for tampered in [
                format!("{}{other}{}", &signed[..at], &signed[at + 1..]),
                format!("{}{}", &signed[..at], &signed[at + 1..]),
                format!("{}{other}{}", &signed[..at], &signed[at..]),
                signed[..at].to_owned(),
            ] {
                assert!(tampered == signed || keys.verify("a", &tampered).is_none(), "{tampered}");
            }
        }
        assert_eq!(keys.verify("a", &format!("{signed}A")), None);
    }

    #[test]
    fn the_first_key_signs_and_all_are_tried() {
        let (old, both, new) = (keys(&[ONE]), keys(&["# the new one", TWO, "", ONE]), keys(&[TWO]));
        let by_old = old.sign("a", "text");
        assert_eq!(both.verify("a", &by_old), Some("text"));
        assert_eq!(new.verify("a", &by_old), None);
        let by_both = both.sign("a", "text");
        assert_eq!((new.verify("a", &by_both), old.verify("a", &by_both)), (Some("text"), None));
    }

    #[test]
    fn what_is_no_key_is_told_with_its_line() {
        let malformed = |text: &str| match Keys::parse(text) {
            Err(Failure::Malformed(line)) => line,
            other => panic!("{text:?}: {other:?}"),
        };
        assert_eq!(malformed(""), None);
        assert_eq!(malformed("# none\n"), None);
        assert_eq!(malformed(&format!("{ONE}\n").repeat(limits::KEYS + 1)), None);
        assert_eq!(malformed(&format!("{ONE}\nshort=")), Some(2));
        assert_eq!(malformed("AAAA"), Some(1));
        assert_eq!(format!("{:?}", keys(&[ONE])), "Keys(1)");
    }

    #[test]
    fn a_file_is_made_once_for_its_owner_alone() {
        let files = Scratch::new();
        let path = files.at("state/miod/session.key");
        let first = Keys::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!is_open_to_others(&path));
        let again = Keys::open(&path).unwrap();
        assert_eq!(again.verify("a", &first.sign("a", "b")), Some("b"));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(is_open_to_others(&path));
        // One that came in between isn't replaced.
        let text = fs::read(&path).unwrap();
        make(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), text);
    }

    #[test]
    fn what_cannot_be_a_file_of_keys_is_an_error() {
        let files = Scratch::new();
        files.file("plain", "x");
        assert!(matches!(Keys::open(&files.at("plain")), Err(Failure::Malformed(Some(1)))));
        assert!(matches!(Keys::open(&files.at("plain/key")), Err(Failure::Io(_))));
        fs::write(files.at("bytes"), b"\xff").unwrap();
        assert!(matches!(Keys::open(&files.at("bytes")), Err(Failure::Malformed(None))));
        files.file("large", &format!("{ONE}\n{}", "#".repeat(FILE as usize)));
        assert!(matches!(Keys::open(&files.at("large")), Err(Failure::Malformed(None))));
    }

    #[test]
    fn the_usual_place_is_the_users() {
        let place = |state: Option<&str>, home: Option<&str>| {
            default_path(|name| match name {
                "XDG_STATE_HOME" => state.map(OsString::from),
                _ => home.map(OsString::from),
            })
        };
        assert_eq!(place(Some("/s"), Some("/h")), Some(PathBuf::from("/s/miod/session.key")));
        assert_eq!(place(Some("s"), Some("/h")), Some(PathBuf::from("/h/.local/state/miod/session.key")));
        assert_eq!(place(None, Some("")), None);
        assert_eq!(place(None, None), None);
    }

    #[test]
    fn it_is_known_whether_a_path_could_be_served() {
        let files = Scratch::new();
        files.directory("site/a");
        files.directory("b");
        files.link("link", files.at("site/a"));
        let root = files.at("site");
        for (path, below) in [
            ("site/a/key", true),
            ("site/none/such/key", true),
            ("link/key", true),
            ("site/../site/key", true),
            ("b/key", false),
            ("sites/key", false),
        ] {
            assert_eq!(is_below(&files.at(path), &root), below, "{path}");
        }
    }
}

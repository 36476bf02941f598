//! The keys that sign cookies, and the file that holds them.
//!
//! The file has one key per line, in base64. The first key signs; a signature is checked
//! with all of them. To replace a key, write a new one above it, and delete the old line
//! when the last cookies that it signed have expired. Lines that begin with `#` are
//! comments.
//!
//! A missing key file is created, readable for its owner only.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use ring::hmac;

use crate::limits;

/// Length of a key and of a signature in bytes.
const LENGTH: usize = 32;
/// Bytes that signing adds to a text: the key's name and the signature in base64, and two dots.
#[cfg(test)]
pub const SIGNATURE: usize = KEY_ID.div_ceil(3) * 4 + 43 + 2;
/// Length of a key's name in bytes.
const KEY_ID: usize = 3;
/// Largest key file: the keys and some comments.
const FILE: u64 = 16 * 1024;

/// The key that signs, and the earlier ones.
#[derive(Clone)]
pub struct Keys(Vec<Key>);

#[derive(Clone)]
struct Key {
    /// The name of the key in the texts that it signed.
    name: String,
    key: hmac::Key,
}

/// Keys are never printed.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.0.len())
    }
}

/// Why the keys can't be read.
#[derive(Debug)]
pub enum KeyError {
    /// The system refuses the file.
    Io(io::Error),
    /// The file is no key file: the number of the wrong line, from 1, or none for the whole file.
    Malformed(Option<usize>),
}

impl From<io::Error> for KeyError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Key {
    fn new(secret: &[u8]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let name = hmac::sign(&key, b"key id");
        Self { name: BASE64_URL_SAFE_NO_PAD.encode(&name.as_ref()[..KEY_ID]), key }
    }
}

impl Keys {
    /// A random key for this process.
    pub fn random() -> Self {
        Self(vec![Key::new(&secret())])
    }

    /// Parses the text of a key file.
    ///
    /// # Errors
    /// If there is no key, if there are too many, or if a line is no key of 32 bytes.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let mut keys = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match BASE64_STANDARD.decode(line) {
                Ok(secret) if secret.len() >= LENGTH => keys.push(Key::new(&secret)),
                _ => return Err(KeyError::Malformed(Some(number + 1))),
            }
        }
        if keys.is_empty() || keys.len() > limits::KEYS {
            return Err(KeyError::Malformed(None));
        }
        Ok(Self(keys))
    }

    /// Reads the key file `path`. A missing file is created, with its directories.
    ///
    /// # Errors
    /// If it can be neither read nor created, or is no key file.
    pub fn open(path: &Path) -> Result<Self, KeyError> {
        match File::open(path) {
            Ok(file) => Self::read(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                create(path)?;
                // This may be the file of another process that was faster.
                Self::read(File::open(path)?)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn read(file: File) -> Result<Self, KeyError> {
        let mut text = String::new();
        let length = file.take(FILE + 1).read_to_string(&mut text).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => KeyError::Malformed(None),
            _ => KeyError::Io(error),
        })?;
        if length as u64 > FILE { Err(KeyError::Malformed(None)) } else { Self::parse(&text) }
    }

    /// Signs `text` for `purpose`. The result can stand in a cookie and in a query, if `text` can.
    pub fn sign(&self, purpose: &str, text: &str) -> String {
        let key = &self.0[0];
        let signature = BASE64_URL_SAFE_NO_PAD.encode(hmac::sign(&key.key, &message(purpose, text)));
        format!("{}.{text}.{signature}", key.name)
    }

    /// The text that was signed for `purpose`; none if the signature is wrong.
    pub fn verify<'a>(&self, purpose: &str, signed: &'a str) -> Option<&'a str> {
        let (name, rest) = signed.split_once('.')?;
        let (text, signature) = rest.rsplit_once('.')?;
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?;
        // Two keys can have the same name, though it is unlikely.
        let mut named = self.0.iter().filter(|key| key.name == name);
        // In constant time.
        named.any(|key| hmac::verify(&key.key, &message(purpose, text), &signature).is_ok()).then_some(text)
    }
}

/// What is signed: a text for one purpose.
fn message(purpose: &str, text: &str) -> Vec<u8> {
    // The length separates the purpose from the text.
    [&(purpose.len() as u64).to_be_bytes(), purpose.as_bytes(), text.as_bytes()].concat()
}

/// A secret that can't be guessed.
fn secret() -> [u8; LENGTH] {
    let mut secret = [0; LENGTH];
    getrandom::fill(&mut secret).expect("the system has random bytes; the identifiers of sessions need them too");
    secret
}

/// Creates a key file, completely or not at all. An existing file is never replaced.
fn create(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !directory.exists() {
        log::info!("the directory {} is created", directory.display());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let temporary = directory.join(format!(".miod-key-{}", uuid::Uuid::new_v4().simple()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let text = format!("# Signs cookies. A new key goes above the old ones.\n{}\n", BASE64_STANDARD.encode(secret()));
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    // Unlike a rename, a link replaces nothing.
    let linked = written.and_then(|()| fs::hard_link(&temporary, path));
    let _ = fs::remove_file(&temporary);
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// The default path of the key file: in the user's state directory (XDG Base Directory
/// Specification). None if the user has none.
pub fn default_path(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")))?;
    Some(state.join("miod/session.key"))
}

/// Whether other users than the owner may read the file.
pub fn is_open_to_others(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

/// Whether `path` lies below the directory `root`, so that it could be served. If `path` does
/// not exist yet, its nearest existing parent counts.
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
    fn only_what_was_signed_is_verified() {
        let keys = Keys::random();
        let signed = keys.sign("a", "te.xt");
        assert_eq!(signed.len(), "te.xt".len() + SIGNATURE);
        assert_eq!(keys.verify("a", &signed), Some("te.xt"));
        assert_eq!(keys.verify("b", &signed), None, "another purpose");
        assert_eq!(keys.verify("at", &keys.sign("a", "text")[..]), None);
        assert_eq!(Keys::random().verify("a", &signed), None, "another key");
        // Every byte changed, removed or added.
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
    fn a_malformed_key_is_reported_with_its_line() {
        let malformed = |text: &str| match Keys::parse(text) {
            Err(KeyError::Malformed(line)) => line,
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
    fn a_missing_key_file_is_created_once_for_its_owner_only() {
        let files = Scratch::new();
        let path = files.at("state/miod/session.key");
        let first = Keys::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!is_open_to_others(&path));
        let again = Keys::open(&path).unwrap();
        assert_eq!(again.verify("a", &first.sign("a", "b")), Some("b"));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "a temporary file is left");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(is_open_to_others(&path));
        // A file that another process created meanwhile isn't replaced.
        let text = fs::read(&path).unwrap();
        create(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), text);
    }

    #[test]
    fn an_unreadable_or_malformed_key_file_is_an_error() {
        let files = Scratch::new();
        files.file("plain", "x");
        assert!(matches!(Keys::open(&files.at("plain")), Err(KeyError::Malformed(Some(1)))));
        assert!(matches!(Keys::open(&files.at("plain/key")), Err(KeyError::Io(_))));
        fs::write(files.at("bytes"), b"\xff").unwrap();
        assert!(matches!(Keys::open(&files.at("bytes")), Err(KeyError::Malformed(None))));
        files.file("large", &format!("{ONE}\n{}", "#".repeat(FILE as usize)));
        assert!(matches!(Keys::open(&files.at("large")), Err(KeyError::Malformed(None))));
    }

    #[test]
    fn the_default_path_is_in_the_users_state_directory() {
        let path = |state: Option<&str>, home: Option<&str>| {
            default_path(|name| match name {
                "XDG_STATE_HOME" => state.map(OsString::from),
                _ => home.map(OsString::from),
            })
        };
        assert_eq!(path(Some("/s"), Some("/h")), Some(PathBuf::from("/s/miod/session.key")));
        assert_eq!(path(Some("s"), Some("/h")), Some(PathBuf::from("/h/.local/state/miod/session.key")));
        assert_eq!(path(None, Some("")), None);
        assert_eq!(path(None, None), None);
    }

    #[test]
    fn a_path_below_the_root_is_recognised() {
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

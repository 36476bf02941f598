//! Paths in values of the configuration file: relative ones are relative to its directory.
//!
//! Each function takes a value as it is written and the directory, and returns the value with
//! an absolute path, or with one relative to where the process runs.

use std::path::Path;

/// A value without a path.
pub(crate) fn none(text: &str, _directory: &Path) -> String {
    text.to_owned()
}

/// A path.
pub(crate) fn whole(text: &str, directory: &Path) -> String {
    if text.is_empty() { String::new() } else { directory.join(text).to_string_lossy().into_owned() }
}

/// `PREFIX=PATH`.
pub(crate) fn after_equals(text: &str, directory: &Path) -> String {
    match text.split_once('=') {
        Some((prefix, path)) => format!("{prefix}={}", whole(path, directory)),
        None => text.to_owned(),
    }
}

/// `auto`, or one or two paths with a comma.
pub(crate) fn pem_files(text: &str, directory: &Path) -> String {
    if text == "auto" {
        return text.to_owned();
    }
    text.split(',').map(|path| whole(path, directory)).collect::<Vec<_>>().join(",")
}

/// A path, or `-`.
pub(crate) fn or_dash(text: &str, directory: &Path) -> String {
    if text == "-" { text.to_owned() } else { whole(text, directory) }
}

/// Something else, or `file:PATH`.
pub(crate) fn session_store(text: &str, directory: &Path) -> String {
    after(text, "file:", directory)
}

/// `memory`, `off`, or a path.
pub(crate) fn cache_place(text: &str, directory: &Path) -> String {
    if ["memory", "off"].contains(&text) { text.to_owned() } else { whole(text, directory) }
}

/// An address, or `unix:PATH`.
pub(crate) fn endpoint(text: &str, directory: &Path) -> String {
    after(text, "unix:", directory)
}

fn after(text: &str, scheme: &str, directory: &Path) -> String {
    match text.strip_prefix(scheme) {
        Some(path) => format!("{scheme}{}", whole(path, directory)),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_are_relative_to_the_directory() {
        type Function = fn(&str, &Path) -> String;
        let cases: [(Function, &str, &str); 18] = [
            (cache_place, "memory", "memory"),
            (cache_place, "a", "/etc/a"),
            (none, "a", "a"),
            (whole, "a", "/etc/a"),
            (whole, "/a", "/a"),
            (whole, "", ""),
            (after_equals, "/p=a", "/p=/etc/a"),
            (after_equals, "/p=/a", "/p=/a"),
            (after_equals, "a", "a"),
            (pem_files, "auto", "auto"),
            (pem_files, "a,b", "/etc/a,/etc/b"),
            (pem_files, "/a,b", "/a,/etc/b"),
            (or_dash, "-", "-"),
            (or_dash, "a", "/etc/a"),
            (session_store, "cookie", "cookie"),
            (session_store, "file:a", "file:/etc/a"),
            (endpoint, "unix:a", "unix:/etc/a"),
            (endpoint, "[::1]:80", "[::1]:80"),
        ];
        for (function, text, expected) in cases {
            assert_eq!(function(text, Path::new("/etc")), expected, "{text}");
        }
        assert_eq!(whole("a", Path::new("")), "a");
    }
}

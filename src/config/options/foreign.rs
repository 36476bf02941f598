//! Options of other servers that miod doesn't have: a sentence about each, instead of the
//! name of an option that only looks like it.

/// Names, with or without hyphens as they are given, and the sentence.
const OPTIONS: &[(&[&str], &str)] = &[
    (&["ssl", "https", "cert", "key"], "the option is --tls CERT.pem,KEY.pem"),
    (&["gzip", "compression", "encode"], "responses are compressed already; --compress off turns that off"),
    (&["zstd"], "--compress gzip,zstd makes it, for clients that accept it"),
    (&["brotli", "gzip-static"], "files FILE.br, FILE.zst and FILE.gz are sent as they are, if they are there"),
    (&["reverse-proxy", "proxy-pass", "upstream"], "use --proxy PREFIX=URL"),
    (&["directory", "dir", "document-root"], "the option is --root DIR, or the argument DIR"),
    (&["host", "listen", "address", "addr", "l", "interface"], "give --bind ADDRESS and --port PORT"),
    (&["log", "logfile", "log-file", "access-logfile"], "the option is --access-log FILE"),
    (&["workers", "threads", "w", "t"], "miod has one thread; several processes share a port with --reuse-port"),
    (&["daemon", "d", "background"], "miod stays in the foreground; a service manager or the shell's & starts it"),
    (&["header", "add-header", "headers", "cors"], "routes of a configuration file have headers and cors"),
    (&["autoindex", "browse"], "the option is --listing"),
    (&["fallback", "try-files"], "the option is --spa FILE"),
    (&["htpasswd", "basic-auth"], "the option is --auth PREFIX=FILE"),
];

/// The sentence about an option of other servers; `name` is without its hyphens.
pub(crate) fn sentence(name: &str) -> Option<&'static str> {
    OPTIONS.iter().find(|(names, _)| names.contains(&name)).map(|(_, sentence)| *sentence)
}

#[cfg(test)]
mod tests {
    use super::super::server_options;
    use super::*;

    #[test]
    fn no_option_of_miod_is_foreign() {
        for option in server_options() {
            assert_eq!(sentence(option.long), None, "--{}", option.long);
            let short = option.short.map(String::from);
            assert!(short.is_none_or(|short| sentence(&short).is_none()), "-{:?}", option.short);
        }
        assert_eq!(sentence("autoindex"), Some("the option is --listing"));
    }
}

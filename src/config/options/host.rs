//! Options of a host.

use std::path::PathBuf;
use std::time::Duration;

use super::super::value_text::size;
use super::super::{Apps, Demonstration, Handler, ProxyRoute, ProxyUpstream, UpstreamUrl, values};
use super::{CONTENT, HTTP, Opt, SERVE, SERVER, ServerCommand, ServerDraft, Setter, Value, paths};
use crate::auth::guard::check_prefix;
use crate::files::ErrorPage;
use crate::files::glob::Glob;
use crate::files::resolve::Symlinks;
use crate::http::compressible::CompressibleTypes;
use crate::http::language::Languages;
use crate::http::media_type::MediaTypes;
use crate::http::rate::Rate;

const SERVING: Opt<ServerDraft> = Opt { group: "Serving", commands: SERVE, ..SERVER };
const APPLICATIONS: Opt<ServerDraft> = Opt { group: "Applications", commands: SERVE, ..SERVER };
const ACCESS: Opt<ServerDraft> = Opt { group: "Access", commands: SERVE, ..SERVER };

pub(super) static OPTIONS: &[Opt<ServerDraft>] = &[
    Opt {
        long: "redirect-https",
        group: "TLS",
        commands: SERVE,
        help: "redirect requests in plain text to HTTPS (308), but for /.well-known/acme-challenge/",
        set: assign!(Host.redirect_https = true),
        ..SERVER
    },
    Opt {
        long: "hsts",
        value: Value::Required("SECONDS"),
        group: "TLS",
        commands: SERVE,
        help: "tell browsers over HTTPS to use nothing else for so long (Strict-Transport-Security); 0: no longer",
        set: Setter::Host(|host, text| {
            host.hsts = Some(if text == "0" { Duration::ZERO } else { values::span(text)? });
            Ok(())
        }),
        ..SERVER
    },
    Opt {
        long: "root",
        value: Value::Required("DIR"),
        help: "serve the files of this directory, like the argument ROOT",
        relative: paths::whole,
        set: assign!(Host.root = Some(values::directory)),
        ..SERVING
    },
    Opt {
        long: "listing",
        help: "list directories that have no index file",
        set: assign!(Host.listing = true),
        ..SERVING
    },
    Opt {
        long: "symlinks",
        value: Value::Required("inside|none"),
        help: "follow symbolic links that stay below the root, or none",
        default: |_| "inside".to_owned(),
        set: Setter::Host(|host, text| {
            host.symlinks = match text {
                "inside" => Symlinks::Inside,
                "none" => Symlinks::None,
                _ => return Err("give inside or none".to_owned()),
            };
            Ok(())
        }),
        ..SERVING
    },
    Opt {
        long: "cache-control",
        value: Value::Required("VALUE"),
        help: "the Cache-Control of files; with a pattern and a colon before it, of some files, like '/assets/**: \
               max-age=31536000, immutable'",
        repeatable: true,
        separator: ';',
        default: |draft| draft.host.cache_control.clone(),
        set: Setter::Host(|host, text| {
            match text.split_once(": ") {
                Some((pattern, value)) => {
                    Glob::parse(pattern)?;
                    host.cache_rules.push((pattern.to_owned(), values::cache_control(value)?));
                }
                None => host.cache_control = values::cache_control(text)?,
            }
            Ok(())
        }),
        ..SERVING
    },
    Opt {
        long: "compress",
        value: Value::Required("gzip,zstd|off"),
        help: "the codings in which responses are compressed, for clients that accept them",
        default: |_| "gzip".to_owned(),
        set: assign!(Host.compress = values::codings),
        ..SERVING
    },
    Opt {
        long: "compress-types",
        value: Value::Required("TYPE,..."),
        repeatable: true,
        help: "the media types that are compressed, like text/* or application/x-own; default stands for the usual \
               ones (default: text, scripts, JSON, XML, fonts that aren't compressed already)",
        set: Setter::Host(|host, text| {
            let types = host.compress_types.get_or_insert_with(CompressibleTypes::none);
            values::names(text).iter().try_for_each(|name| types.add(name.trim()))
        }),
        ..SERVING
    },
    Opt {
        long: "compress-level",
        value: Value::Required("1..9"),
        help: "from 1, the fastest, to 9, the smallest result",
        default: |draft| draft.host.compress_level.to_string(),
        set: assign!(Host.compress_level = values::level),
        ..SERVING
    },
    Opt {
        long: "no-precompressed",
        help: "don't send FILE.br, FILE.zst or FILE.gz in place of FILE",
        set: assign!(Host.precompressed = false),
        ..SERVING
    },
    Opt {
        long: "etag-inode",
        help: "finer entity-tags, which differ from one machine to another",
        set: assign!(Host.etag_inode = true),
        ..SERVING
    },
    Opt {
        long: "media-type",
        value: Value::Required("EXT=TYPE"),
        help: "the media type of files with this extension",
        repeatable: true,
        set: Setter::Host(|host, text| {
            let (extension, media_type) = values::pair(text)?;
            MediaTypes::new().add(&extension, &media_type)?;
            host.media_types.push((extension, media_type));
            Ok(())
        }),
        ..SERVING
    },
    Opt {
        long: "spa",
        value: Value::Required("FILE"),
        help: "send this file below the root, with 200, for paths that aren't found",
        set: assign!(Host.spa = Some(values::file_below_root)),
        ..SERVING
    },
    Opt {
        long: "error-page",
        value: Value::Required("STATUS=FILE"),
        help: "send this file below the root with errors of this status, like 403=denied.html, or of a class, like \
               4xx=sorry.html (default: 404=404.html, 5xx=50x.html, if they are there)",
        repeatable: true,
        set: Setter::Host(|host, text| {
            let (statuses, file) = values::pair(text)?;
            host.error_pages.push(ErrorPage::new(&statuses, &values::file_below_root(&file)?)?);
            Ok(())
        }),
        ..SERVING
    },
    Opt {
        long: "index",
        value: Value::Required("NAME"),
        help: "the file that a directory shows; of several the first that is there (default: index.html)",
        repeatable: true,
        set: Setter::Host(|host, text| {
            if text.contains('/') || text.starts_with('.') || text.is_empty() {
                return Err("give the name of a file, like index.html".to_owned());
            }
            host.index.push(text.to_owned());
            Ok(())
        }),
        ..SERVING
    },
    Opt { long: "pretty-urls", help: "show about.html at /about", set: assign!(Host.pretty_urls = true), ..SERVING },
    Opt {
        long: "negotiate",
        help: "send guide.de.html for /guide or /guide.html, and photo.webp for /photo: of the files that differ in \
               language or type, the one that the client prefers",
        set: assign!(Host.negotiate = true),
        ..SERVING
    },
    Opt {
        long: "languages",
        value: Value::Required("TAG,..."),
        help: "the order of languages with --negotiate; the first is for clients that name none of those that are \
               there (default: by name)",
        set: assign!(Host.languages = Languages::parse),
        ..SERVING
    },
    Opt {
        long: "strict-negotiation",
        help: "with --negotiate, send a list (406) if the client accepts none of the files",
        set: assign!(Host.strict_negotiation = true),
        ..SERVING
    },
    Opt {
        long: "security-headers",
        help: "send X-Content-Type-Options, Content-Security-Policy: frame-ancestors, Referrer-Policy and \
               Permissions-Policy with all responses",
        set: assign!(Host.security_headers = true),
        ..SERVING
    },
    Opt {
        long: "no-server-header",
        commands: HTTP,
        help: "send no Server field",
        set: assign!(Host.server_field = false),
        ..SERVING
    },
    Opt {
        long: "body-limit",
        value: Value::Required("SIZE"),
        commands: CONTENT,
        group: "Limits",
        help: "largest body of a request",
        default: |draft| size(draft.host.body_limit),
        set: assign!(Host.body_limit = values::size),
        ..SERVER
    },
    Opt {
        long: "rate",
        value: Value::Required("N/s[:BURST]"),
        commands: HTTP,
        group: "Limits",
        help: "requests per second from one address, and how many at once (default: no limit); more get 429",
        set: assign!(Host.rate = Some(Rate::parse)),
        ..SERVER
    },
    Opt {
        long: "app",
        value: Value::Required("PREFIX=NAME"),
        help: "mount an application at this path",
        repeatable: true,
        set: Setter::Host(|host, text| {
            let (prefix, name) = values::pair(text)?;
            if !prefix.starts_with('/') {
                return Err("give a path that begins with a slash, like /lab=lab".to_owned());
            }
            host.route(&prefix).handler = Some(Handler::App(name));
            Ok(())
        }),
        ..APPLICATIONS
    },
    Opt {
        long: "proxy",
        value: Value::Required("PREFIX=URL[,URL]"),
        group: "Proxy",
        commands: SERVE,
        help: "have other servers answer below this path: http://HOST:PORT, https://HOST:PORT or unix:PATH; of several \
               the one with the fewest requests",
        repeatable: true,
        // A value itself may have a comma.
        separator: ';',
        set: Setter::Host(|host, text| {
            const HINT: &str = "give a path that begins with a slash, and a URL, like /api=http://127.0.0.1:3000";
            let (prefix, urls) = values::pair(text).map_err(|_| HINT)?;
            if !prefix.starts_with('/') {
                return Err(HINT.to_owned());
            }
            let upstream = |url: &str| UpstreamUrl::parse(url.trim()).map(ProxyUpstream::from);
            let upstreams = urls.split(',').map(upstream).collect::<Result<_, _>>()?;
            let proxy = ProxyRoute { upstreams, ..ProxyRoute::default() };
            host.route(&prefix).handler = Some(Handler::Proxy(proxy));
            Ok(())
        }),
        ..SERVER
    },
    Opt {
        long: "apps",
        value: Value::Optional("NAME,..."),
        help: "mount these, or all, at their usual paths (default: none; of the demonstration: all)",
        set: Setter::Host(|host, text| {
            let names = values::names(text);
            host.apps = if names.is_empty() { Apps::AllBut(names) } else { Apps::Only(names) };
            Ok(())
        }),
        ..APPLICATIONS
    },
    Opt {
        long: "no-apps",
        value: Value::Optional("NAME,..."),
        help: "mount all but these, or none",
        set: Setter::Host(|host, text| {
            let names = values::names(text);
            host.apps = if names.is_empty() { Apps::Only(names) } else { Apps::AllBut(names) };
            Ok(())
        }),
        ..APPLICATIONS
    },
    Opt {
        long: "demo",
        help: "the demonstration, for this machine only: all applications, and /private/ for alice with the \
               password apple (default: only for the ./public of this project)",
        set: Setter::Host(|host, _| {
            host.demonstration = Demonstration::On;
            Ok(())
        }),
        ..APPLICATIONS
    },
    Opt {
        long: "quiz",
        value: Value::Required("FILE"),
        help: "the questions of the quiz, as JSON (default: questions about HTTP and sockets)",
        relative: paths::whole,
        set: assign!(Host.quiz = Some(values::file)),
        ..APPLICATIONS
    },
    Opt {
        long: "auth",
        value: Value::Required("PREFIX=FILE"),
        help: "only the users of this password file (see miod passwd) may request paths below PREFIX",
        repeatable: true,
        relative: paths::after_equals,
        set: Setter::Host(|host, text| {
            let (prefix, file) = values::pair(text)?;
            check_prefix(&prefix)?;
            host.route(&prefix).auth = Some(PathBuf::from(file));
            Ok(())
        }),
        ..ACCESS
    },
    Opt {
        long: "users",
        value: Value::Required("FILE"),
        commands: &[ServerCommand::Serve, ServerCommand::Mailbox],
        help: "the password file of the users who can log in: at /login, or to send mail to a mailbox, and then they \
               must",
        relative: paths::whole,
        set: assign!(Host.users = Some(values::file)),
        ..ACCESS
    },
];

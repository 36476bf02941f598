//! The command line of `miod get`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::arguments::Tool;
use super::client_options::{ClientDraft, HasClientDraft, cacert, insecure, max_time, tls_keylog};
use super::{Command, UsageError};
use crate::client::get::{Content, GetPlan, GetRequest, Show};
use crate::config::options::{Draft, Opt, Setter, Value, assign};
use crate::config::values;
use crate::http::client::check_field;
use crate::http::grammar::is_token;
use crate::http::target::valid_host;
use crate::http::uri::HttpUrl;

/// The options, before the URL is known.
#[derive(Default)]
pub(super) struct GetDraft {
    show: Show,
    output: Option<PathBuf>,
    resume: bool,
    range: Option<String>,
    host: Option<String>,
    fields: Vec<(String, String)>,
    /// Default fields that aren't sent.
    without: Vec<String>,
    method: Option<String>,
    data: Option<String>,
    upload: Option<PathBuf>,
    repeat: Option<u32>,
    pipeline: Option<u32>,
    follow: bool,
    fail: bool,
    timeout: Option<Duration>,
    client: ClientDraft,
}

impl HasClientDraft for GetDraft {
    fn client(&mut self) -> &mut ClientDraft {
        &mut self.client
    }
}

pub(super) const TOOL: Tool<GetDraft> = Tool {
    usage: "miod get sends HTTP requests and prints the responses.

Usage: miod get [OPTIONS] URL
       miod get [OPTIONS] HOST PORT FILE

FILE may begin with a slash.
",
    options: &[
        Opt {
            long: "include",
            short: Some('i'),
            help: "print the head of the response too",
            set: assign!(Command.show.heads = true),
            ..Opt::DEFAULT
        },
        Opt {
            long: "head",
            short: Some('I'),
            help: "request the head only (HEAD), and print it",
            set: Setter::Command(|draft, _| {
                draft.show.heads = true;
                draft.method = Some("HEAD".to_owned());
                Ok(())
            }),
            ..Opt::DEFAULT
        },
        Opt {
            long: "user",
            short: Some('u'),
            value: Value::Required("NAME:PASS"),
            help: "authenticate with HTTP Basic; not sent to another host by -L",
            secret: true,
            set: Setter::Command(|draft, text| {
                if !text.contains(':') || text.contains(char::is_control) {
                    return Err("give a name and a password, like alice:apple".to_owned());
                }
                draft.fields.retain(|(name, _)| !name.eq_ignore_ascii_case("Authorization"));
                draft.fields.push(("Authorization".to_owned(), format!("Basic {}", STANDARD.encode(text))));
                Ok(())
            }),
            ..Opt::DEFAULT
        },
        Opt {
            long: "verbose",
            short: Some('v'),
            help: "show the heads of requests and responses, and the server's certificate, on standard error",
            set: assign!(Command.show.exchange = true),
            ..Opt::DEFAULT
        },
        Opt {
            long: "trace",
            help: "show the time of each step, on standard error: resolving the name, connecting, the TLS handshake, \
                   the first and the last byte of each response",
            set: assign!(Command.show.trace = true),
            ..Opt::DEFAULT
        },
        cacert(),
        insecure(),
        tls_keylog(),
        Opt {
            long: "output",
            short: Some('o'),
            value: Value::Required("FILE"),
            help: "write the response to a file; a terminal shows the progress",
            set: Setter::Command(|draft, text| {
                draft.output = Some(PathBuf::from(text));
                Ok(())
            }),
            ..Opt::DEFAULT
        },
        Opt {
            long: "continue-at",
            short: Some('C'),
            value: Value::Required("-"),
            help: "with -o: request only the part that the file lacks",
            set: Setter::Command(|draft, text| {
                draft.resume = true;
                if text == "-" { Ok(()) } else { Err("give -, which means the end of the file".to_owned()) }
            }),
            ..Opt::DEFAULT
        },
        Opt {
            long: "range",
            short: Some('r'),
            value: Value::Required("RANGE"),
            help: "request some bytes only, like 0-99 or -500 or 0-9,20-29",
            set: Setter::Command(|draft, text| {
                let fits = |byte: u8| byte.is_ascii_digit() || b"-, ".contains(&byte);
                if !text.contains('-') || !text.bytes().all(fits) {
                    return Err("give positions, like 0-99 or -500".to_owned());
                }
                draft.range = Some(text.to_owned());
                Ok(())
            }),
            ..Opt::DEFAULT
        },
        Opt {
            long: "header",
            short: Some('H'),
            value: Value::Required("FIELD"),
            help: "send this field, like 'Accept: text/html'; without a value: don't send the default one",
            repeatable: true,
            set: Setter::Command(set_field),
            ..Opt::DEFAULT
        },
        Opt {
            long: "request",
            short: Some('X'),
            value: Value::Required("METHOD"),
            help: "the method (default: GET, or POST with -d)",
            set: Setter::Command(|draft, text| {
                if !is_token(text.as_bytes()) || text == "CONNECT" {
                    return Err("give a method, like GET or HEAD".to_owned());
                }
                draft.method = Some(text.to_owned());
                Ok(())
            }),
            ..Opt::DEFAULT
        },
        Opt {
            long: "data",
            short: Some('d'),
            value: Value::Required("DATA"),
            help: "send this form field, like a=1; @FILE sends a file unchanged",
            set: Setter::Command(|draft, text| {
                match (text.strip_prefix('@'), &mut draft.data) {
                    (Some(file), None) if draft.upload.is_none() => draft.upload = Some(PathBuf::from(file)),
                    (None, data) if draft.upload.is_none() => match data {
                        Some(data) => *data += &format!("&{text}"),
                        None => *data = Some(text.to_owned()),
                    },
                    _ => return Err("a file can't be combined with other data".to_owned()),
                }
                Ok(())
            }),
            ..Opt::DEFAULT
        },
        Opt {
            long: "repeat",
            value: Value::Required("N"),
            help: "the number of requests, on one connection if the server keeps it open (default: 1)",
            set: assign!(Command.repeat = Some(values::count)),
            ..Opt::DEFAULT
        },
        Opt {
            long: "pipeline",
            value: Value::Required("N"),
            help: "the most pending requests at once; also the number of requests, without --repeat (default: 1)",
            set: assign!(Command.pipeline = Some(values::count)),
            ..Opt::DEFAULT
        },
        Opt {
            long: "location",
            short: Some('L'),
            help: "follow redirects, at most 20 in a row",
            set: assign!(Command.follow = true),
            ..Opt::DEFAULT
        },
        Opt {
            long: "fail",
            short: Some('f'),
            help: "print nothing for 4xx and 5xx and exit with 22",
            set: assign!(Command.fail = true),
            ..Opt::DEFAULT
        },
        Opt {
            long: "timeout",
            value: Value::Required("SECONDS"),
            help: "without progress (default: 20)",
            set: assign!(Command.timeout = Some(values::seconds)),
            ..Opt::DEFAULT
        },
        max_time(),
    ],
    tap: Opt::TAP_OF_CLIENT,
    defaults: Draft::default,
    more: "Exit codes, as curl's: 0; 1 other error; 2 usage error; 6 unknown host name; 7 connection
refused or unreachable; 8 malformed response; 18 truncated response; 22 error status (with -f); 23
the output can't be written; 26 the input can't be read; 28 timeout; 33 the download can't be
resumed; 35 TLS handshake failed; 47 too many redirects; 52 empty response; 56 connection lost; 60
certificate not trusted; 77 the file of --cacert can't be used.

Examples:
  miod get localhost 8080 index.html                 host, port and path
  miod get -i http://localhost:8080/lab/status/404   with the head of the response
  miod get --trace --repeat 3 http://localhost:8080/ three requests on one connection
  miod get --trace --pipeline 3 http://localhost:8080/
                                                     the same, pipelined
  miod get -o photo.jpg -C - http://localhost:8080/files/photo.jpg
                                                     the missing part of a download
  miod get -d a=1 -d b=2 http://localhost:8080/lab/echo
",
};

/// `Name: value`.
fn set_field(draft: &mut GetDraft, text: &str) -> Result<(), String> {
    let (name, value) = text.split_once(':').ok_or("give a field, like 'Accept: text/html'")?;
    let value = value.trim_matches([' ', '\t']);
    if name.eq_ignore_ascii_case("host") {
        if !valid_host(value.as_bytes()) {
            return Err("give a valid host".to_owned());
        }
        draft.host = Some(value.to_owned());
        return Ok(());
    }
    check_field(name, value).map_err(|fault| fault.to_string())?;
    if value.is_empty() {
        draft.without.push(name.to_owned());
    } else {
        draft.fields.push((name.to_owned(), value.to_owned()));
    }
    Ok(())
}

pub(super) fn parse(arguments: Vec<OsString>) -> Result<Command, UsageError> {
    TOOL.parse(arguments, |Draft { command: draft, process, .. }, positional| {
        let url = match &positional[..] {
            // As in curl and browsers.
            [place] if !has_scheme(place) => {
                HttpUrl::parse(&format!("http://{place}")).map_err(|error| UsageError(format!("{place}: {error}")))?
            }
            [url] => HttpUrl::parse(url).map_err(|error| UsageError(format!("{url}: {error}")))?,
            [host, port, file] => {
                let port = values::remote_port(port).map_err(UsageError)?;
                HttpUrl::of_file(host, port, file).map_err(|error| UsageError(format!("{host}: {error}")))?
            }
            _ => return Err(UsageError("give a URL, or HOST PORT FILE".to_owned())),
        };
        let mut request = request(draft, url)?;
        request.plan.tap = process.tap;
        Ok(Command::Get(request))
    })
}

/// Whether a URL begins with a scheme and `://`.
fn has_scheme(url: &str) -> bool {
    url.split_once("://").is_some_and(|(scheme, _)| scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

fn request(draft: GetDraft, url: HttpUrl) -> Result<GetRequest, UsageError> {
    let has_content = draft.data.is_some() || draft.upload.is_some();
    let method = draft.method.clone().unwrap_or_else(|| if has_content { "POST" } else { "GET" }.to_owned());
    let pipeline = draft.pipeline.unwrap_or(1);
    let repeat = draft.repeat.unwrap_or(pipeline);
    let contradictions = [
        (draft.follow && repeat > 1, "-L can't be combined with --repeat or --pipeline"),
        (draft.resume && draft.output.is_none(), "-C needs -o FILE"),
        (draft.resume && draft.range.is_some(), "-C can't be combined with -r"),
        (draft.resume && (repeat > 1 || draft.show.heads), "-C can't be combined with --repeat, --pipeline or -i"),
        (
            pipeline > 1 && !matches!(method.as_str(), "GET" | "HEAD" | "OPTIONS"),
            "only GET, HEAD and OPTIONS can be pipelined, because lost requests are sent again",
        ),
    ];
    if let Some((_, why)) = contradictions.iter().find(|(found, _)| *found) {
        return Err(UsageError((*why).to_owned()));
    }
    let mut plan = GetPlan { method, host: draft.host, repeat, pipeline, follow: draft.follow, ..GetPlan::new(url) };
    let content_type = match (&draft.data, &draft.upload) {
        (Some(_), _) => Some("application/x-www-form-urlencoded"),
        (_, Some(_)) => Some("application/octet-stream"),
        _ => None,
    };
    let agent = Some(concat!("miod/", env!("CARGO_PKG_VERSION")));
    for (name, value) in [("User-Agent", agent), ("Accept", Some("*/*")), ("Content-Type", content_type)] {
        let is = |other: &String| other.eq_ignore_ascii_case(name);
        let own = draft.fields.iter().any(|(other, _)| is(other)) || draft.without.iter().any(is);
        plan.fields.extend(value.filter(|_| !own).map(|value| (name.to_owned(), value.to_owned())));
    }
    plan.fields.extend(draft.fields);
    plan.fields.extend(draft.range.map(|range| ("Range".to_owned(), format!("bytes={range}"))));
    plan.content = draft.data.map(|data| Content::Bytes(data.into_bytes()));
    plan.show = draft.show;
    plan.fail = draft.fail;
    plan.timeout = draft.timeout.unwrap_or(plan.timeout);
    plan.max_time = draft.client.max_time;
    plan.trust = draft.client.trust;
    plan.key_log = draft.client.key_log;
    Ok(GetRequest { plan, upload: draft.upload, output: draft.output, resume: draft.resume })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<GetRequest, String> {
        match super::parse(arguments.iter().map(OsString::from).collect()) {
            Ok(Command::Get(request)) => Ok(request),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.0),
        }
    }

    fn field(request: &GetRequest, name: &str) -> Option<String> {
        let mut lines = request.plan.fields.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        let found = lines.next().map(|(_, value)| value.clone());
        assert!(lines.next().is_none(), "{name} comes twice");
        found
    }

    #[test]
    fn a_url_or_host_port_and_file() {
        for (arguments, expected) in [
            (&["http://a/b"][..], "http://a/b"),
            (&["a", "81", "b"], "http://a:81/b"),
            (&["a/b"], "http://a/b"),
            (&["a:81/b?c=http://d"], "http://a:81/b?c=http://d"),
            (&["[::1]:81"], "http://[::1]:81/"),
            (&["::1", "80", "/b c"], "http://[::1]/b%20c"),
        ] {
            assert_eq!(parse(arguments).unwrap().plan.url.to_string(), expected);
        }
        for (arguments, hint) in [
            (&["ftp://a/"][..], "begins with http"),
            (&["/b"], "host"),
            (&["a", "0", "b"], "port"),
            (&["a b", "80", "c"], "host"),
        ] {
            let error = parse(arguments).unwrap_err();
            assert!(error.contains(hint), "{error}");
        }
    }

    #[test]
    fn head_and_user_are_short_forms() {
        let request = parse(&["-I", "-u", "alice:p\u{e4}:ss", "http://a/"]).unwrap();
        assert_eq!((request.plan.method.as_str(), request.plan.show.heads), ("HEAD", true));
        assert_eq!(field(&request, "Authorization").as_deref(), Some("Basic YWxpY2U6cMOkOnNz"));
        let error = parse(&["-u", "s3cret", "http://a/"]).unwrap_err();
        assert!(error.contains("a name and a password") && !error.contains("s3cret"), "{error}");
    }

    #[test]
    fn every_option_sets_its_field() {
        let request = parse(&[
            "-ivLf",
            "--trace",
            "-o",
            "file",
            "-r",
            "0-9",
            "-H",
            "A: b",
            "-H",
            "host: c",
            "-H",
            "Accept:",
            "-X",
            "PUT",
            "-d",
            "a=1",
            "-d",
            "b=2",
            "--timeout",
            "3",
            "-m",
            "4",
            "--tls-keylog",
            "keys",
            "http://a/",
        ])
        .unwrap();
        let plan = &request.plan;
        assert_eq!(plan.show, Show { heads: true, exchange: true, trace: true });
        assert!(plan.follow && plan.fail && !request.resume && request.upload.is_none());
        assert_eq!((plan.method.as_str(), plan.host.as_deref()), ("PUT", Some("c")));
        assert_eq!(
            (field(&request, "range").as_deref(), field(&request, "a").as_deref()),
            (Some("bytes=0-9"), Some("b"))
        );
        assert_eq!(
            (field(&request, "accept"), field(&request, "content-type").unwrap().contains("form")),
            (None, true)
        );
        assert!(matches!(&plan.content, Some(Content::Bytes(data)) if data == b"a=1&b=2"));
        assert_eq!((plan.timeout, plan.max_time), (Duration::from_secs(3), Some(Duration::from_secs(4))));
        assert_eq!(plan.key_log, Some(PathBuf::from("keys")));
        assert_eq!(request.output, Some(PathBuf::from("file")));
    }

    #[test]
    fn defaults_are_replaced_by_options() {
        let request = parse(&["http://a/"]).unwrap();
        assert_eq!((request.plan.method.as_str(), request.plan.repeat, request.plan.pipeline), ("GET", 1, 1));
        assert!(field(&request, "user-agent").unwrap().starts_with("miod/"));
        assert_eq!(field(&parse(&["-H", "user-agent: me", "http://a/"]).unwrap(), "User-Agent").unwrap(), "me");
        let upload = parse(&["-d", "@f", "http://a/"]).unwrap();
        assert_eq!((upload.plan.method.as_str(), upload.upload.clone()), ("POST", Some(PathBuf::from("f"))));
        assert_eq!(field(&upload, "content-type").unwrap(), "application/octet-stream");
        let train = |arguments: &[&str]| parse(arguments).map(|request| (request.plan.repeat, request.plan.pipeline));
        assert_eq!(train(&["--pipeline", "3", "http://a/"]), Ok((3, 3)));
        assert_eq!(train(&["--pipeline", "3", "--repeat", "9", "http://a/"]), Ok((9, 3)));
    }

    #[test]
    fn contradictions_are_refused() {
        for arguments in [
            &["-L", "--repeat", "2"][..],
            &["-C", "-"],
            &["-C", "5", "-o", "f"],
            &["-C", "-", "-o", "f", "-r", "0-1"],
            &["-C", "-", "-o", "f", "--repeat", "2"],
            &["--pipeline", "2", "-d", "a"],
            &["-d", "@a", "-d", "b"],
            &["-d", "b", "-d", "@a"],
            &["-H", "no colon"],
            &["-H", "Content-Length: 5"],
            &["-H", "A: b\r\nC: d"],
            &["-H", "Host: a b"],
            &["-X", "A B"],
            &["-X", "CONNECT"],
            &["-r", "bytes=0-1"],
            &["-r", "5"],
        ] {
            let all: Vec<&str> = arguments.iter().copied().chain(["http://a/"]).collect();
            assert!(parse(&all).is_err(), "{arguments:?}");
        }
    }
}

//! The command line of `miod get`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::options::Value;
use super::tool::{Opt, Said, Tool};
use super::{Command, UsageError, values};
use crate::client::get::{Content, GetPlan, GetRequest, Show};
use crate::http::client::check_field;
use crate::http::grammar::is_token;
use crate::http::target::valid_host;
use crate::http::uri::HttpUrl;

/// What the options say, before it is known what is asked for.
#[derive(Default)]
pub(super) struct Draft {
    show: Show,
    output: Option<PathBuf>,
    resume: bool,
    range: Option<String>,
    host: Option<String>,
    fields: Vec<(String, String)>,
    /// Defaults that aren't to be sent.
    without: Vec<String>,
    method: Option<String>,
    data: Option<String>,
    upload: Option<PathBuf>,
    repeat: Option<u32>,
    pipeline: Option<u32>,
    follow: bool,
    fail: bool,
    timeout: Option<Duration>,
    max_time: Option<Duration>,
}

const TOOL: Tool<Draft> = Tool {
    name: "get",
    usage: "miod get asks an HTTP server for something, and prints the answer.

Usage: miod get [OPTIONS] URL
       miod get [OPTIONS] HOST PORT FILE

FILE may begin with a slash or not.
",
    options: &[
        Opt {
            long: "include",
            short: Some('i'),
            value: Value::None,
            help: "print the head of the answer too",
            apply: |draft, _| {
                draft.show.heads = true;
                Ok(())
            },
        },
        Opt {
            long: "verbose",
            short: Some('v'),
            value: Value::None,
            help: "show the request and the head of each answer, on standard error",
            apply: |draft, _| {
                draft.show.exchange = true;
                Ok(())
            },
        },
        Opt {
            long: "trace",
            short: None,
            value: Value::None,
            help: "show what took how long, on standard error: the look-up of the name, the connection, the \
                   first and the last octet of each answer",
            apply: |draft, _| {
                draft.show.trace = true;
                Ok(())
            },
        },
        Opt {
            long: "output",
            short: Some('o'),
            value: Value::Required("FILE"),
            help: "write the answer to a file; a terminal shows the progress",
            apply: |draft, text| {
                draft.output = Some(PathBuf::from(text));
                Ok(())
            },
        },
        Opt {
            long: "continue-at",
            short: Some('C'),
            value: Value::Required("-"),
            help: "with -o: ask only for what the file lacks",
            apply: |draft, text| {
                draft.resume = true;
                if text == "-" { Ok(()) } else { Err("give -, which means where the file ends".to_owned()) }
            },
        },
        Opt {
            long: "range",
            short: Some('r'),
            value: Value::Required("RANGE"),
            help: "ask for some octets only, like 0-99 or -500 or 0-9,20-29",
            apply: |draft, text| {
                let fits = |octet: u8| octet.is_ascii_digit() || b"-, ".contains(&octet);
                if !text.contains('-') || !text.bytes().all(fits) {
                    return Err("give positions, like 0-99 or -500".to_owned());
                }
                draft.range = Some(text.to_owned());
                Ok(())
            },
        },
        Opt {
            long: "header",
            short: Some('H'),
            value: Value::Required("FIELD"),
            help: "send this field, like 'Accept: text/html'; without a value: don't send the usual one; repeatable",
            apply: field,
        },
        Opt {
            long: "request",
            short: Some('X'),
            value: Value::Required("METHOD"),
            help: "ask with this method (default: GET, or POST with -d)",
            apply: |draft, text| {
                if !is_token(text.as_bytes()) || text == "CONNECT" {
                    return Err("give a method, like GET or HEAD".to_owned());
                }
                draft.method = Some(text.to_owned());
                Ok(())
            },
        },
        Opt {
            long: "data",
            short: Some('d'),
            value: Value::Required("DATA"),
            help: "send this as the fields of a form, like a=1; repeatable. @FILE sends a file as it is",
            apply: |draft, text| {
                match (text.strip_prefix('@'), &mut draft.data) {
                    (Some(file), None) if draft.upload.is_none() => draft.upload = Some(PathBuf::from(file)),
                    (None, data) if draft.upload.is_none() => match data {
                        Some(data) => *data += &format!("&{text}"),
                        None => *data = Some(text.to_owned()),
                    },
                    _ => return Err("a file goes alone".to_owned()),
                }
                Ok(())
            },
        },
        Opt {
            long: "repeat",
            short: None,
            value: Value::Required("N"),
            help: "ask so many times, on one connection if the server lets it persist",
            apply: |draft, text| {
                draft.repeat = Some(values::count(text)?);
                Ok(())
            },
        },
        Opt {
            long: "pipeline",
            short: None,
            value: Value::Required("N"),
            help: "have so many requests on their way at once; as many, if --repeat doesn't say more",
            apply: |draft, text| {
                draft.pipeline = Some(values::count(text)?);
                Ok(())
            },
        },
        Opt {
            long: "location",
            short: Some('L'),
            value: Value::None,
            help: "follow redirects, at most 20 in a row",
            apply: |draft, _| {
                draft.follow = true;
                Ok(())
            },
        },
        Opt {
            long: "fail",
            short: Some('f'),
            value: Value::None,
            help: "4xx and 5xx print nothing and exit with 22",
            apply: |draft, _| {
                draft.fail = true;
                Ok(())
            },
        },
        Opt {
            long: "timeout",
            short: None,
            value: Value::Required("SECONDS"),
            help: "without anything moving (default: 20)",
            apply: |draft, text| {
                draft.timeout = Some(values::seconds(text)?);
                Ok(())
            },
        },
        Opt {
            long: "max-time",
            short: Some('m'),
            value: Value::Required("SECONDS"),
            help: "for everything together (default: no bound)",
            apply: |draft, text| {
                draft.max_time = Some(values::seconds(text)?);
                Ok(())
            },
        },
    ],
    more: "Exit codes, which are curl's where it has one: 0; 1 it failed otherwise; 2 the command line is
wrong; 6 the name is unknown; 7 nobody can be connected to; 8 the answer is malformed; 18 it was
cut off; 22 it is an error (with -f); 23 the output can't be written; 26 the input can't be read;
28 timed out; 33 the download can't be resumed; 47 too many redirects; 52 no answer at all; 56
the connection broke.

Examples:
  miod get localhost 8080 index.html                 as a textbook writes it
  miod get -i http://localhost:8080/lab/status/404   with the head of the answer
  miod get --trace --repeat 3 http://localhost:8080/ three requests on one connection
  miod get --trace --pipeline 3 http://localhost:8080/
                                                     the same at once
  miod get -o photo.jpg -C - http://localhost:8080/files/photo.jpg
                                                     what is missing of a download
  miod get -d a=1 -d b=2 http://localhost:8080/lab/echo
",
};

/// `Name: value`.
fn field(draft: &mut Draft, text: &str) -> Result<(), String> {
    let (name, value) = text.split_once(':').ok_or("give a field, like 'Accept: text/html'")?;
    let value = value.trim_matches([' ', '\t']);
    if name.eq_ignore_ascii_case("host") {
        if !valid_host(value.as_bytes()) {
            return Err("the host is malformed".to_owned());
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

pub(super) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, UsageError> {
    let (draft, places) = match TOOL.parse(arguments)? {
        Said::Do(draft, places) => (draft, places),
        Said::Help(text) => return Ok(Command::Help(text)),
        Said::Version => return Ok(Command::Version),
    };
    let url = match &places[..] {
        [url] => HttpUrl::parse(url).map_err(|error| UsageError(format!("{url}: {error}")))?,
        [host, port, file] => {
            let port = values::remote_port(port).map_err(UsageError)?;
            HttpUrl::of_file(host, port, file).map_err(|error| UsageError(format!("{host}: {error}")))?
        }
        _ => return Err(UsageError("give a URL, or HOST PORT FILE".to_owned())),
    };
    wish(draft, url).map(Command::Get)
}

fn wish(draft: Draft, url: HttpUrl) -> Result<GetRequest, UsageError> {
    let has_content = draft.data.is_some() || draft.upload.is_some();
    let method = draft.method.clone().unwrap_or_else(|| if has_content { "POST" } else { "GET" }.to_owned());
    let pipeline = draft.pipeline.unwrap_or(1);
    let repeat = draft.repeat.unwrap_or(pipeline);
    let contradictions = [
        (draft.follow && repeat > 1, "-L follows one request; it doesn't go with --repeat and --pipeline"),
        (draft.resume && draft.output.is_none(), "-C needs the file that it is about: -o FILE"),
        (draft.resume && draft.range.is_some(), "-C says what is asked for; it doesn't go with -r"),
        (draft.resume && (repeat > 1 || draft.show.heads), "-C appends the rest of a file, and nothing else"),
        (
            pipeline > 1 && !matches!(method.as_str(), "GET" | "HEAD" | "OPTIONS"),
            "only GET, HEAD and OPTIONS are pipelined: what is lost is sent again",
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
    plan.max_time = draft.max_time;
    Ok(GetRequest { plan, upload: draft.upload, output: draft.output, resume: draft.resume })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<GetRequest, String> {
        match super::parse(arguments.iter().map(OsString::from)) {
            Ok(Command::Get(wish)) => Ok(wish),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.0),
        }
    }

    fn field(wish: &GetRequest, name: &str) -> Option<String> {
        let mut lines = wish.plan.fields.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        let found = lines.next().map(|(_, value)| value.clone());
        assert!(lines.next().is_none(), "{name} comes twice");
        found
    }

    #[test]
    fn places() {
        for (arguments, expected) in [
            (&["http://a/b"][..], "http://a/b"),
            (&["a", "81", "b"], "http://a:81/b"),
            (&["::1", "80", "/b c"], "http://[::1]/b%20c"),
        ] {
            assert_eq!(parse(arguments).unwrap().plan.url.to_string(), expected);
        }
        for (arguments, hint) in [
            (&["https://a/"][..], "https isn't spoken here"),
            (&["a/b"], "begins with http://"),
            (&["a", "0", "b"], "port"),
            (&["a b", "80", "c"], "host"),
        ] {
            let error = parse(arguments).unwrap_err();
            assert!(error.contains(hint), "{error}");
        }
    }

    #[test]
    fn every_option_arrives() {
        let wish = parse(&[
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
            "http://a/",
        ])
        .unwrap();
        let plan = &wish.plan;
        assert_eq!(plan.show, Show { heads: true, exchange: true, trace: true });
        assert!(plan.follow && plan.fail && !wish.resume && wish.upload.is_none());
        assert_eq!((plan.method.as_str(), plan.host.as_deref()), ("PUT", Some("c")));
        assert_eq!((field(&wish, "range").as_deref(), field(&wish, "a").as_deref()), (Some("bytes=0-9"), Some("b")));
        assert_eq!((field(&wish, "accept"), field(&wish, "content-type").unwrap().contains("form")), (None, true));
        assert!(matches!(&plan.content, Some(Content::Bytes(data)) if data == b"a=1&b=2"));
        assert_eq!((plan.timeout, plan.max_time), (Duration::from_secs(3), Some(Duration::from_secs(4))));
        assert_eq!(wish.output, Some(PathBuf::from("file")));
    }

    #[test]
    fn what_is_usual_unless_said_otherwise() {
        let wish = parse(&["http://a/"]).unwrap();
        assert_eq!((wish.plan.method.as_str(), wish.plan.repeat, wish.plan.pipeline), ("GET", 1, 1));
        assert!(field(&wish, "user-agent").unwrap().starts_with("miod/"));
        assert_eq!(field(&parse(&["-H", "user-agent: me", "http://a/"]).unwrap(), "User-Agent").unwrap(), "me");
        let upload = parse(&["-d", "@f", "http://a/"]).unwrap();
        assert_eq!((upload.plan.method.as_str(), upload.upload.clone()), ("POST", Some(PathBuf::from("f"))));
        assert_eq!(field(&upload, "content-type").unwrap(), "application/octet-stream");
        let train = |arguments: &[&str]| parse(arguments).map(|wish| (wish.plan.repeat, wish.plan.pipeline));
        assert_eq!(train(&["--pipeline", "3", "http://a/"]), Ok((3, 3)));
        assert_eq!(train(&["--pipeline", "3", "--repeat", "9", "http://a/"]), Ok((9, 3)));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
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

//! Shows a request as the server parsed it.
//!
//! The facts are collected once, and written as text, HTML or JSON.

use std::fmt::Write;
use std::net::SocketAddr;

use super::format::Format;
use crate::app::{Answer, App, Call, Methods, Request, Response};
use crate::http::Status;
use crate::http::framing::Framing;
use crate::text::{html, json};

pub(crate) struct Inspect;

impl App for Inspect {
    fn methods(&self, _path: &[u8]) -> Methods {
        Methods::Any
    }

    fn handle(&mut self, request: &Request<'_>, call: &mut Call<'_>) -> Answer {
        let (facts, fields) = (facts(request, call), fields(request));
        let response = Response::new(Status::OK).field("Vary", "Accept").no_store();
        Answer::now(match Format::of(&request.head.fields) {
            Format::Text => response.text(as_text(&facts, &fields)).field("X-Content-Type-Options", "nosniff"),
            Format::Html => response.html(as_html(&facts, &fields)),
            Format::Json => response.json(as_json(&facts, &fields)),
        })
    }
}

/// The value of a fact.
enum Value {
    Text(String),
    Number(u64),
    Flag(bool),
    Absent,
}

type Fact = (&'static str, Value);

/// Name and value of a field line. A value is any bytes but ASCII control characters.
type Field = (String, String);

fn facts(request: &Request<'_>, call: &Call<'_>) -> Vec<Fact> {
    let head = request.head;
    let text = |bytes: &[u8]| Value::Text(printable(bytes));
    let maybe = |bytes: Option<&[u8]>| bytes.map_or(Value::Absent, text);
    let address = |address: Option<SocketAddr>| address.map_or(Value::Absent, |a| Value::Text(a.to_string()));
    let framing = match head.framing {
        Framing::None => "no body".to_owned(),
        Framing::Length(length) => format!("length {length}"),
        Framing::Chunked => "chunked".to_owned(),
    };
    vec![
        ("method", text(head.method_name.as_bytes())),
        ("target", text(head.raw_target)),
        ("version", Value::Text(format!("HTTP/1.{}", head.minor))),
        ("form", Value::Text(format!("{:?}", head.target.form).to_lowercase())),
        ("authority", maybe(head.target.authority)),
        ("path", text(head.target.path)),
        ("query", maybe(head.target.query)),
        ("mount", text(request.mount.as_bytes())),
        ("path behind it", text(request.path)),
        ("framing", Value::Text(framing)),
        ("body length", Value::Number(request.body.len() as u64)),
        ("persistent", Value::Flag(head.persistent)),
        ("connection", Value::Number(call.connection.number().into())),
        ("request", Value::Number(call.request_number.into())),
        ("peer", address(call.ends.peer())),
        ("local", address(call.ends.local())),
    ]
}

fn fields(request: &Request<'_>) -> Vec<Field> {
    request.head.fields.iter().map(|(name, value)| (printable(name), printable(value))).collect()
}

/// Text without control characters, so that a request can't control a terminal. C1 controls
/// are valid UTF-8.
fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(char::is_control, "\u{fffd}")
}

impl Value {
    fn shown(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
            Self::Flag(flag) => if *flag { "yes" } else { "no" }.to_owned(),
            Self::Absent => "none".to_owned(),
        }
    }

    fn json(&self) -> String {
        match self {
            Self::Text(text) => json::string(text).to_string(),
            Self::Number(number) => number.to_string(),
            Self::Flag(flag) => flag.to_string(),
            Self::Absent => "null".to_owned(),
        }
    }
}

fn as_text(facts: &[Fact], fields: &[Field]) -> String {
    let mut out = String::new();
    for (name, value) in facts {
        let _ = writeln!(out, "{name}: {}", value.shown());
    }
    out.push('\n');
    for (name, value) in fields {
        let _ = writeln!(out, "{name}: {value}");
    }
    out
}

fn as_html(facts: &[Fact], fields: &[Field]) -> String {
    fn table<'a>(rows: impl Iterator<Item = (&'a str, String)>) -> String {
        let rows = rows.map(|(name, value)| {
            format!("<tr><th scope=\"row\">{}</th><td>{}</td></tr>\n", html::escape(name), html::escape(&value))
        });
        format!("<table>\n{}</table>\n", rows.collect::<String>())
    }
    let facts = table(facts.iter().map(|(name, value)| (*name, value.shown())));
    let fields = table(fields.iter().map(|(name, value)| (name.as_str(), value.clone())));
    html::page("Your request", &format!("<h1>Your request</h1>\n{facts}<h2>Field lines</h2>\n{fields}"))
}

fn as_json(facts: &[Fact], fields: &[Field]) -> String {
    let facts = facts.iter().map(|(name, value)| format!("\"{}\":{},\n", name.replace(' ', "_"), value.json()));
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| format!("\n{{\"name\":{},\"value\":{}}}", json::string(name), json::string(value)))
        .collect();
    format!("{{{}\"fields\":[{}]}}\n", facts.collect::<String>(), fields.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::testing::{ask, ask_with, field, text};

    #[test]
    fn text_has_all_facts() {
        let head =
            "PUT http://a.example/lab/x/y?q=<b> HTTP/1.1\r\nContent-Length: 3\r\nConnection: close\r\nX: \u{9b}\u{e4}<";
        let response = ask_with(&mut Inspect, "/lab/x", head, b"abc");
        assert_eq!(response.status, Status::OK);
        assert_eq!(field(&response, "Content-Type"), Some("text/plain; charset=utf-8"));
        assert_eq!(field(&response, "Cache-Control"), Some("no-store"));
        assert_eq!(
            text(&response),
            "method: PUT\ntarget: http://a.example/lab/x/y?q=<b>\nversion: HTTP/1.1\nform: absolute\n\
             authority: a.example\npath: /lab/x/y\nquery: q=<b>\nmount: /lab/x\npath behind it: /y\n\
             framing: length 3\nbody length: 3\npersistent: no\nconnection: 12\nrequest: 3\n\
             peer: 192.0.2.7:4711\nlocal: 192.0.2.1:80\n\n\
             Content-Length: 3\nConnection: close\nX: \u{fffd}\u{e4}<\nHost: example.org\n"
        );
        let chunked = ask_with(&mut Inspect, "/", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked", b"");
        assert!(text(&chunked).contains("framing: chunked\n") && text(&chunked).contains("query: none\n"));
    }

    #[test]
    fn a_browser_gets_a_page_with_everything_escaped() {
        let response = ask(&mut Inspect, "/lab/x?<script>", &["Accept: text/html", "X: \"<i>&"]);
        assert_eq!(field(&response, "Content-Type"), Some("text/html; charset=utf-8"));
        assert_eq!(field(&response, "Vary"), Some("Accept"));
        let page = text(&response);
        assert!(page.contains("<td>&lt;script&gt;</td>") && page.contains("<td>&quot;&lt;i&gt;&amp;</td>"), "{page}");
        assert!(!page.contains("<script>") && !page.contains("<i>"));
    }

    #[test]
    fn a_program_gets_json() {
        let response = ask(&mut Inspect, "/lab/x", &["Accept: application/json", "X: a\"\\"]);
        assert_eq!(field(&response, "Content-Type"), Some("application/json"));
        let json = text(&response);
        for part in [
            "{\"method\":\"GET\",\n",
            "\"query\":null,\n",
            "\"path_behind_it\":\"\",\n",
            "\"body_length\":0,\n",
            "\"persistent\":true,\n",
            "\"connection\":12,\n",
            "{\"name\":\"X\",\"value\":\"a\\\"\\\\\"},\n",
            "{\"name\":\"Host\",\"value\":\"example.org\"}]}\n",
        ] {
            assert!(json.contains(part), "{part} in {json}");
        }
    }
}

//! Shows a request as the server parsed it.
//!
//! The facts are collected once, and written as text, HTML or JSON.

use std::fmt::Write;

use askama::Template;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::facts::{self, Fact, Field, Value};
use super::format::Format;
use crate::app::page::{self, Foot};
use crate::app::{Answer, App, Call, Methods, Request, Response};
use crate::http::Status;
use crate::http::framing::Framing;

pub(crate) struct Inspect;

impl App for Inspect {
    fn methods(&self, _path: &[u8]) -> Methods {
        Methods::Any
    }

    fn handle(&mut self, request: &Request<'_>, call: &mut Call<'_>) -> Answer {
        let inspected = Inspected { facts: facts(request, call), fields: Field::all(request), foot: Foot::of(call) };
        // Cookies and passwords are among the fields, beside a target that anybody can choose.
        let response = Response::new(Status::OK).field("Vary", "Accept").no_store().with_secrets();
        Answer::now(match Format::of(&request.head.fields) {
            Format::Text => response.text(inspected.text()),
            Format::Html => page::page(response, &inspected),
            Format::Json => response.json(&inspected),
        })
    }
}

/// All that the server knows about a request.
#[derive(Template)]
#[template(path = "inspect.html", config = "src/askama.toml")]
struct Inspected {
    facts: Vec<Fact>,
    fields: Vec<Field>,
    foot: Foot,
}

fn facts(request: &Request<'_>, call: &Call<'_>) -> Vec<Fact> {
    let head = request.head;
    let text = Value::bytes;
    let maybe = |bytes: Option<&[u8]>| bytes.map_or(Value::Absent, text);
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
        ("peer", Value::address(call.ends.peer())),
        ("local", Value::address(call.ends.local())),
    ]
}

impl Inspected {
    fn text(&self) -> String {
        let mut out = facts::lines(&self.facts);
        out.push('\n');
        for Field { name, value } in &self.fields {
            let _ = writeln!(out, "{name}: {value}");
        }
        out
    }
}

/// An object with a key for each fact, and the key `fields`.
impl Serialize for Inspected {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.facts.len() + 1))?;
        facts::entries(&self.facts, &mut map)?;
        map.serialize_entry("fields", &self.fields)?;
        map.end()
    }
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
        assert!(
            page.contains("<td>&#60;script&#62;</td>") && page.contains("<td>&#34;&#60;i&#62;&#38;</td>"),
            "{page}"
        );
        assert!(!page.contains("<script>") && !page.contains("<i>"));
    }

    #[test]
    fn a_program_gets_json() {
        let response = ask(&mut Inspect, "/lab/x", &["Accept: application/json", "X: a\"\\"]);
        assert_eq!(field(&response, "Content-Type"), Some("application/json"));
        let json = text(&response);
        for part in [
            "{\"method\":\"GET\",",
            "\"query\":null,",
            "\"path_behind_it\":\"\",",
            "\"body_length\":0,",
            "\"persistent\":true,",
            "\"connection\":12,",
            "{\"name\":\"X\",\"value\":\"a\\\"\\\\\"},",
            "{\"name\":\"Host\",\"value\":\"example.org\"}]}\n",
        ] {
            assert!(json.contains(part), "{part} in {json}");
        }
    }
}

//! The response if a client accepts none of the representations of a resource: 406 with a list of
//! them (RFC 9110 §15.5.7).

use askama::Template;
use serde::Serialize;

use crate::app::Response;
use crate::files::{Alternative, NotAcceptable};
use crate::http::{Fields, Status, negotiate};

/// A representation in the list.
#[derive(Serialize)]
struct Choice<'a> {
    reference: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    language: Option<&'a str>,
    #[serde(rename = "type")]
    media_type: &'a str,
    size: u64,
}

#[derive(Template)]
#[template(path = "choices.html", config = "src/askama.toml")]
struct ChoicesPage<'a> {
    choices: &'a [Choice<'a>],
}

impl<'a> Choice<'a> {
    fn of(alternative: &'a Alternative) -> Self {
        let Alternative { reference, language, media_type, size } = alternative;
        Self { reference, language: language.as_deref(), media_type, size: *size }
    }

    /// As people read it.
    fn shown(&self) -> String {
        let language = self.language.map(|language| format!("{language}, ")).unwrap_or_default();
        format!("{} ({language}{}, {} bytes)", self.reference, self.media_type, self.size)
    }
}

/// The list, in the format that the client prefers.
pub(super) fn response(found: &NotAcceptable, fields: &Fields<'_>) -> Response {
    let choices: Vec<_> = found.alternatives.iter().map(Choice::of).collect();
    let response = Response::new(Status::NOT_ACCEPTABLE).field("Cache-Control", "no-cache");
    let response = match found.vary {
        Some(vary) => response.field("Vary", vary),
        None => response,
    };
    if negotiate::prefers_json(fields) {
        response.json(&choices)
    } else if negotiate::prefers_html(fields) {
        // Rendering into a String fails only if the formatting of a value fails.
        response.html(ChoicesPage { choices: &choices }.render().expect("text can be formatted") + "\n")
    } else {
        let lines = choices.iter().map(|choice| choice.shown() + "\n");
        response.text(format!("Nothing that there is is acceptable to the client:\n{}", lines.collect::<String>()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::Body;
    use crate::http::FieldLines;

    #[test]
    fn the_list_is_in_the_format_that_the_client_prefers() {
        let page = Alternative {
            reference: "guide%22.de.html".to_owned(),
            language: Some("de".to_owned()),
            media_type: "text/html; charset=utf-8".to_owned(),
            size: 10,
        };
        let picture = Alternative { language: None, media_type: "image/x;a=\"<\"".to_owned(), ..page.clone() };
        let found = NotAcceptable { alternatives: vec![page, picture], vary: Some("Accept") };
        for (accept, media_type, part) in [
            ("", "text/plain; charset=utf-8", "guide%22.de.html (de, text/html; charset=utf-8, 10 bytes)\n"),
            (
                "application/json",
                "application/json",
                "[{\"reference\":\"guide%22.de.html\",\"language\":\"de\",\"type\":",
            ),
            (
                "text/html",
                "text/html; charset=utf-8",
                "<li><a href=\"guide%22.de.html\" hreflang=\"de\" type=\"text/html; ",
            ),
            (
                "text/html",
                "text/html; charset=utf-8",
                "<li><a href=\"guide%22.de.html\" type=\"image/x;a=&#34;&#60;&#34;\">",
            ),
        ] {
            let lines = FieldLines::of([("Accept", accept.as_bytes())]);
            let response = response(&found, &lines.fields());
            let field =
                |name: &str| response.fields.iter().find(|(found, _)| *found == name).map(|(_, value)| &**value);
            assert_eq!((response.status, field("Vary")), (Status::NOT_ACCEPTABLE, Some("Accept")));
            assert_eq!(field("Content-Type"), Some(media_type));
            let Body::Bytes(body) = &response.body else { panic!("no bytes") };
            let body = String::from_utf8_lossy(body);
            assert!(body.contains(part), "{body}");
        }
    }
}

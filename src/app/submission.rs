//! What a visitor submits: fields by name, from a form or a JSON object, whichever
//! the client speaks.

use serde_json::Value;

use super::Request;
use crate::http::{Reject, Status, form};

/// Fields by name, in order.
pub(super) struct Submission(Vec<(String, String)>);

impl Submission {
    /// Reads the content of a request. An empty one has no fields, whatever its type.
    ///
    /// # Errors
    /// 415 for another type, 400 for what isn't of its type, or is no flat object.
    pub(super) fn read(request: &Request<'_>) -> Result<Self, Reject> {
        if request.body.is_empty() {
            return Ok(Self(Vec::new()));
        }
        match Kind::of(request) {
            Some(Kind::Form) => Ok(Self::form(request.body)),
            Some(Kind::Json) => Self::json(request.body),
            None => Err(Reject::new(
                Status::UNSUPPORTED_MEDIA_TYPE,
                "the content has to be application/x-www-form-urlencoded or application/json",
            )),
        }
    }

    /// The fields of a query string.
    pub(super) fn query(request: &Request<'_>) -> Self {
        Self::form(request.head.target.query.unwrap_or_default())
    }

    fn form(encoded: &[u8]) -> Self {
        Self(form::pairs(encoded).map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    fn json(json: &[u8]) -> Result<Self, Reject> {
        const NOT_FLAT: Reject =
            Reject::bad_request("the content has to be a JSON object of texts, numbers, true and false");
        let fields = serde_json::from_slice::<serde_json::Map<String, Value>>(json).map_err(|_| NOT_FLAT)?;
        let fields = fields.into_iter().map(|(name, value)| match value {
            Value::String(text) => Ok((name, text)),
            Value::Number(_) | Value::Bool(_) => Ok((name, value.to_string())),
            Value::Null | Value::Array(_) | Value::Object(_) => Err(NOT_FLAT),
        });
        fields.collect::<Result<_, _>>().map(Self)
    }

    /// The first field of that name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// A number, in digits alone.
    pub(super) fn number(&self, name: &str) -> Option<usize> {
        let text = self.get(name)?;
        text.bytes().all(|octet| octet.is_ascii_digit()).then(|| text.parse().ok())?
    }
}

/// The types of content that are understood.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Form,
    Json,
}

impl Kind {
    /// What the request says that its content is; parameters don't matter, both are
    /// UTF-8 by definition.
    pub(super) fn of(request: &Request<'_>) -> Option<Self> {
        let value = request.head.fields.get("content-type")?;
        let essence = value.split(|&octet| octet == b';').next().unwrap_or_default().trim_ascii();
        if essence.eq_ignore_ascii_case(b"application/x-www-form-urlencoded") {
            Some(Self::Form)
        } else if essence.eq_ignore_ascii_case(b"application/json") {
            Some(Self::Json)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head::{Lines, parse};

    fn read(media_type: &str, body: &str) -> Result<Vec<(String, String)>, u16> {
        let line = if media_type.is_empty() { String::new() } else { format!("Content-Type: {media_type}\r\n") };
        let mut octets = format!("POST /?a=q HTTP/1.1\r\nHost: x\r\n{line}\r\n").into_bytes();
        let mut lines = Lines::default();
        let head = parse(&mut octets, &mut lines).unwrap().unwrap();
        let request = Request { head: &head, body: body.as_bytes(), mount: "", path: b"/" };
        assert_eq!(Submission::query(&request).get("a"), Some("q"));
        Submission::read(&request).map(|submission| submission.0).map_err(|reject| reject.status.0)
    }

    #[test]
    fn forms_and_json_say_the_same() {
        let expected = [("a", "1"), ("b", "x y"), ("c", "true")].map(|(a, b)| (a.to_owned(), b.to_owned())).to_vec();
        for (media_type, body) in [
            ("application/x-www-form-urlencoded", "a=1&b=x+y&c=true"),
            ("Application/X-WWW-Form-Urlencoded; charset=UTF-8", "a=1&b=x%20y&c=true"),
            ("application/json", r#"{"a": 1, "b": "x y", "c": true}"#),
            ("application/json;charset=utf-8", r#"{"a": "1", "b": "x y", "c": "true"}"#),
        ] {
            assert_eq!(read(media_type, body).as_ref(), Ok(&expected), "{media_type} {body}");
        }
        assert_eq!(read("", ""), Ok(Vec::new()));
    }

    #[test]
    fn what_is_neither_is_told() {
        for (media_type, body, status) in [
            ("", "a=1", 415),
            ("text/plain", "a=1", 415),
            ("multipart/form-data; boundary=x", "--x--", 415),
            ("application/jsonp", "{}", 415),
            ("application/json", "a=1", 400),
            ("application/json", "[1]", 400),
            ("application/json", "{\"a\":", 400),
            ("application/json", "{\"a\":{}}", 400),
            ("application/json", "{\"a\":null}", 400),
            ("application/json", "{} {}", 400),
        ] {
            assert_eq!(read(media_type, body), Err(status), "{media_type} {body}");
        }
    }

    #[test]
    fn numbers_are_digits() {
        let submission = Submission::form(b"a=12&b=+1&c=-1&d=&e=99999999999999999999999&f=1.5&g=007");
        let expected =
            [("a", Some(12)), ("b", None), ("c", None), ("d", None), ("e", None), ("f", None), ("g", Some(7))];
        for (name, number) in expected {
            assert_eq!(submission.number(name), number, "{name}");
        }
    }
}

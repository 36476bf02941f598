//! What a visitor sends to a page: fields with values, as a form or as JSON.

use serde_json::{Map, Value};

use super::Request;
use crate::http::grammar::split_unquoted;
use crate::http::{Reject, Status, form};

/// Most fields; a form of ours has a handful.
const FIELDS: usize = 64;

/// Fields and their values, in order.
pub(super) struct Input(Vec<(String, String)>);

impl Input {
    /// What the body of a request holds.
    ///
    /// # Errors
    /// 415 if it is neither a form nor JSON, 400 if it is malformed.
    pub(super) fn of(request: &Request<'_>) -> Result<Self, Reject> {
        let media_type = request.head.fields.get("content-type").unwrap_or_default();
        let essence = split_unquoted(media_type, b';').next().unwrap_or_default();
        let fields = if essence.eq_ignore_ascii_case(b"application/x-www-form-urlencoded") {
            from_form(request.body)?
        } else if essence.eq_ignore_ascii_case(b"application/json") {
            from_json(request.body)?
        } else {
            let why = "the body must be a form (application/x-www-form-urlencoded) or JSON (application/json)";
            return Err(Reject::new(Status::UNSUPPORTED_MEDIA_TYPE, why));
        };
        if fields.len() > FIELDS {
            return Err(Reject::bad_request("the body has more fields than any form here"));
        }
        Ok(Self(fields))
    }

    /// The value of the first field of that name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

fn from_form(body: &[u8]) -> Result<Vec<(String, String)>, Reject> {
    if !form::is_well_formed(body) {
        return Err(Reject::bad_request("the form is malformed: it isn't UTF-8, or an escape isn't whole"));
    }
    // One more than allowed is enough to see that.
    Ok(form::pairs(body).take(FIELDS + 1).map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
}

fn from_json(body: &[u8]) -> Result<Vec<(String, String)>, Reject> {
    const WRONG: Reject = Reject::bad_request("the JSON must be one object whose values are texts, numbers or truths");
    let object: Map<String, Value> = serde_json::from_slice(body).map_err(|_| WRONG)?;
    let field = |(name, value)| match value {
        Value::String(text) => Ok((name, text)),
        Value::Number(_) | Value::Bool(_) => Ok((name, value.to_string())),
        Value::Null | Value::Array(_) | Value::Object(_) => Err(WRONG),
    };
    object.into_iter().map(field).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head::{Lines, parse};

    fn read(media_type: &str, body: &[u8]) -> Result<Vec<(String, String)>, u16> {
        let mut octets = format!("POST / HTTP/1.1\r\nHost: x\r\n{media_type}\r\n").into_bytes();
        let mut lines = Lines::default();
        let head = parse(&mut octets, &mut lines).unwrap().unwrap();
        let request = Request { head: &head, body, mount: "", path: b"/" };
        Input::of(&request).map(|input| input.0).map_err(|reject| reject.status.0)
    }

    #[test]
    fn forms_and_json_say_the_same() {
        let expected = vec![("a".to_owned(), "1 \u{e4}".to_owned()), ("b".to_owned(), "true".to_owned())];
        for (media_type, body) in [
            ("Content-Type: application/x-www-form-urlencoded\r\n", "a=1+%c3%a4&b=true"),
            ("content-type: Application/X-WWW-Form-Urlencoded ; charset=utf-8\r\n", "a=1%20\u{e4}&b=true"),
            ("Content-Type: application/json\r\n", r#" {"a": "1 \u00e4", "b": true} "#),
            ("Content-Type: application/json;charset=utf-8\r\n", "{\"a\":\"1 \u{e4}\",\"b\":true}"),
        ] {
            assert_eq!(read(media_type, body.as_bytes()), Ok(expected.clone()), "{media_type}");
        }
        let json = "Content-Type: application/json\r\n";
        assert_eq!(read(json, b"{\"a\":-1.5}"), Ok(vec![("a".to_owned(), "-1.5".to_owned())]));
        assert_eq!(read(json, b"{}"), Ok(vec![]));
    }

    #[test]
    fn what_is_neither_or_malformed_is_told_so() {
        let (form, json) =
            ("Content-Type: application/x-www-form-urlencoded\r\n", "Content-Type: application/json\r\n");
        for (media_type, body, status) in [
            ("", &b"a=1"[..], 415),
            ("Content-Type: text/plain\r\n", b"a=1", 415),
            ("Content-Type: multipart/form-data; boundary=x\r\n", b"", 415),
            ("Content-Type: application/jsonp\r\n", b"{}", 415),
            (form, b"a=%", 400),
            (form, b"a=%4", 400),
            (form, b"a=%zz", 400),
            (form, b"a=%ff", 400),
            (form, b"\xff=a", 400),
            (json, b"", 400),
            (json, b"{", 400),
            (json, b"[]", 400),
            (json, b"\"a\"", 400),
            (json, b"{\"a\":null}", 400),
            (json, b"{\"a\":[1]}", 400),
            (json, b"{\"a\":{}}", 400),
            (json, b"{\"a\":1}{}", 400),
            (json, b"{\"a\":\"\xff\"}", 400),
        ] {
            assert_eq!(read(media_type, body), Err(status), "{media_type} {}", body.escape_ascii());
        }
        assert!(read(form, "a&".repeat(FIELDS).as_bytes()).is_ok());
        assert_eq!(read(form, "a&".repeat(FIELDS + 1).as_bytes()), Err(400));
        assert_eq!(read(json, "[".repeat(100_000).as_bytes()), Err(400));
    }
}

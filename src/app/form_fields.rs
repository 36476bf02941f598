//! The fields that a client sends: a form of a browser, or a JSON object. An application
//! reads both alike.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::Request;
use crate::http::{Reject, Status, form};
use crate::limits;

/// Most fields of a form: real ones have a dozen.
const FIELDS: usize = 100;

/// The fields of a request.
#[derive(Debug)]
pub struct FormFields(Map<String, Value>);

impl FormFields {
    /// Reads the content of a request by its Content-Type: a form
    /// (`application/x-www-form-urlencoded`), or a JSON object (`application/json`). Without
    /// content there are no fields.
    ///
    /// # Errors
    /// 415 for another type, 400 if the content is malformed, 413 beyond
    /// [`FORM`](crate::limits::FORM).
    pub fn read(request: &Request<'_>) -> Result<Self, Reject> {
        if request.body.len() > limits::FORM {
            return Err(Reject::new(Status::CONTENT_TOO_LARGE, "the form is too large"));
        }
        if request.body.is_empty() {
            return Ok(Self(Map::new()));
        }
        let content_type = request.head.fields.get("content-type").unwrap_or_default();
        let essence = content_type.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
        if essence.eq_ignore_ascii_case(b"application/json") {
            match serde_json::from_slice(request.body) {
                Ok(Value::Object(fields)) => Ok(Self(fields)),
                Ok(_) => Err(Reject::bad_request("the JSON is not an object")),
                Err(_) => Err(Reject::bad_request("the JSON is malformed")),
            }
        } else if essence.eq_ignore_ascii_case(b"application/x-www-form-urlencoded") {
            let mut fields = Map::new();
            for (name, value) in form::pairs(request.body) {
                if fields.len() == FIELDS {
                    return Err(Reject::bad_request("the form has too many fields"));
                }
                // The first field of a name counts, as in a query.
                fields.entry(name).or_insert_with(|| Value::from(value));
            }
            Ok(Self(fields))
        } else {
            Err(Reject::new(
                Status::UNSUPPORTED_MEDIA_TYPE,
                "only application/x-www-form-urlencoded and application/json are understood here",
            ))
        }
    }

    /// The value of the field with this name, as text. None if it is missing, null, an array
    /// or an object.
    pub fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        match self.0.get(name)? {
            Value::String(text) => Some(Cow::Borrowed(text)),
            value @ (Value::Number(_) | Value::Bool(_)) => Some(Cow::Owned(value.to_string())),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::FieldLines;
    use crate::http::head::parse;

    fn read(content_type: Option<&str>, body: &[u8]) -> Result<FormFields, u16> {
        let line = content_type.map(|value| format!("Content-Type: {value}\r\n")).unwrap_or_default();
        let bytes = format!("POST / HTTP/1.1\r\nHost: x\r\n{line}\r\n").into_bytes();
        let mut lines = FieldLines::default();
        let head = parse(&bytes, &mut lines).unwrap().unwrap();
        FormFields::read(&Request { head: &head, body, mount: "", path: b"/" }).map_err(|reject| reject.status.0)
    }

    const FORM: Option<&str> = Some("application/x-www-form-urlencoded");
    const JSON: Option<&str> = Some("Application/JSON; charset=utf-8");

    #[test]
    fn a_form_and_json_have_the_same_fields() {
        for (content_type, body) in [
            (FORM, &b"name=Ad%C3%A4le+L.&age=7&name=x&old=false"[..]),
            (JSON, "{\"name\":\"Ad\u{e4}le L.\",\"age\":7,\"old\":false,\"more\":[],\"none\":null}".as_bytes()),
        ] {
            let body = read(content_type, body).unwrap();
            assert_eq!(body.text("name").as_deref(), Some("Ad\u{e4}le L."));
            assert_eq!((body.text("age").as_deref(), body.text("old").as_deref()), (Some("7"), Some("false")));
            for absent in ["Name", "more", "none"] {
                assert_eq!(body.text(absent), None, "{absent}");
            }
        }
        assert_eq!(read(None, b"").unwrap().text("a"), None);
    }

    #[test]
    fn other_types_and_malformed_content_are_refused() {
        for content_type in [None, Some("text/plain"), Some("multipart/form-data; boundary=x"), Some(""), Some(";")] {
            assert_eq!(read(content_type, b"a=b").unwrap_err(), 415, "{content_type:?}");
        }
        for malformed in [&b"{"[..], b"[]", b"7", b"\"a\"", b"{}{}", b"\xff", &b"[".repeat(limits::FORM)] {
            assert_eq!(read(JSON, malformed).unwrap_err(), 400);
        }
        for content_type in [FORM, JSON] {
            assert_eq!(read(content_type, &b"[".repeat(limits::FORM + 1)).unwrap_err(), 413);
        }
        let fields = |n: usize| (0..n).map(|at| format!("f{at}=x&")).collect::<String>();
        assert!(read(FORM, fields(FIELDS).as_bytes()).is_ok());
        assert_eq!(read(FORM, fields(FIELDS + 1).as_bytes()).unwrap_err(), 400);
    }
}

//! Which pages of other origins may read responses (CORS, the Fetch standard §3.2).
//!
//! A browser sends the origin of the page with a request. It gives the response to the page only
//! if the response allows that origin. Before a request that a form couldn't send, it asks with
//! OPTIONS (a preflight) which methods and fields are allowed.
//!
//! If only some origins are allowed, the response names the one that asked, and `Vary: Origin`
//! tells caches that another one gets another response.

use std::time::Duration;

use super::head::{Method, RequestHead};

/// The rules of a route.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Cors {
    /// The origins, like `https://example.org`. None: all.
    pub origins: Option<Vec<String>>,
    /// The methods that a preflight allows.
    pub methods: Vec<String>,
    /// The request fields that a preflight allows.
    pub headers: Vec<String>,
    /// Requests with cookies and passwords are allowed.
    pub credentials: bool,
    /// How long a browser may remember a preflight.
    pub max_age: Option<Duration>,
}

/// Checks that a text is an origin: scheme, host, and a port if it isn't the scheme's.
///
/// # Errors
/// A hint.
pub fn check_origin(text: &str) -> Result<(), String> {
    let host = ["https://", "http://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    let has_default_port =
        text.starts_with("https://") && text.ends_with(":443") || text.starts_with("http://") && text.ends_with(":80");
    match host {
        Some(host)
            if super::target::valid_host(host.as_bytes())
                && !has_default_port
                && *text == *text.to_ascii_lowercase() =>
        {
            Ok(())
        }
        _ => Err("give an origin as browsers send it: https://example.org, in lower case, without a path and \
                  without the usual port"
            .to_owned()),
    }
}

impl Cors {
    /// Whether a request is a preflight.
    pub fn is_preflight(head: &RequestHead<'_>) -> bool {
        head.method == Method::Options
            && head.fields.get("origin").is_some()
            && head.fields.get("access-control-request-method").is_some()
    }

    /// The origin to allow in the response to a request.
    fn allowed<'a>(&self, head: &RequestHead<'a>) -> Option<&'a [u8]> {
        let origin = head.fields.get("origin")?;
        match &self.origins {
            None => Some(b"*"),
            Some(origins) => origins.iter().any(|known| known.as_bytes() == origin).then_some(origin),
        }
    }

    /// Appends the field lines of a response.
    pub fn write(&self, head: &RequestHead<'_>, lines: &mut Vec<u8>) {
        if self.origins.is_some() {
            lines.extend_from_slice(b"Vary: Origin\r\n");
        }
        let Some(origin) = self.allowed(head) else { return };
        line(lines, "Access-Control-Allow-Origin", origin);
        if self.credentials {
            line(lines, "Access-Control-Allow-Credentials", b"true");
        }
        if !Self::is_preflight(head) {
            return;
        }
        if !self.methods.is_empty() {
            line(lines, "Access-Control-Allow-Methods", self.methods.join(", ").as_bytes());
        }
        if !self.headers.is_empty() {
            line(lines, "Access-Control-Allow-Headers", self.headers.join(", ").as_bytes());
        }
        if let Some(age) = self.max_age {
            line(lines, "Access-Control-Max-Age", age.as_secs().to_string().as_bytes());
        }
    }
}

fn line(lines: &mut Vec<u8>, name: &str, value: &[u8]) {
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        lines.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::FieldLines;
    use crate::http::head::parse;

    fn lines(cors: &Cors, request: &str) -> String {
        let head = format!("{request}Host: a\r\n\r\n");
        let mut fields = FieldLines::default();
        let head = parse(head.as_bytes(), &mut fields).unwrap().unwrap();
        let mut out = Vec::new();
        cors.write(&head, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_allowed_origin_is_named_and_caches_are_told() {
        let some = Cors { origins: Some(vec!["https://b".to_owned()]), credentials: true, ..Cors::default() };
        assert_eq!(
            lines(&some, "GET / HTTP/1.1\r\nOrigin: https://b\r\n"),
            "Vary: Origin\r\nAccess-Control-Allow-Origin: https://b\r\nAccess-Control-Allow-Credentials: true\r\n"
        );
        for origin in ["Origin: http://b\r\n", "Origin: https://b.c\r\n", "Origin: null\r\n", ""] {
            assert_eq!(lines(&some, &format!("GET / HTTP/1.1\r\n{origin}")), "Vary: Origin\r\n", "{origin}");
        }
        assert_eq!(lines(&Cors::default(), "GET / HTTP/1.1\r\nOrigin: x\r\n"), "Access-Control-Allow-Origin: *\r\n");
        assert_eq!(lines(&Cors::default(), "GET / HTTP/1.1\r\n"), "");
    }

    #[test]
    fn a_preflight_gets_methods_fields_and_age() {
        let cors = Cors {
            methods: vec!["GET".to_owned(), "PUT".to_owned()],
            headers: vec!["X-A".to_owned()],
            max_age: Some(Duration::from_secs(60)),
            ..Cors::default()
        };
        let preflight = "OPTIONS / HTTP/1.1\r\nOrigin: https://b\r\nAccess-Control-Request-Method: PUT\r\n";
        assert_eq!(
            lines(&cors, preflight),
            "Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Methods: GET, PUT\r\n\
             Access-Control-Allow-Headers: X-A\r\nAccess-Control-Max-Age: 60\r\n"
        );
        assert_eq!(lines(&cors, "OPTIONS / HTTP/1.1\r\nOrigin: https://b\r\n"), "Access-Control-Allow-Origin: *\r\n");
    }

    #[test]
    fn an_origin_is_written_as_browsers_do() {
        for origin in ["https://a", "http://a.example:8080", "https://[::1]:1", "http://a:443"] {
            assert_eq!(check_origin(origin), Ok(()), "{origin}");
        }
        for origin in ["a", "https://a/", "https://A", "https://a:443", "http://a:80", "null", "https://", "*"] {
            assert!(check_origin(origin).is_err(), "{origin}");
        }
    }
}

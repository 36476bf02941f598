//! The format that a client prefers, where an application has three.

use crate::http::{Fields, negotiate};

/// A format of a response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Format {
    /// For terminals, and clients without a preference.
    Text,
    /// For browsers.
    Html,
    /// For programs.
    Json,
}

impl Format {
    /// By the Accept field.
    pub(super) fn of(fields: &Fields<'_>) -> Self {
        if negotiate::prefers_json(fields) {
            Self::Json
        } else if negotiate::prefers_html(fields) {
            Self::Html
        } else {
            Self::Text
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::FieldLines;

    #[test]
    fn each_kind_of_client_gets_its_format() {
        for (accept, wish) in [
            ("*/*", Format::Text),
            ("text/plain", Format::Text),
            ("image/png", Format::Text),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", Format::Html),
            ("application/json", Format::Json),
            ("application/json, text/plain, */*", Format::Json),
        ] {
            let lines = FieldLines::of([("accept", accept.as_bytes())]);
            assert_eq!(Format::of(&lines.fields()), wish, "{accept}");
        }
        assert_eq!(Format::of(&Fields::default()), Format::Text);
    }
}

//! What kind of answer a client wishes, where an application has three.

use crate::http::{Fields, negotiate};

/// A kind of answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wish {
    /// For terminals, and clients that don't say.
    Text,
    /// For browsers.
    Html,
    /// For programs.
    Json,
}

impl Wish {
    /// By the Accept field. A browser likes HTML better than plain text; `*/*`
    /// likes all the same.
    pub(super) fn of(fields: &Fields<'_>) -> Self {
        if negotiate::prefers_json(fields) {
            Self::Json
        } else if negotiate::quality(fields, "text/html") > negotiate::quality(fields, "text/plain") {
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
    fn terminals_browsers_and_programs_get_theirs() {
        for (accept, wish) in [
            ("*/*", Wish::Text),
            ("text/plain", Wish::Text),
            ("image/png", Wish::Text),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", Wish::Html),
            ("application/json", Wish::Json),
            ("application/json, text/plain, */*", Wish::Json),
        ] {
            let lines = FieldLines::of([("accept", accept.as_bytes())]);
            assert_eq!(Wish::of(&lines.fields()), wish, "{accept}");
        }
        assert_eq!(Wish::of(&Fields::default()), Wish::Text);
    }
}

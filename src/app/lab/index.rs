//! The page of the laboratory: all its parts that are mounted, each with a link.

use askama::Template;
use serde::Serialize;

use crate::app::page::{self, Foot, Script};
use crate::app::{Answer, App, Call, Request};
use crate::http::{Reject, Status};

pub(crate) struct Index {
    pub(crate) parts: Vec<Part>,
}

/// A mounted application.
#[derive(Clone, Serialize)]
pub(crate) struct Part {
    /// Its path.
    pub(crate) path: String,
    /// What it does.
    pub(crate) about: &'static str,
    /// What makes its path an example, or none if it is nothing for a browser.
    #[serde(skip)]
    pub(crate) example: Option<&'static str>,
}

#[derive(Template, Serialize)]
#[template(path = "lab.html", config = "src/askama.toml")]
struct LabPage<'a> {
    parts: &'a [Part],
    #[serde(skip)]
    foot: Foot,
}

impl App for Index {
    fn handle(&mut self, request: &Request<'_>, call: &mut Call<'_>) -> Answer {
        if !matches!(request.path, b"" | b"/") {
            return Answer::Refused(Reject::new(Status::NOT_FOUND, "the laboratory has no such page"));
        }
        let page = LabPage { parts: &self.parts, foot: Foot::of(call) };
        Answer::now(page::page_or_json(request, &page, Script::No))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::testing::{ask, refused, text};

    #[test]
    fn lists_its_parts_with_examples() {
        let part = |path: &str, example| Part { path: path.to_owned(), about: "says <so>", example };
        let mut index = Index { parts: vec![part("/a/status", Some("/404")), part("/a/digest", None)] };
        let page = ask(&mut index, "/lab/x", &["Accept: text/html"]);
        let page = text(&page);
        assert!(
            page.contains("<a href=\"/a/status/404\">/a/status/404</a>") && page.contains("says &#60;so&#62;"),
            "{page}"
        );
        assert!(page.contains("/a/digest") && !page.contains("href=\"/a/digest"), "{page}");
        let json = ask(&mut index, "/lab/x/", &["Accept: application/json"]);
        assert!(text(&json).starts_with("{\"parts\":[{\"path\":\"/a/status\",\"about\""), "{}", text(&json));
        assert_eq!(refused(&mut index, "/lab/x/y", &[]), Status::NOT_FOUND);
    }
}

//! The pages of applications: templates with one layout, in the looks of the
//! demonstration site.
//!
//! Templates are HTML in `templates/`; whatever is put into them is escaped. They
//! refer to nothing else that is served, since nobody knows what that is: style is
//! inside, and a script, which only a few have and none needs, is the application's own.
//! That is also what browsers are told to hold them to.

use askama::Template;
use serde::Serialize;

use super::{Request, Response, Visit};
use crate::http::{Status, negotiate};
use crate::session::Id;

/// What stands at the bottom of each page: which request of which connection it
/// was, and whose session.
pub(super) struct Foot {
    pub(super) connection: u32,
    pub(super) request: u32,
    /// The first block of its identifier, if the page has to do with sessions.
    pub(super) session: Option<String>,
}

impl Foot {
    /// Of this visit; to be made when the session is as it will be.
    pub(super) fn of(visit: &Visit<'_>) -> Self {
        let session = visit.session.as_ref().map(|session| session.id());
        Self {
            connection: visit.connection.number(),
            request: visit.request_number,
            // As long as a block is.
            session: session.map(|id| id.map_or_else(|| "none yet".to_owned(), Id::first_block)),
        }
    }
}

/// Whether a page has a script.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Script {
    No,
    /// One of the application's own, in a file of its own; it may ask the
    /// application for more.
    Own,
}

/// A page without a script as the content of an answer.
pub(super) fn page(response: Response, template: &impl Template) -> Response {
    page_with(response, template, Script::No)
}

fn page_with(response: Response, template: &impl Template, script: Script) -> Response {
    // Writing to a String fails only if a value's own formatting does; none of ours do.
    let page = template.render().expect("a template of values that can be shown");
    let policy = "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; form-action 'self'; \
                  frame-ancestors 'none'; base-uri 'none'";
    let policy = match script {
        Script::No => policy.to_owned(),
        Script::Own => format!("{policy}; script-src 'self'; connect-src 'self'"),
    };
    response.html(page).field("X-Content-Type-Options", "nosniff").field("Content-Security-Policy", policy)
}

/// A page, or what it tells as JSON, whichever the client prefers.
pub(super) fn page_or_json(request: &Request<'_>, told: &(impl Template + Serialize), script: Script) -> Response {
    let answer = if negotiate::prefers_json(&request.head.fields) {
        // Fails for maps with keys that are no text; there are none.
        Response::new(Status::OK).json(serde_json::to_string(told).expect("what JSON can tell") + "\n")
    } else {
        page_with(Response::new(Status::OK), told, script)
    };
    answer.field("Vary", "Accept")
}

#[cfg(test)]
mod tests {
    /// The colours, by name, of a style sheet.
    fn colours(sheet: &str) -> Vec<(&str, &str)> {
        let declarations = sheet.split([';', '{']).filter_map(|part| part.trim().split_once(": "));
        declarations.filter(|(name, value)| name.starts_with("--") && value.starts_with('#')).collect()
    }

    #[test]
    fn pages_have_the_colours_of_the_site() {
        let site = colours(include_str!("../../public/style.css"));
        let ours = colours(include_str!("templates/style.css"));
        assert!(ours.len() > 10 && ours.iter().all(|colour| site.contains(colour)), "{ours:?} in {site:?}");
    }
}

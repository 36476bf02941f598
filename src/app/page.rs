//! The pages of applications: templates with one layout, which looks like the
//! demonstration site.
//!
//! Templates are HTML in `templates/`; all values in them are escaped. They refer to no
//! other file, because applications don't know what else is served: styles are inside. A
//! script is the application's own; only a few pages have one, and all work without it. The
//! field Content-Security-Policy has browsers enforce this.

use askama::Template;
use serde::Serialize;

use super::{Call, Request, Response};
use crate::http::{Status, negotiate};
use crate::session::Id;

/// The foot of each page: the numbers of connection and request, and the session.
pub(super) struct Foot {
    pub(super) connection: u32,
    pub(super) request: u32,
    /// The first block of the session's identifier, if the page reads sessions.
    pub(super) session: Option<String>,
}

impl Foot {
    /// The foot for this call. Make it after the last change of the session.
    pub(super) fn of(call: &Call<'_>) -> Self {
        let session = call.session.as_ref().map(|session| session.id());
        Self {
            connection: call.connection.number(),
            request: call.request_number,
            // As long as a block: the page has the same length with and without a session.
            session: session.map(|id| id.map_or_else(|| "none yet".to_owned(), Id::first_block)),
        }
    }
}

/// Whether a page has a script.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Script {
    No,
    /// The application's own, in a file of its own. It may send requests to the application.
    Own,
}

/// A page without a script as the content of a response.
pub(super) fn page(response: Response, template: &impl Template) -> Response {
    page_with(response, template, Script::No)
}

fn page_with(response: Response, template: &impl Template, script: Script) -> Response {
    // Rendering into a String fails only if the formatting of a value fails.
    let page = template.render().expect("all values can be formatted");
    let policy = "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; form-action 'self'; \
                  frame-ancestors 'none'; base-uri 'none'";
    let policy = match script {
        Script::No => policy.to_owned(),
        Script::Own => format!("{policy}; script-src 'self'; connect-src 'self'"),
    };
    response.html(page).field("X-Content-Type-Options", "nosniff").field("Content-Security-Policy", policy)
}

/// A page, or its data as JSON, as the client prefers.
pub(super) fn page_or_json(request: &Request<'_>, data: &(impl Template + Serialize), script: Script) -> Response {
    let answer = if negotiate::prefers_json(&request.head.fields) {
        // It fails only for maps with keys that are no text.
        Response::new(Status::OK).json(serde_json::to_string(data).expect("no maps") + "\n")
    } else {
        page_with(Response::new(Status::OK), data, script)
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

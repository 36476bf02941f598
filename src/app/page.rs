//! The pages of applications: templates with one layout, which looks like the
//! demonstration site.
//!
//! Templates are HTML in `templates/`; all values in them are escaped. They refer to no
//! other file, because applications don't know what else is served: styles are inside. A
//! script is the application's own; only a few pages have one, and all work without it. The
//! field Content-Security-Policy has browsers enforce this.

use askama::Template;
use askama::filters::{Escaper, Html};
use serde::Serialize;

use super::{Call, Request, Response};
use crate::http::{Status, date, negotiate};
use crate::session::Id;

/// The styles of the pages of applications, beside those of all pages.
pub(super) const STYLE: &str = include_str!("templates/style.css");

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

/// A moment on a page.
pub(super) struct Moment {
    /// For programs (RFC 3339): `1994-11-06T08:49:37Z`.
    pub(super) datetime: String,
    /// For readers: `06 Nov 1994 08:49 UTC`.
    pub(super) when: String,
}

impl Moment {
    /// The moment of a Unix second.
    pub(super) fn of(unix_seconds: i64) -> Self {
        let mut datetime = Vec::new();
        date::write_rfc3339(unix_seconds, &mut datetime);
        let mut moment = [0; date::LENGTH];
        date::write(unix_seconds, &mut moment);
        // Sun, 06 Nov 1994 08:49:37 GMT
        let when = format!("{} UTC", String::from_utf8_lossy(&moment[5..22]));
        Self { datetime: String::from_utf8_lossy(&datetime).into_owned(), when }
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
    let mut policy = policy("", "");
    if script == Script::Own {
        policy += "; script-src 'self'; connect-src 'self'";
    }
    render(response, template, policy)
}

/// A page with the application's own script.
pub(super) fn page_with_script(response: Response, template: &impl Template) -> Response {
    page_with(response, template, Script::Own)
}

/// A page without a script, with frames that show other documents of the application.
pub(super) fn page_with_frame(response: Response, template: &impl Template) -> Response {
    render(response, template, policy("", "") + "; frame-src 'self'")
}

/// What a page may use beyond its own origin: lists of origins, separated by spaces.
pub(super) struct Beyond<'a> {
    /// Where images may come from.
    pub(super) images: &'a str,
    /// Where scripts may come from; none if there are no scripts.
    pub(super) scripts: Option<&'a str>,
    /// Where forms may be sent to.
    pub(super) forms: &'a str,
}

/// A page that may use more than its own origin.
pub(super) fn page_beyond(response: Response, template: &impl Template, beyond: &Beyond<'_>) -> Response {
    let mut policy = policy(beyond.images, beyond.forms);
    if let Some(scripts) = beyond.scripts {
        policy += "; script-src 'self' ";
        policy += scripts;
    }
    render(response, template, policy)
}

fn policy(images: &str, forms: &str) -> String {
    let also = |list: &str| if list.is_empty() { String::new() } else { format!(" {list}") };
    let (images, forms) = (also(images), also(forms));
    format!(
        "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:{images}; form-action 'self'{forms}; \
         frame-ancestors 'none'; base-uri 'none'"
    )
}

fn render(response: Response, template: &impl Template, policy: String) -> Response {
    // Rendering into a String fails only if the formatting of a value fails.
    let page = template.render().expect("all values can be formatted");
    response.html(page).field("Content-Security-Policy", policy)
}

/// A page, or its data as JSON, as the client prefers.
pub(super) fn page_or_json(request: &Request<'_>, data: &(impl Template + Serialize), script: Script) -> Response {
    let response = if negotiate::prefers_json(&request.head.fields) {
        Response::new(Status::OK).json(data)
    } else {
        page_with(Response::new(Status::OK), data, script)
    };
    response.field("Vary", "Accept")
}

/// A page of an application that has no template here.
#[derive(Template)]
#[template(path = "custom.html", config = "src/askama.toml")]
struct CustomPage<'a> {
    title: &'a str,
    main: &'a str,
    foot: Foot,
}

impl Response {
    /// A page in the layout of the built-in applications. `title` is text. `main` is HTML, in
    /// which text from outside must be [escaped](escape_html).
    pub fn page(self, title: &str, main: &str, call: &Call<'_>) -> Self {
        page(self, &CustomPage { title, main, foot: Foot::of(call) })
    }
}

/// `text` as it must be written in HTML, in text and in quoted attribute values.
pub fn escape_html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    // Writing to a String can't fail.
    let _ = Html.write_escaped_str(&mut escaped, text);
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::testing::{ask, field, text};
    use crate::app::{Answer, App};

    #[test]
    fn an_application_can_use_the_layout() {
        struct Custom;
        impl App for Custom {
            fn handle(&mut self, _: &Request<'_>, call: &mut Call<'_>) -> Answer {
                let main = format!("<p title='{}'>a</p>", escape_html("'<b>"));
                Answer::now(Response::new(Status::OK).page("<T>", &main, call))
            }
        }
        let response = ask(&mut Custom, "/lab/x", &[]);
        let page = text(&response);
        assert!(page.contains("<p title='&#39;&#60;b&#62;'>a</p>") && page.contains("<title>&#60;T&#62; "), "{page}");
        assert!(page.contains("Connection 12, request 3") && field(&response, "Content-Security-Policy").is_some());
    }

    /// The colours, by name, of a style sheet.
    fn colours(sheet: &str) -> Vec<(&str, &str)> {
        let declarations = sheet.split([';', '{']).filter_map(|part| part.trim().split_once(": "));
        declarations.filter(|(name, value)| name.starts_with("--") && value.starts_with('#')).collect()
    }

    #[test]
    fn pages_have_the_colours_of_the_site() {
        let site = colours(include_str!("../../public/style.css"));
        let ours = colours(crate::text::page::STYLE);
        assert!(ours.len() > 10 && ours.iter().all(|colour| site.contains(colour)), "{ours:?} in {site:?}");
    }
}

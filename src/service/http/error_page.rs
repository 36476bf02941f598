//! The built-in error pages: the status, the reason, and the request's number, which
//! the access log shows too. Clients that don't prefer HTML get lines of text.
//!
//! Only the request's number differs between responses. So a page is rendered once, without
//! the number, and the number is inserted when it is sent:
//!
//! ```text
//! | <html> … request | … </html> |
//!                    ^ number
//! ```

use askama::Template;

use crate::http::Reject;
use crate::http::response::{BodyForm, HeadContext, Length, ResponseHead};

/// The pages that were needed so far. The reasons are constants, so their number is
/// limited.
#[derive(Default)]
pub(super) struct ErrorPages(Vec<ErrorPage>);

/// An error as it is sent.
pub(super) struct ErrorPage {
    reject: Reject,
    html: bool,
    content: Box<[u8]>,
    /// Where in the content the request's number is left out.
    number: usize,
}

#[derive(Template)]
#[template(path = "error.html", config = "src/askama.toml")]
struct ErrorTemplate<'a> {
    title: &'a str,
    sentence: &'a str,
    number: &'a str,
}

/// Stands for the request's number while a page is made. No text contains it.
const NUMBER: &str = "\0";

/// The field lines of all error pages but Content-Type.
const LINES: &[u8] = b"X-Content-Type-Options: nosniff\r\n";

impl ErrorPages {
    /// The page for `reject`, as HTML or as text.
    pub(super) fn get(&mut self, reject: Reject, html: bool) -> &ErrorPage {
        let at = self.0.iter().position(|page| page.reject == reject && page.html == html);
        let at = at.unwrap_or_else(|| {
            self.0.push(ErrorPage::new(reject, html));
            self.0.len() - 1
        });
        &self.0[at]
    }
}

impl ErrorPage {
    fn new(reject: Reject, html: bool) -> Self {
        let Reject { status, why } = reject;
        let title = format!("{} {}", status.0, status.reason());
        let (first, rest) = why.split_at_checked(1).unwrap_or_default();
        let sentence = format!("{}{rest}.", first.to_ascii_uppercase());
        let content = if html {
            let page = ErrorTemplate { title: &title, sentence: &sentence, number: NUMBER };
            // Rendering into a String fails only if the formatting of a value fails.
            page.render().expect("text can be formatted") + "\n"
        } else {
            format!("{title}\n{sentence}\nRequest {NUMBER}\n")
        };
        let (before, behind) = content.split_once(NUMBER).unwrap_or((&content, ""));
        let number = before.len();
        Self { reject, html, content: [before.as_bytes(), behind.as_bytes()].concat().into(), number }
    }

    /// Writes the response to request `request` of connection `connection`; `lines` are
    /// further field lines. Returns the length of its body.
    pub(super) fn write(
        &self,
        out: &mut Vec<u8>,
        lines: &[u8],
        context: HeadContext<'_>,
        (connection, request): (u32, u32),
    ) -> u64 {
        let (mut connection_text, mut request_text) = (itoa::Buffer::new(), itoa::Buffer::new());
        let connection = connection_text.format(connection).as_bytes();
        let request = request_text.format(request).as_bytes();
        let length = (self.content.len() + connection.len() + 1 + request.len()) as u64;
        let mut head = ResponseHead::begin(out, self.reject.status, context);
        head.lines(match self.html {
            true => b"Content-Type: text/html; charset=utf-8\r\n".as_slice(),
            false => b"Content-Type: text/plain; charset=utf-8\r\n",
        });
        head.lines(LINES);
        head.prebuilt(b"Cache-Control: no-store\r\n");
        head.lines(lines);
        let (form, _) = head.end(Length::Known(length));
        if form == BodyForm::Absent {
            return 0;
        }
        out.extend_from_slice(&self.content[..self.number]);
        out.extend_from_slice(connection);
        out.push(b'/');
        out.extend_from_slice(request);
        out.extend_from_slice(&self.content[self.number..]);
        length
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Status;
    use crate::http::response::{Policy, RequestTraits, Stamp};

    const NOT_FOUND: Reject = Reject::new(Status::NOT_FOUND, "there is no such file");
    const TRAITS: RequestTraits = RequestTraits { minor: 1, head_only: false, persistent: true };

    /// A response as head and content, whose length is that of Content-Length.
    fn answer(
        pages: &mut ErrorPages,
        reject: Reject,
        html: bool,
        traits: RequestTraits,
        number: (u32, u32),
    ) -> [String; 2] {
        let policy = Policy { lines: b"Server: miod\r\n".as_slice().into(), ..Policy::default() };
        let context = HeadContext { traits, stamp: &Stamp::new(784_111_777), policy: &policy, further: b"" };
        let mut out = b"before".to_vec();
        let body = pages.get(reject, html).write(&mut out, b"X: y\r\n", context, number);
        let text = String::from_utf8(out).unwrap();
        let (head, content) = text.strip_prefix("before").unwrap().split_once("\r\n\r\n").unwrap();
        assert_eq!(body, content.len() as u64);
        assert!(traits.head_only || head.contains(&format!("\r\nContent-Length: {body}")), "{head}");
        [head, content].map(str::to_owned)
    }

    #[test]
    fn says_what_why_and_which_request() {
        let mut pages = ErrorPages::default();
        for number in [(17, 3), (0, 0), (9, 10), (99, 100), (u32::MAX, u32::MAX)] {
            let (connection, request) = number;
            let [head, text] = answer(&mut pages, NOT_FOUND, false, TRAITS, number);
            assert_eq!(
                head,
                format!(
                    "HTTP/1.1 404 Not Found\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nServer: miod\r\n\
                    Content-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n\
                    Cache-Control: no-store\r\nX: y\r\nContent-Length: {}",
                    text.len()
                )
            );
            assert_eq!(text, format!("404 Not Found\nThere is no such file.\nRequest {connection}/{request}\n"));
            let [_, page] = answer(&mut pages, NOT_FOUND, true, TRAITS, number);
            let parts = [
                "<title>404 Not Found</title>",
                "<h1>404 Not Found</h1>",
                ">There is no such file.</p>",
                "<a href=\"/\">",
                "</html>\n",
            ];
            assert!(parts.iter().all(|part| page.contains(part)), "{page}");
            assert!(page.contains(&format!("Request {connection}/{request}</p>")), "{page}");
        }
        assert_eq!(pages.0.len(), 2, "each is made once");
    }

    #[test]
    fn each_error_has_its_own() {
        let mut pages = ErrorPages::default();
        let other = Reject::new(Status::NOT_FOUND, "no files are served here");
        let same = Reject::new(Status::FORBIDDEN, "there is no such file");
        for (reject, expected) in [
            (NOT_FOUND, "404 Not Found\nThere is no such file.\nRequest 1/1\n"),
            (other, "404 Not Found\nNo files are served here.\nRequest 1/1\n"),
            (same, "403 Forbidden\nThere is no such file.\nRequest 1/1\n"),
            (NOT_FOUND, "404 Not Found\nThere is no such file.\nRequest 1/1\n"),
            (Reject::new(Status(599), ""), "599 \n.\nRequest 1/1\n"),
        ] {
            assert_eq!(answer(&mut pages, reject, false, TRAITS, (1, 1))[1], expected);
        }
    }

    #[test]
    fn the_head_fits_the_request() {
        let mut pages = ErrorPages::default();
        let traits = RequestTraits { minor: 0, ..TRAITS };
        assert!(answer(&mut pages, NOT_FOUND, true, traits, (1, 1))[0].ends_with("\r\nConnection: keep-alive"));
        let traits = RequestTraits { persistent: false, ..TRAITS };
        let [head, content] = answer(&mut pages, NOT_FOUND, true, traits, (1, 1));
        assert!(head.ends_with("\r\nConnection: close"), "{head}");
        let traits = RequestTraits { head_only: true, ..traits };
        assert_eq!(answer(&mut pages, NOT_FOUND, true, traits, (1, 1)), [head, String::new()], "HEAD says the same");
        assert!(!content.is_empty());
    }
}

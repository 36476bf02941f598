//! Mixed content: a page over https with an image and a script over http (W3C Mixed Content),
//! and cookies with and without Secure over both (RFC 6265 §5.4).
//!
//! A browser may ask for an image over https instead: it changes the scheme of the address, not
//! the port, unless that is 80. It blocks a script, since somebody who changes a script on its way
//! has the whole page. Addresses of the machine itself (localhost) count as secure, because nothing
//! is on the way to them: there nothing is upgraded or blocked, and cookies with Secure are sent
//! over http. So the page says what to expect under the name that it has.

use askama::Template;

use super::facts::{self, Fact, Value};
use super::format::Format;
use super::local::is_local;
use crate::app::page::{self, Beyond, Foot};
use crate::app::{Answer, App, Call, Request, Response, ports};
use crate::http::cookie::{self, SameSite, SetCookie};
use crate::http::{Reject, Status, origin};

pub(crate) struct Mixed;

impl App for Mixed {
    fn handle(&mut self, request: &Request<'_>, call: &mut Call<'_>) -> Answer {
        let response = Response::new(Status::OK).no_store();
        Answer::now(match request.path {
            b"" | b"/" => page(response, request, call),
            b"/image.svg" => response.content("image/svg+xml", image(call).into_bytes()),
            b"/script.js" => response.content("text/javascript; charset=utf-8", script(call).into_bytes()),
            b"/cookies" => cookies(response, request, call),
            _ => return Answer::Refused(Reject::new(Status::NOT_FOUND, "there is no such page")),
        })
    }
}

/// The scheme by which a request came.
fn scheme(secure: bool) -> &'static str {
    if secure { "https" } else { "http" }
}

fn image(call: &Call<'_>) -> String {
    let (scheme, fill) = if call.secure { ("https", "#0f6b75") } else { ("http", "#a8420c") };
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"160\" height=\"40\" viewBox=\"0 0 160 40\" \
         font-family=\"system-ui,sans-serif\"><rect width=\"160\" height=\"40\" rx=\"10\" fill=\"{fill}\"/>\
         <text x=\"80\" y=\"26\" font-size=\"16\" fill=\"#fff\" text-anchor=\"middle\">came by {scheme}</text></svg>\n"
    )
}

fn script(call: &Call<'_>) -> String {
    let scheme = scheme(call.secure);
    format!(
        "document.getElementById(document.currentScript.dataset.shows).textContent = \"It ran. It came by {scheme}.\";\n"
    )
}

/// The name that never leads anywhere (RFC 6761 §6.4).
const NOWHERE: &str = "http://lab.invalid";

#[derive(Template)]
#[template(path = "mixed.html", config = "src/askama.toml")]
struct MixedPage<'a> {
    secure: bool,
    local: bool,
    parts: Vec<Part>,
    other: Option<String>,
    mount: &'a str,
    foot: Foot,
}

/// An image or a script of the page.
struct Part {
    address: String,
    script: bool,
    expect: &'static str,
}

fn page(response: Response, request: &Request<'_>, call: &Call<'_>) -> Response {
    let ports = call.ports;
    let plain = ports.origin(request.head, false);
    // The image at this address is there only if the browser asks by https.
    let upgraded = ports.https.and_then(|port| origin::at(request.head, false, port)).filter(|_| plain.is_some());
    let local = is_local(request);
    let mount = &ports::encoded(request.mount);
    let parts = plain.as_deref().map(|plain| parts(plain, upgraded.as_deref(), mount, call, local));
    let other = ports.url(request, !call.secure);
    let page =
        MixedPage { secure: call.secure, local, parts: parts.unwrap_or_default(), other, mount, foot: Foot::of(call) };
    let scripts = plain.iter().map(String::as_str).chain([NOWHERE]).collect::<Vec<_>>().join(" ");
    // The policy is applied to an upgraded address too, and https is another origin.
    let asked = plain.is_some().then_some(ports.http).flatten().and_then(|port| origin::at(request.head, true, port));
    let images = [upgraded, asked].iter().flatten().fold(scripts.clone(), |all, origin| all + " " + origin);
    page::page_beyond(response, &page, &Beyond { images: &images, scripts: Some(&scripts), forms: "" })
}

/// The parts of the page: the origin for http, the same with the port for https, and where the
/// application is mounted.
fn parts(plain: &str, upgraded: Option<&str>, mount: &str, call: &Call<'_>, local: bool) -> Vec<Part> {
    let image = |origin: &str, expect| Part { address: format!("{origin}{mount}/image.svg"), script: false, expect };
    let script = |origin: &str, expect| Part { address: format!("{origin}{mount}/script.js"), script: true, expect };
    if !call.secure {
        let expect = "Loads it, as it loads this page: anybody on the way can change both.";
        return vec![image(plain, expect), script(plain, expect)];
    }
    let mut parts = Vec::new();
    if local {
        let expect = "Loads it: nothing is on the way to this machine.";
        let dead = "Asks by https instead. The name leads nowhere, but the console shows what it asks for.";
        parts.extend([image(plain, expect), image(NOWHERE, dead)]);
        parts.extend([script(plain, expect), script(NOWHERE, "Blocks it, and asks nobody.")]);
    } else {
        let usual = call.ports.http == Some(80) && call.ports.https == Some(443);
        if usual {
            parts.push(image(plain, "Asks by https instead, at port 443, and shows it."));
        } else {
            parts.push(image(plain, "Asks by https instead, at the same port. That speaks http only: no image."));
            let expect = "Asks by https instead, at the same port. That speaks https: it shows the image.";
            parts.extend(upgraded.map(|origin| image(origin, expect)));
        }
        parts.push(script(plain, "Blocks it, and asks nobody."));
    }
    parts.push(script("", "Runs it: it comes by https, as the page."));
    parts
}

/// A cookie of the page; its value says by which scheme it was set.
fn set(name: &str, call: &Call<'_>, secure: bool) -> String {
    let cookie = SetCookie {
        name: name.to_owned(),
        value: scheme(call.secure).to_owned(),
        max_age: Some(600),
        secure,
        http_only: true,
        same_site: Some(SameSite::Lax),
        ..SetCookie::default()
    };
    cookie.line().expect("a valid cookie")
}

const PLAIN: &str = "lab-plain";
const SECURE: &str = "lab-secure";

#[derive(Template)]
#[template(path = "mixed_cookies.html", config = "src/askama.toml")]
struct CookiesPage {
    secure: bool,
    local: bool,
    came: Vec<Fact>,
    set: [String; 2],
    here: Option<String>,
    other: Option<String>,
    foot: Foot,
}

/// Which cookies came back; both are set again.
fn cookies(response: Response, request: &Request<'_>, call: &Call<'_>) -> Response {
    let came = |name| cookie::value(&request.head.fields, name).map_or(Value::Absent, Value::bytes);
    let came = vec![(PLAIN, came(PLAIN)), (SECURE, came(SECURE))];
    let set = [set(PLAIN, call, false), set(SECURE, call, true)];
    let mut response = response.field("Vary", "Accept");
    for line in &set {
        response = response.field("Set-Cookie", line.clone());
    }
    match Format::of(&request.head.fields) {
        Format::Text => response.text(facts::lines(&came)),
        Format::Json => {
            let came = came.iter().map(|(name, value)| ((*name).to_owned(), serde_json::json!(value)));
            response.json(&came.collect::<serde_json::Map<_, _>>())
        }
        Format::Html => {
            let url = |secure| Some(call.ports.url(request, secure)? + "/cookies");
            let (secure, local, foot) = (call.secure, is_local(request), Foot::of(call));
            let (here, other) = (url(secure), url(!secure));
            page::page(response, &CookiesPage { secure, local, came, set, here, other, foot })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::Ports;
    use crate::app::testing::{Visit, field, refused, text};

    const BROWSER: &[&str] = &["Accept: text/html"];

    fn ask(secure: bool, ports: Ports, path: &str, fields: &[&str]) -> Response {
        Visit { secure, ports, ..Visit::default() }.ask(&mut Mixed, &format!("/lab/x{path}"), fields)
    }

    const PORTS: Ports = Ports { http: Some(8080), https: Some(8443) };

    #[test]
    fn over_https_the_page_has_parts_over_http_and_its_policy_lets_the_browser_try() {
        let page = ask(true, PORTS, "", BROWSER);
        for part in [
            "src=\"http://example.org:8080/lab/x/image.svg\"",
            "src=\"http://example.org:8443/lab/x/image.svg\"",
            "src=\"http://example.org:8080/lab/x/script.js\"",
            "src=\"/lab/x/script.js\"",
            "href=\"http://example.org:8080/lab/x\"",
        ] {
            assert!(text(&page).contains(part), "{part}: {}", text(&page));
        }
        assert!(!text(&page).contains("lab.invalid"));
        let policy = field(&page, "Content-Security-Policy").unwrap();
        let scripts = "http://example.org:8080 http://lab.invalid";
        assert!(policy.ends_with(&format!("; script-src 'self' {scripts}")), "{policy}");
        let images = format!("{scripts} http://example.org:8443 https://example.org:8080");
        assert!(policy.contains(&format!("; img-src 'self' data: {images};")), "{policy}");
        let usual = ask(true, Ports { http: Some(80), https: Some(443) }, "", BROWSER);
        assert!(text(&usual).contains("at port 443") && !text(&usual).contains("the same port"));
        let plain = ask(false, PORTS, "", BROWSER);
        assert!(
            text(&plain).contains("href=\"https://example.org:8443/lab/x\"") && !text(&plain).contains(":8443/lab/x/")
        );
        let alone = ask(false, Ports { http: Some(80), https: None }, "", BROWSER);
        assert!(text(&alone).contains("miod --tls auto"), "{}", text(&alone));
    }

    #[test]
    fn under_a_local_name_the_page_has_parts_that_are_not() {
        let local = ask(true, PORTS, "", BROWSER);
        assert!(!text(&local).contains("counts as secure"));
        let call = Visit { secure: true, ports: PORTS, ..Visit::default() };
        let local = call.ask(&mut Mixed, "http://127.0.0.1:1/lab/x", BROWSER);
        let page = text(&local);
        assert!(page.contains("counts as secure") && page.contains("http://lab.invalid/lab/x/script.js"), "{page}");
        assert!(page.contains("src=\"http://127.0.0.1:8080/lab/x/image.svg\""), "{page}");
    }

    #[test]
    fn image_and_script_say_how_they_came() {
        for (secure, words) in [(true, "came by https"), (false, "came by http")] {
            let image = ask(secure, PORTS, "/image.svg", &[]);
            assert_eq!(field(&image, "Content-Type"), Some("image/svg+xml"));
            assert!(text(&image).contains(&format!(">{words}<")));
            let script = ask(secure, PORTS, "/script.js", &[]);
            assert_eq!(field(&script, "Content-Type"), Some("text/javascript; charset=utf-8"));
            assert!(text(&script).contains(&format!("{words}.\"")), "{}", text(&script));
        }
        assert_eq!(refused(&mut Mixed, "/lab/x/y", &[]), Status::NOT_FOUND);
    }

    #[test]
    fn both_cookies_are_set_and_those_that_came_are_shown() {
        let lines = |response: &Response| {
            let set = response.fields.iter().filter(|(name, _)| *name == "Set-Cookie");
            set.map(|(_, value)| value.to_string()).collect::<Vec<_>>()
        };
        let first = ask(true, PORTS, "/cookies", &[]);
        assert_eq!(text(&first), "lab-plain: none\nlab-secure: none\n");
        assert_eq!(
            lines(&first),
            [
                "lab-plain=https; Max-Age=600; HttpOnly; SameSite=Lax",
                "lab-secure=https; Max-Age=600; Secure; HttpOnly; SameSite=Lax"
            ]
        );
        let second = ask(false, PORTS, "/cookies", &["Cookie: lab-plain=https"]);
        assert_eq!(text(&second), "lab-plain: https\nlab-secure: none\n");
        assert_eq!(lines(&second)[0], "lab-plain=http; Max-Age=600; HttpOnly; SameSite=Lax");
        let json = ask(false, PORTS, "/cookies", &["Accept: application/json", "Cookie: lab-secure=a"]);
        assert_eq!(text(&json), "{\"lab-plain\":null,\"lab-secure\":\"a\"}\n");
        let page = ask(false, PORTS, "/cookies", &["Accept: text/html", "Cookie: lab-plain=<b>"]);
        assert!(text(&page).contains("&#60;b&#62;"), "{}", text(&page));
        assert!(text(&page).contains("href=\"https://example.org:8443/lab/x/cookies\""), "{}", text(&page));
    }
}

//! Files in several forms: which one a request gets, compared with the rules of RFC 9110 as a table
//! of their own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::UNIX_EPOCH;

use super::files::bench;
use super::*;
use crate::compression::testing::text;
use crate::compression::{self, Coding};
use crate::files::resolve::{Root, Symlinks};
use crate::files::{Settings, Site};
use crate::http::compressible::{CompressibleTypes, CompressionRules};
use crate::http::content_coding::{Codings, ContentCoding};
use crate::service::http;

const MODIFIED: u64 = 1_700_000_000;
const DATE: &str = "Tue, 14 Nov 2023 22:13:20 GMT";

/// A response, taken apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Response {
    /// The value of a field that is there at most once.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.head.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let value = values.next();
        assert_eq!(values.next(), None, "{}", self.head);
        value
    }
}

/// Sends a request, and reads the response, whose length must be right.
pub(super) fn request(bench: &mut Bench, method: &str, path: &str, lines: &str) -> Response {
    bench.send(format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{lines}\r\n"));
    let response = received(bench);
    let no_body = method == "HEAD" || response.status == 304;
    let length = response.field("Content-Length").map_or(0, |length| length.parse().unwrap());
    assert_eq!(response.body.len(), if no_body { 0 } else { length }, "{}", response.head);
    response
}

/// Reads all of a response, from its files, too.
fn received(bench: &mut Bench) -> Response {
    let mut bytes = Vec::new();
    while bench.peer.output.pending() > 0 {
        bytes.extend(bench.peer.output.take(usize::MAX));
        bench.settle();
    }
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 2;
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    Response { status: statuses(&head)[0], head, body: bytes[end + 2..].to_vec() }
}

pub(super) fn get_with(bench: &mut Bench, path: &str, lines: &str) -> Response {
    request(bench, "GET", path, lines)
}

/// Content that says what it is of, with `size` bytes.
fn content(of: &str, size: usize) -> String {
    format!("{of} ").repeat(size / (of.len() + 1) + 1)[..size].to_owned()
}

fn old_file(bench: &Bench, name: &str, content: &str) {
    testing::old_file(&bench.files, name, content);
}

/// What the first form of the oracle is, and those beside it.
struct Form {
    coding: Option<&'static str>,
    /// Empty if there is no such form.
    content: Vec<u8>,
    etag: String,
}

/// The members of Accept-Encoding, and the forms that they accept, the best one first: 0 is the
/// plain one, 1 br, 2 gzip, 3 zstd.
const ACCEPTED: &[(&str, &[usize])] = &[
    ("", &[0]),
    ("gzip", &[2, 0]),
    ("br", &[1, 0]),
    ("zstd", &[3, 0]),
    ("gzip, deflate, br, zstd", &[1, 3, 2, 0]),
    ("gzip;q=0.5, zstd;q=0.5", &[3, 2, 0]),
    ("gzip;q=0.5, identity;q=0.5", &[2, 0]),
    ("gzip;q=0.5, br;q=0.1", &[2, 1, 0]),
    ("identity;q=0.3, gzip;q=0.2, br;q=0.1", &[0, 2, 1]),
    ("identity;q=1, *;q=0", &[0]),
    ("identity;q=0, gzip", &[2]),
    ("identity;q=0, zstd", &[3]),
    ("identity;q=0, deflate", &[]),
    ("*;q=0", &[]),
    ("*", &[1, 3, 2, 0]),
];

/// Range, and what it asks of `size` bytes: none if it is ignored, nothing if it can't be satisfied.
type Asked = fn(usize) -> Option<Vec<(usize, usize)>>;
const RANGES: &[(&str, Asked)] = &[
    ("", |_| None),
    ("bytes=0-3", |_| Some(vec![(0, 3)])),
    ("bytes=-2", |size| Some(vec![(size - 2, size - 1)])),
    ("bytes=5-", |size| Some(vec![(5, size - 1)])),
    ("bytes=0-0,200-201", |_| Some(vec![(0, 0), (200, 201)])),
    ("bytes=99999999-", |_| Some(vec![])),
    ("lines=1-2", |_| None),
];

/// What RFC 9110 §13.2.2 and §14.2 say for a request, one step after the other.
fn expected(
    forms: &[Form],
    accepted: &[usize],
    method: &str,
    fields: &[(&str, String)],
    asked: Asked,
) -> (u16, Option<usize>) {
    let value = |name: &str| fields.iter().find(|(field, _)| *field == name).map(|(_, value)| value.as_str());
    let tags = |name: &str| value(name).unwrap_or("").split(", ").map(str::to_owned).collect::<Vec<_>>();
    let opaque = |tag: &str| tag.trim_start_matches("W/").to_owned();
    let is_in = |name: &str, form: usize, weak: bool| {
        let own = &forms[form].etag;
        tags(name).iter().any(|tag| if weak { opaque(tag) == *own } else { tag == own })
    };
    let ranged = method == "GET" && value("Range").is_some();
    let named = |name: &str, weak: bool| accepted.iter().copied().find(|form| is_in(name, *form, weak));
    let named = named("If-None-Match", true)
        .or_else(|| named("If-Match", false))
        .or_else(|| named("If-Range", false).filter(|_| ranged));
    let Some(form) = named.or(accepted.first().copied()) else { return (406, None) };
    let is_any = |name: &str| value(name) == Some("*");
    match (value("If-Match"), value("If-Unmodified-Since")) {
        (Some(_), _) if !is_any("If-Match") && !is_in("If-Match", form, false) => return (412, None),
        (None, Some(date)) if date < DATE => return (412, None),
        _ => {}
    }
    match (value("If-None-Match"), value("If-Modified-Since")) {
        (Some(_), _) if is_any("If-None-Match") || is_in("If-None-Match", form, true) => return (304, Some(form)),
        (None, Some(date)) if date >= DATE => return (304, Some(form)),
        _ => {}
    }
    // A date names no form.
    let continues = value("If-Range").is_none() || is_in("If-Range", form, false);
    match asked(forms[form].content.len()).filter(|_| ranged && continues) {
        None => (200, Some(form)),
        Some(ranges) if ranges.is_empty() => (416, Some(form)),
        Some(_) => (206, Some(form)),
    }
}

/// Checks a response against a form of the file.
fn check(response: &Response, status: u16, form: Option<&Form>, method: &str, asked: Asked, what: &str) {
    assert_eq!(response.status, status, "{what}");
    let Some(form) = form else {
        // Whether it is one depends on the form, too, but nobody stores it.
        let vary = if status == 406 { Some("Accept-Encoding") } else { None };
        assert_eq!(response.field("Vary"), vary, "{what}");
        return assert_eq!(response.field("Cache-Control"), Some("no-store"), "{what}");
    };
    assert_eq!(response.field("Vary"), Some("Accept-Encoding"), "{what}");
    let size = form.content.len();
    let whole = form.content.as_slice();
    let ranges = if status == 206 { asked(size).unwrap() } else { Vec::new() };
    if status != 416 {
        assert_eq!(response.field("ETag"), Some(form.etag.as_str()), "{what}");
        assert_eq!(response.field("Last-Modified"), Some(DATE), "{what}");
    }
    let coding = if status == 200 || ranges.len() == 1 { form.coding } else { None };
    assert_eq!(response.field("Content-Encoding"), coding, "{what}");
    match (status, &ranges[..]) {
        (200, _) => {
            assert_eq!(response.field("Content-Length"), Some(size.to_string().as_str()), "{what}");
            assert_eq!(response.body, if method == "HEAD" { b"" } else { whole }, "{what}");
        }
        (206, [(first, last)]) => {
            let range = format!("bytes {first}-{last}/{size}");
            assert_eq!(response.field("Content-Range"), Some(range.as_str()), "{what}");
            assert_eq!(response.body, whole[*first..=*last], "{what}");
        }
        (206, several) => {
            // As text in which each byte is a character.
            let text = |bytes: &[u8]| bytes.iter().map(|byte| char::from(*byte)).collect::<String>();
            let boundary = response.field("Content-Type").unwrap().split_once("boundary=").unwrap().1;
            let body = text(&response.body);
            let parts: Vec<_> = body.split(&format!("\r\n--{boundary}")).collect();
            assert_eq!((parts.len(), *parts.last().unwrap()), (several.len() + 2, "--\r\n"), "{what}");
            for (part, (first, last)) in parts[1..].iter().zip(several) {
                let (head, content) = part.split_once("\r\n\r\n").unwrap();
                assert!(head.contains(&format!("\r\nContent-Range: bytes {first}-{last}/{size}")), "{what}: {head}");
                let of_part = head.lines().find_map(|line| line.strip_prefix("Content-Encoding: "));
                assert_eq!(of_part, form.coding, "{what}: what is coded is the part");
                assert_eq!(content, text(&whole[*first..=*last]), "{what}");
            }
        }
        (416, _) => {
            assert_eq!(response.field("Content-Range"), Some(format!("bytes */{size}").as_str()), "{what}");
        }
        _ => assert_eq!((status, response.body.len()), (304, 0), "{what}"),
    }
}

/// Each combination of conditions that is tried, as fields.
fn conditions(forms: &[Form]) -> Vec<Vec<(&'static str, String)>> {
    let tags: Vec<String> = forms.iter().map(|form| form.etag.clone()).collect();
    let mut values: Vec<String> = tags.clone();
    values.extend(["*".to_owned(), "\"other\"".to_owned(), format!("W/{}", tags[2]), tags[..2].join(", ")]);
    values.push(format!("{}, \"x\", {}", tags[2], tags[0]));
    let mut all = vec![Vec::new()];
    for value in &values {
        all.extend(["If-None-Match", "If-Match"].map(|name| vec![(name, value.clone())]));
        all.push(vec![("If-Match", value.clone()), ("If-None-Match", tags[2].clone())]);
        all.push(vec![("If-None-Match", value.clone()), ("If-Modified-Since", DATE.to_owned())]);
    }
    for date in [DATE, "Tue, 14 Nov 2023 22:13:19 GMT", "Tue, 14 Nov 2023 22:13:21 GMT"] {
        all.extend(["If-Modified-Since", "If-Unmodified-Since"].map(|name| vec![(name, date.to_owned())]));
    }
    let if_range = tags.iter().cloned().chain([DATE.to_owned(), format!("W/{}", tags[2]), "\"other\"".to_owned()]);
    for value in if_range {
        all.push(vec![("If-Range", value.clone())]);
        all.push(vec![("If-Range", value), ("If-Match", tags[2].clone())]);
    }
    all
}

/// The preconditions on entity-tags, each with each, and with those of If-Range.
fn conditions_on_tags(forms: &[Form]) -> Vec<Vec<(&'static str, String)>> {
    let tags = forms.iter().map(|form| form.etag.clone());
    let values: Vec<String> = tags.chain(["", "*", "\"other\""].map(str::to_owned)).collect();
    let of_range: Vec<String> = values
        .iter()
        .cloned()
        .chain([DATE.to_owned(), format!("W/{}", forms[0].etag)])
        .filter(|tag| tag != "*")
        .collect();
    let mut all = Vec::new();
    for (matches, none_match, range) in values.iter().flat_map(|first| {
        let of_range = &of_range;
        values.iter().flat_map(move |second| of_range.iter().map(move |third| (first, second, third)))
    }) {
        let fields = [("If-Match", matches), ("If-None-Match", none_match), ("If-Range", range)];
        all.push(
            fields.into_iter().filter(|(_, tag)| !tag.is_empty()).map(|(name, tag)| (name, tag.clone())).collect(),
        );
    }
    all
}

/// The forms of the file at `path`, with this content each; those in br and zstd may be missing.
fn forms_of(bench: &mut Bench, path: &str, contents: [Option<Vec<u8>>; 4]) -> Vec<Form> {
    let forms = [None, Some("br"), Some("gzip"), Some("zstd")].into_iter().zip(contents).map(|(coding, content)| {
        let Some(content) = content else {
            return Form { coding, content: vec![], etag: format!("\"no-{}\"", coding.unwrap()) };
        };
        let lines = coding.map(|coding| format!("Accept-Encoding: {coding}\r\n")).unwrap_or_default();
        let response = get_with(bench, path, &lines);
        let etag = response.field("ETag").unwrap().to_owned();
        assert!(etag.starts_with('"'), "{etag}");
        Form { coding, content, etag }
    });
    let forms: Vec<Form> = forms.collect();
    let tags: std::collections::BTreeSet<_> = forms.iter().map(|form| &form.etag).collect();
    assert_eq!(tags.len(), forms.len(), "each has its own");
    forms
}

/// Compares the responses to all combinations with what is expected.
fn compare_all(bench: &mut Bench, path: &str, forms: &[Form]) {
    compare(bench, path, forms, &conditions(forms), RANGES);
}

/// Compares the responses to all combinations of these with what is expected.
fn compare(
    bench: &mut Bench,
    path: &str,
    forms: &[Form],
    conditions: &[Vec<(&'static str, String)>],
    ranges: &[(&str, Asked)],
) {
    let mut count = 0;
    for (value, accepted) in ACCEPTED {
        let accepted: Vec<usize> = accepted.iter().copied().filter(|form| !forms[*form].content.is_empty()).collect();
        for condition in conditions {
            for (range, asked) in ranges {
                let mut fields = condition.clone();
                for (name, value) in [("Accept-Encoding", value), ("Range", range)] {
                    fields.extend((!value.is_empty()).then(|| (name, (*value).to_owned())));
                }
                let lines: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
                for method in ["GET", "HEAD"] {
                    let what = format!("{method} with {lines}");
                    let (status, form) = expected(forms, &accepted, method, &fields, *asked);
                    let response = request(bench, method, path, &lines);
                    check(&response, status, form.map(|form| &forms[form]), method, *asked, &what);
                    // HEAD says what GET says, but for the range (RFC 9110 §9.3.2).
                    if method == "GET" && range.is_empty() && status < 400 {
                        let head = request(bench, "HEAD", path, &lines);
                        assert_eq!(head.head, response.head, "{what}");
                    }
                    count += 1;
                }
            }
        }
    }
    assert!(count > 5_000, "{count}");
}

#[test]
fn each_combination_of_method_coding_condition_and_range_is_as_the_rules_say() {
    for sizes in [[3_000, 900, 1_000, 950], [30_000, 9_000, 10_000, 9_500]] {
        let mut bench = bench(Settings::default());
        let contents = ["", ".br", ".gz", ".zst"].into_iter().zip(sizes).map(|(ending, size)| {
            let content = content(&format!("x{ending}"), size);
            old_file(&bench, &format!("x.css{ending}"), &content);
            Some(content.into_bytes())
        });
        let contents: Vec<_> = contents.collect();
        let forms = forms_of(&mut bench, "/x.css", contents.try_into().unwrap());
        compare_all(&mut bench, "/x.css", &forms);
        if sizes[0] < 10_000 {
            compare(&mut bench, "/x.css", &forms, &conditions_on_tags(&forms), &[RANGES[0], RANGES[1], RANGES[5]]);
        }
    }
}

/// What a client that accepts everything gets: the coding, and the content.
fn best(bench: &mut Bench) -> (Option<String>, String) {
    // What isn't watched is checked each second.
    bench.pass(SECOND);
    let response = get_with(bench, "/x.css", "Accept-Encoding: gzip, br, zstd\r\n");
    assert_eq!(response.status, 200);
    (response.field("Content-Encoding").map(str::to_owned), String::from_utf8(response.body).unwrap())
}

fn is(coding: &str, content: &str) -> (Option<String>, String) {
    (Some(coding.to_owned()).filter(|coding| !coding.is_empty()), content.to_owned())
}

fn set_modified(bench: &Bench, name: &str, seconds: u64) {
    let when = UNIX_EPOCH + Duration::from_secs(seconds);
    fs::File::options().write(true).open(bench.files.at(name)).unwrap().set_modified(when).unwrap();
}

#[test]
fn a_sibling_is_sent_while_it_is_there_and_as_new_as_the_file() {
    let mut bench = bench(Settings { watch: false, ..Settings::default() });
    old_file(&bench, "x.css", "plain");
    assert_eq!(best(&mut bench), is("", "plain"));
    old_file(&bench, "x.css.gz", "gz");
    assert_eq!(best(&mut bench), is("gzip", "gz"), "it has appeared");
    old_file(&bench, "x.css.zst", "zst");
    old_file(&bench, "x.css.br", "br");
    assert_eq!(best(&mut bench), is("br", "br"));
    fs::remove_file(bench.files.at("x.css.br")).unwrap();
    assert_eq!(best(&mut bench), is("zstd", "zst"), "it is gone");
    set_modified(&bench, "x.css.zst", MODIFIED - 1);
    assert_eq!(best(&mut bench), is("gzip", "gz"), "an older one was made of other content");
    set_modified(&bench, "x.css.zst", MODIFIED + 1);
    assert_eq!(best(&mut bench), is("zstd", "zst"));
    set_modified(&bench, "x.css", MODIFIED + 1);
    assert_eq!(best(&mut bench), is("zstd", "zst"), "the file was touched");
    set_modified(&bench, "x.css", MODIFIED + 2);
    assert_eq!(best(&mut bench), is("", "plain"));
    set_modified(&bench, "x.css.gz", MODIFIED + 2);
    assert_eq!(best(&mut bench), is("gzip", "gz"));
    fs::write(bench.files.at("x.css.gz"), "").unwrap();
    assert_eq!(best(&mut bench), is("", "plain"), "an empty one is no content coding");
    fs::remove_file(bench.files.at("x.css")).unwrap();
    bench.pass(SECOND);
    assert_eq!(get_with(&mut bench, "/x.css", "Accept-Encoding: gzip\r\n").status, 404, "the file is gone");
    let own = get_with(&mut bench, "/x.css.zst", "Accept-Encoding: zstd\r\n");
    assert_eq!((own.status, own.field("Content-Encoding"), own.field("Vary")), (200, None, None));
    assert_eq!(own.body, b"zst");
}

#[test]
fn what_is_no_file_below_the_root_is_no_sibling() {
    let outside = Scratch::new();
    outside.file("secret", "secret");
    for symlinks in [Symlinks::Inside, Symlinks::None] {
        let mut bench = Bench::new();
        old_file(&bench, "x.css", "plain");
        old_file(&bench, "elsewhere", "linked");
        let sibling = bench.files.at("x.css.gz");
        // The first server has the file in its cache when the sibling changes; then there is a new one.
        let check = |bench: &mut Bench, expected: (Option<String>, String), what: &str| {
            best(bench);
            let root = Root::open(bench.files.path(), symlinks).unwrap();
            let mut host = Host::default();
            host.files = Some(Rc::new(Site::new(root, Settings { watch: false, ..Settings::default() }).into()));
            bench.shared.http.web = host.into();
            for _ in 0..2 {
                assert_eq!(best(bench), expected, "{what}");
            }
        };
        bench.files.directory("x.css.gz");
        check(&mut bench, is("", "plain"), "a directory");
        fs::remove_dir(&sibling).unwrap();
        bench.files.fifo("x.css.gz");
        check(&mut bench, is("", "plain"), "a FIFO");
        fs::remove_file(&sibling).unwrap();
        bench.files.link("x.css.gz", outside.at("secret"));
        check(&mut bench, is("", "plain"), "a link out of the root");
        fs::remove_file(&sibling).unwrap();
        bench.files.link("x.css.gz", "nothing");
        check(&mut bench, is("", "plain"), "a link to nothing");
        fs::remove_file(&sibling).unwrap();
        bench.files.link("x.css.gz", "elsewhere");
        let linked = if symlinks == Symlinks::Inside { is("gzip", "linked") } else { is("", "plain") };
        check(&mut bench, linked, "a link to a file");
        fs::remove_file(&sibling).unwrap();
        old_file(&bench, "x.css.gz", "gz");
        check(&mut bench, is("gzip", "gz"), "a file");
        fs::set_permissions(&sibling, fs::Permissions::from_mode(0o000)).unwrap();
        // Root may read everything.
        let unreadable = || if fs::File::open(&sibling).is_ok() { is("gzip", "gz") } else { is("", "plain") };
        assert_eq!(best(&mut bench), unreadable(), "one that may not be read");
        check(&mut bench, unreadable(), "one that may not be read");
        fs::set_permissions(&sibling, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(best(&mut bench), is("gzip", "gz"), "it may be read now");
    }
}

#[test]
fn siblings_can_be_turned_off_and_have_none_themselves() {
    let mut off = bench(Settings { precompressed: false, watch: false, ..Settings::default() });
    for name in ["x.css", "x.css.gz", "x.css.gz.gz", "index.html.br", "x.css.br.d"] {
        old_file(&off, name, name);
    }
    assert_eq!(best(&mut off), is("", "x.css"));
    let mut on = bench(Settings { pretty_urls: true, ..Settings::default() });
    for name in ["x.css.gz", "x.css.gz.gz", "index.html.br", "a.html", "a.html.gz", "404.html", "404.html.gz"] {
        old_file(&on, name, name);
    }
    let lines = "Accept-Encoding: gzip, br\r\n";
    for (path, status, coding, content, vary) in [
        ("/x.css", 404, Some("gzip"), "404.html.gz", true),
        ("/x.css.gz", 200, None, "x.css.gz", false),
        ("/", 200, Some("br"), "index.html.br", true),
        ("/a", 200, Some("gzip"), "a.html.gz", true),
        ("/large.bin", 200, None, "", false),
    ] {
        for _ in 0..2 {
            let response = get_with(&mut on, path, lines);
            let found = (response.status, response.field("Content-Encoding"), response.field("Vary").is_some());
            assert_eq!(found, (status, coding, vary), "{path}");
            assert!(content.is_empty() || response.body == content.as_bytes(), "{path}");
        }
    }
    let error = get_with(&mut on, "/missing", "");
    assert_eq!((error.body.as_slice(), error.field("Vary")), (&b"404.html"[..], Some("Accept-Encoding")));
    // A page with the number of the request has it in the plain form only.
    old_file(&on, "404.html", "see <!-- request -->");
    on.pass(SECOND);
    let error = get_with(&mut on, "/missing", lines);
    assert_eq!((error.field("Content-Encoding"), &error.body[..4]), (None, &b"see "[..]));
}

#[test]
fn fields_of_the_site_and_the_choice_go_together() {
    let set = |fields: &[(&str, &str)]| {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut bench = bench(Settings {
            fields: vec![(crate::files::glob::Glob::parse("*.css").unwrap(), fields)],
            ..Settings::default()
        });
        for name in ["x.css", "x.css.gz"] {
            old_file(&bench, name, name);
        }
        let lines = "Accept-Encoding: gzip\r\n";
        let whole = get_with(&mut bench, "/x.css", lines);
        let again = get_with(&mut bench, "/x.css", &format!("{lines}If-None-Match: *\r\n"));
        assert_eq!((again.status, again.field("Vary")), (304, whole.field("Vary")));
        (whole.field("Vary").map(str::to_owned), whole.field("Content-Encoding").map(str::to_owned))
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(set(&[]), (some("Accept-Encoding"), some("gzip")));
    assert_eq!(set(&[("Vary", "Cookie, Origin")]), (some("Accept-Encoding, Cookie, Origin"), some("gzip")));
    assert_eq!(set(&[("vary", "Cookie, accept-encoding")]), (some("Cookie, accept-encoding"), some("gzip")));
    assert_eq!(set(&[("Vary", "*")]), (some("*"), some("gzip")));
    // What is compressed already isn't a form of something else.
    assert_eq!(set(&[("Content-Encoding", "gzip"), ("Vary", "X")]), (some("X"), some("gzip")));
}

/// A host that compresses, with these settings for its files.
fn compressing(settings: Settings) -> Bench {
    let mut bench = bench(Settings::default());
    serve_compressing(&mut bench, settings, true);
    bench
}

/// Serves the files anew; the route compresses, or not.
fn serve_compressing(bench: &mut Bench, settings: Settings, route: bool) {
    serve_in(bench, Codings::NONE.with(ContentCoding::Gzip), settings, route);
}

/// The same, in these codings.
fn serve_in(bench: &mut Bench, codings: Codings, settings: Settings, route: bool) {
    let codings = if route { codings } else { Codings::NONE };
    let compression = Rc::new(CompressionRules { codings, level: 5, types: CompressibleTypes::default() });
    let rules = http::Rules { compression, ..http::Rules::default() };
    let mut host = Host::new(rules);
    host.files = Some(Rc::new(Site::new(Root::open(bench.files.path(), Symlinks::Inside).unwrap(), settings).into()));
    bench.shared.http.web = host.into();
}

fn decode(coded: &[u8]) -> Vec<u8> {
    compression::testing::decode(Coding::Gzip, coded)
}

const GZIP: &str = "Accept-Encoding: gzip\r\n";

/// How many jobs ran.
fn run_jobs(bench: &mut Bench) -> usize {
    let jobs = bench.context.run_jobs();
    let count = jobs.len();
    jobs.into_iter().for_each(|(job, result)| bench.http.job_ended(job, result));
    count
}

#[test]
fn a_file_is_compressed_for_the_second_client() {
    for size in [1_024, 5_000, 100_000, 1_000_000] {
        let mut bench = compressing(Settings::default());
        let plain = text(size);
        old_file(&bench, "x.css", &plain);
        for lines in ["", "Accept-Encoding: br\r\n", "Accept-Encoding: gzip;q=0.1, identity\r\n"] {
            let response = get_with(&mut bench, "/x.css", lines);
            assert_eq!((response.field("Content-Encoding"), response.field("Vary")), (None, Some("Accept-Encoding")));
            assert_eq!(run_jobs(&mut bench), 0, "nobody would get it");
        }
        let first = get_with(&mut bench, "/x.css", GZIP);
        assert_eq!((first.field("Content-Encoding"), first.body == plain.as_bytes()), (None, true));
        // While the job waits there is no second one.
        assert_eq!(get_with(&mut bench, "/x.css", GZIP), first);
        assert_eq!(run_jobs(&mut bench), 1);
        let second = get_with(&mut bench, "/x.css", GZIP);
        assert_eq!(second.field("Content-Encoding"), Some("gzip"), "{size}");
        assert!(second.body.len() < size / 2);
        assert_eq!(decode(&second.body), plain.as_bytes());
        let contents = [Some(plain.into_bytes()), None, Some(second.body.clone()), None];
        let forms = forms_of(&mut bench, "/x.css", contents);
        compare_all(&mut bench, "/x.css", &forms);
        // Who makes other bytes of it has another strong entity-tag.
        let mut sum = compression::Crc::new();
        sum.update(&second.body);
        assert!(forms[2].etag.ends_with(&format!("-gzip-{:x}\"", sum.sum())), "{}", forms[2].etag);
        // In pieces.
        let mut joined = Vec::new();
        while joined.len() < second.body.len() {
            let (from, to) = (joined.len(), joined.len() + second.body.len() / 7);
            let lines = format!("{GZIP}Range: bytes={from}-{to}\r\nIf-Range: {}\r\n", forms[2].etag);
            let part = get_with(&mut bench, "/x.css", &lines);
            assert_eq!((part.status, part.field("Content-Encoding")), (206, Some("gzip")));
            joined.extend(part.body);
        }
        assert_eq!(joined, second.body);
        assert_eq!(run_jobs(&mut bench), 0);
        // Dropped with the file.
        old_file(&bench, "x.css", &text(size - 1));
        bench.pass(SECOND);
        assert_eq!(get_with(&mut bench, "/x.css", GZIP).field("Content-Encoding"), None);
    }
}

#[test]
fn each_client_gets_the_coding_that_it_prefers_and_another_one_meanwhile() {
    let both = Codings::NONE.with(ContentCoding::Gzip).with(ContentCoding::Zstd);
    let mut bench = bench(Settings::default());
    serve_in(&mut bench, both, Settings::default(), true);
    let plain = text(50_000);
    old_file(&bench, "x.css", &plain);
    let mut ask = |lines: &str| {
        let response = get_with(&mut bench, "/x.css", lines);
        let (jobs, coding) = (run_jobs(&mut bench), response.field("Content-Encoding").map(str::to_owned));
        match coding.as_deref() {
            Some("zstd") => {
                assert!(compression::testing::decode(Coding::Zstd, &response.body) == plain.as_bytes(), "zstd");
            }
            Some(_) => assert!(decode(&response.body) == plain.as_bytes(), "gzip"),
            None => assert!(response.body == plain.as_bytes(), "plain"),
        }
        (coding.unwrap_or_default(), jobs, response.field("ETag").map(str::to_owned))
    };
    let all = "Accept-Encoding: gzip, deflate, br, zstd\r\n";
    let mut tags = Vec::new();
    for (lines, expected, jobs) in [
        (GZIP, "", 1),
        (GZIP, "gzip", 0),
        // Of equals zstd is better.
        (all, "gzip", 1),
        (all, "zstd", 0),
        ("Accept-Encoding: zstd;q=0.5, gzip\r\n", "gzip", 0),
        ("Accept-Encoding: zstd, identity;q=0\r\n", "zstd", 0),
        ("Accept-Encoding: br\r\n", "", 0),
    ] {
        let (coding, begun, tag) = ask(lines);
        assert_eq!((&*coding, begun), (expected, jobs), "{lines}");
        tags.push((coding, tag));
    }
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), 3, "each form has an entity-tag of its own: {tags:?}");
}

#[test]
fn jobs_for_several_codings_may_wait_at_the_same_time() {
    let both = Codings::NONE.with(ContentCoding::Gzip).with(ContentCoding::Zstd);
    let mut bench = bench(Settings::default());
    serve_in(&mut bench, both, Settings::default(), true);
    old_file(&bench, "x.css", &text(5_000));
    let zstd = "Accept-Encoding: zstd\r\n";
    for lines in [GZIP, zstd, GZIP, zstd] {
        assert_eq!(get_with(&mut bench, "/x.css", lines).field("Content-Encoding"), None);
    }
    assert_eq!(run_jobs(&mut bench), 2);
    for (lines, expected) in [(GZIP, "gzip"), (zstd, "zstd")] {
        assert_eq!(get_with(&mut bench, "/x.css", lines).field("Content-Encoding"), Some(expected));
    }
    assert_eq!(run_jobs(&mut bench), 0);
}

#[test]
fn what_is_not_worth_it_or_not_allowed_is_not_compressed() {
    let fields = |name: &str, value: &str| {
        vec![(crate::files::glob::Glob::parse("*").unwrap(), vec![(name.to_owned(), value.to_owned())])]
    };
    let mut state = 1_u64;
    let mut random = || {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    let noise: Vec<u8> = (0..5_000).map(|_| random()).collect();
    let plain = text(5_000).into_bytes();
    let large = text(50_000).into_bytes();
    for (name, content, settings, route, varies) in [
        ("x.css", &plain[..1_023], Settings::default(), true, false),
        ("x.png", &plain, Settings::default(), true, false),
        ("x.css", &plain, Settings::default(), false, false),
        ("x.css", &plain, Settings { cache_size: 0, ..Settings::default() }, true, false),
        (
            "x.css",
            &plain,
            Settings { cache_control: "no-Transform, max-age=1".to_owned(), ..Settings::default() },
            true,
            false,
        ),
        (
            "x.css",
            &plain,
            Settings { fields: fields("Cache-Control", "no-transform"), ..Settings::default() },
            true,
            false,
        ),
        ("x.css", &plain, Settings { fields: fields("Content-Encoding", "br"), ..Settings::default() }, true, false),
        // It turns out later.
        ("x.css", &noise, Settings::default(), true, true),
        // There is no room for it.
        ("x.css", &plain, Settings { cache_size: 60_000, ..Settings::default() }, true, true),
        ("x.css", &large, Settings { open_files: 1, ..Settings::default() }, true, true),
    ] {
        let mut bench = bench(Settings::default());
        let what = format!("{name}, {} bytes, {:?}, {route}", content.len(), settings.fields.len());
        fs::write(bench.files.at(name), content).unwrap();
        set_modified(&bench, name, MODIFIED);
        serve_compressing(&mut bench, settings, route);
        let mut jobs = 0;
        for _ in 0..3 {
            let response = get_with(&mut bench, &format!("/{name}"), GZIP);
            assert_ne!(response.field("Content-Encoding"), Some("gzip"), "{what}");
            assert_eq!(response.field("Vary").is_some(), varies, "{what}");
            assert_eq!(response.body, content);
            jobs += run_jobs(&mut bench);
        }
        assert_eq!(jobs, usize::from(content == noise), "{what}");
    }
}

#[test]
fn a_sibling_is_preferred_to_what_is_made_and_linked_files_are_not_compressed() {
    let mut bench = compressing(Settings { watch: false, ..Settings::default() });
    old_file(&bench, "x.css", &text(5_000));
    bench.files.link("link.css", "x.css");
    for _ in 0..2 {
        assert_eq!(get_with(&mut bench, "/link.css", GZIP).field("Vary"), None);
        assert_eq!(run_jobs(&mut bench), 0);
    }
    get_with(&mut bench, "/x.css", GZIP);
    run_jobs(&mut bench);
    let made = get_with(&mut bench, "/x.css", GZIP);
    assert_eq!(made.field("Content-Encoding"), Some("gzip"));
    old_file(&bench, "x.css.gz", "sibling");
    bench.pass(SECOND);
    let sibling = get_with(&mut bench, "/x.css", GZIP);
    assert_eq!((sibling.field("Content-Encoding"), &sibling.body[..]), (Some("gzip"), &b"sibling"[..]));
    assert_ne!(made.field("ETag"), sibling.field("ETag"));
    assert_eq!(run_jobs(&mut bench), 0);
    // One that is too old isn't used, and stays.
    set_modified(&bench, "x.css.gz", MODIFIED - 1);
    bench.pass(SECOND);
    get_with(&mut bench, "/x.css", GZIP);
    assert_eq!(run_jobs(&mut bench), 1);
    for _ in 0..2 {
        assert_eq!(get_with(&mut bench, "/x.css", GZIP), made, "the same bytes have the same entity-tag");
        bench.pass(SECOND);
    }
}

#[test]
fn a_job_that_was_not_taken_or_saw_another_file_is_begun_again() {
    let mut bench = compressing(Settings { watch: false, ..Settings::default() });
    old_file(&bench, "x.css", &text(5_000));
    let time = Time { now: bench.now, unix_seconds: 0, unix_micros: 0 };
    let mut cx = bench.context.context(&mut bench.shared, time, false);
    while cx.run(crate::reactor::JobClass::Compression, || crate::service::Outcome::Session).is_ok() {}
    get_with(&mut bench, "/x.css", GZIP);
    assert_eq!(run_jobs(&mut bench), limits::COMPRESSION_JOBS);
    get_with(&mut bench, "/x.css", GZIP);
    // The file changes, and the server hasn't looked yet.
    old_file(&bench, "x.css", &text(6_000));
    assert_eq!(run_jobs(&mut bench), 1);
    assert_eq!(get_with(&mut bench, "/x.css", GZIP).field("Content-Encoding"), None);
    bench.pass(SECOND);
    get_with(&mut bench, "/x.css", GZIP);
    assert_eq!(run_jobs(&mut bench), 1);
    assert_eq!(decode(&get_with(&mut bench, "/x.css", GZIP).body), text(6_000).as_bytes());
}

#[test]
fn a_page_for_an_error_is_compressed_too() {
    let mut bench = compressing(Settings { spa: None, ..Settings::default() });
    old_file(&bench, "404.html", &text(5_000));
    let first = get_with(&mut bench, "/missing", GZIP);
    assert_eq!((first.status, first.field("Content-Encoding"), first.body.len()), (404, None, 5_000));
    run_jobs(&mut bench);
    let second = get_with(&mut bench, "/missing", GZIP);
    assert_eq!((second.status, second.field("Content-Encoding")), (404, Some("gzip")));
    assert_eq!((second.field("Vary"), second.field("ETag")), (Some("Accept-Encoding"), None));
    assert_eq!(decode(&second.body), text(5_000).as_bytes());
    assert_eq!(request(&mut bench, "HEAD", "/missing", GZIP).head, second.head);
}

/// The content of the chunked coding.
fn join_chunks(mut body: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    loop {
        let end = body.windows(2).position(|two| two == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&body[..end]).unwrap(), 16).unwrap();
        content.extend_from_slice(&body[end + 2..][..size]);
        assert_eq!(&body[end + 2 + size..][..2], b"\r\n");
        body = &body[end + 4 + size..];
        if size == 0 {
            assert_eq!(body, b"");
            return content;
        }
    }
}

/// The response to a client that accepts content in gzip only.
fn ask_for_gzip_only(bench: &mut Bench, method: &str, path: &str, lines: &str) -> Response {
    let refusing = "Accept-Encoding: identity;q=0, gzip;q=0.5\r\n";
    bench.send(format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{refusing}{lines}\r\n"));
    assert_ne!(bench.phase(), "Waiting");
    received(bench)
}

#[test]
fn who_accepts_nothing_else_gets_it_compressed_on_its_way() {
    let mut bench = compressing(Settings::default());
    let files = [("x.css", 50_000), ("y.css", 2_000), ("z.css", 1_023), ("empty.css", 0), ("x.png", 300_000)];
    for (name, size) in files {
        old_file(&bench, name, &text(size));
    }
    bench.files.link("link.css", "y.css");
    let young = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    bench.files.file("young.css", &text(2_000));
    fs::File::options().write(true).open(bench.files.at("young.css")).unwrap().set_modified(young).unwrap();
    for (name, size) in files.into_iter().chain([("link.css", 2_000), ("young.css", 2_000)]) {
        let path = format!("/{name}");
        let plain = request(&mut bench, "HEAD", &path, "");
        let response = ask_for_gzip_only(&mut bench, "GET", &path, "");
        assert_eq!((response.status, response.field("Content-Encoding")), (200, Some("gzip")), "{name}");
        assert_eq!(decode(&join_chunks(&response.body)), text(size).as_bytes(), "{name}");
        assert_eq!(
            (response.field("Vary"), response.field("Accept-Ranges")),
            (Some("Accept-Encoding"), None),
            "{name}"
        );
        let (tag, strong) = (response.field("ETag").unwrap().to_owned(), plain.field("ETag").unwrap());
        assert_eq!((tag.starts_with("W/"), tag.trim_start_matches("W/")), (true, strong.trim_start_matches("W/")));
        for field in ["Last-Modified", "Content-Type", "Cache-Control", "X-Content-Type-Options"] {
            assert_eq!(response.field(field), plain.field(field), "{name}");
        }
        assert_eq!(ask_for_gzip_only(&mut bench, "HEAD", &path, "").head, response.head, "{name}");
        let part = ask_for_gzip_only(&mut bench, "GET", &path, "Range: bytes=0-9\r\n");
        assert_eq!(part, response, "it has no ranges");
        let same = ask_for_gzip_only(&mut bench, "GET", &path, &format!("If-None-Match: {tag}\r\n"));
        assert_eq!((same.status, same.field("ETag"), same.field("Vary")), (304, Some(&*tag), Some("Accept-Encoding")));
        assert_eq!((same.field("Content-Type"), same.field("Cache-Control")), (None, Some("no-cache")));
        let failed = ask_for_gzip_only(&mut bench, "GET", &path, &format!("If-Match: {tag}\r\n"));
        assert_eq!(failed.status, 412, "{name}: it isn't the same bytes");
        let other = get_with(&mut bench, &path, "Accept-Encoding: identity;q=0, br\r\n");
        assert_eq!((other.status, other.field("Vary")), (406, Some("Accept-Encoding")), "{name}");
    }
    // A form of it is made meanwhile.
    assert_eq!(run_jobs(&mut bench), 2);
    let made = ask_for_gzip_only(&mut bench, "GET", "/x.css", "");
    assert_eq!((made.field("Transfer-Encoding"), decode(&made.body)), (None, text(50_000).into_bytes()));
    assert!(made.field("ETag").unwrap().starts_with('"') && made.field("Content-Length").is_some(), "{}", made.head);
}

#[test]
fn who_accepts_nothing_else_is_refused_what_may_not_be_compressed_or_can_not_be_now() {
    let no_transform = Settings { cache_control: "no-transform".to_owned(), ..Settings::default() };
    for (settings, route) in [(Settings::default(), false), (no_transform, true)] {
        let mut bench = bench(Settings::default());
        old_file(&bench, "x.css", &text(5_000));
        serve_compressing(&mut bench, settings, route);
        let lines = "If-None-Match: *\r\n";
        for lines in ["", lines] {
            assert_eq!(ask_for_gzip_only(&mut bench, "GET", "/x.css", lines).status, 406);
        }
        assert_eq!(run_jobs(&mut bench), 0);
    }
    let mut bench = compressing(Settings::default());
    old_file(&bench, "x.css", &text(5_000));
    bench.shared.http.encoders.limit_memory(0);
    let busy = ask_for_gzip_only(&mut bench, "GET", "/x.css", "");
    assert_eq!((busy.status, busy.field("Retry-After"), busy.field("Vary")), (503, Some("5"), Some("Accept-Encoding")));
    assert_eq!(ask_for_gzip_only(&mut bench, "HEAD", "/x.css", "").status, 200, "it needs none");
}

#[test]
fn a_file_that_becomes_shorter_while_it_is_compressed_on_its_way_is_cut() {
    let mut bench = compressing(Settings { watch: false, ..Settings::default() });
    old_file(&bench, "x.png", &text(4_000_000));
    let refusing = "Accept-Encoding: identity;q=0, gzip\r\n";
    bench.send(format!("GET /x.png HTTP/1.1\r\nHost: x\r\n{refusing}\r\n"));
    assert_eq!(bench.phase(), "Sending");
    fs::File::options().write(true).open(bench.files.at("x.png")).unwrap().set_len(100_000).unwrap();
    let response = received(&mut bench);
    assert_eq!(response.status, 200);
    assert!(!response.body.ends_with(b"0\r\n\r\n"), "it looks complete");
}

#[test]
fn listings_are_compressed_for_who_accepts_nothing_else() {
    for (compress, status) in [(true, 200), (false, 406)] {
        let mut bench = Bench::new();
        bench.files.directory("d");
        serve_compressing(&mut bench, Settings { listing: true, ..Settings::default() }, compress);
        bench.send("GET /d/ HTTP/1.1\r\nHost: x\r\nAccept-Encoding: identity;q=0, gzip\r\n\r\n");
        bench.run_jobs();
        let response = bench.responses();
        assert_eq!(statuses(&response), [status], "{response}");
        assert_eq!(response.contains("\r\nContent-Encoding: gzip\r\n"), compress, "{response}");
    }
}

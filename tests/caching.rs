//! The cache of proxied responses, case by case, over real sockets. `tests/conformance/caching.txt`
//! has the cases and describes their format.
//!
//! One origin answers what each step of a case says, and notes what it was asked. The path of a
//! request names the case, and a field of it the step. Cases run beside each other.

mod support;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use support::{Client, Response, Root, Script, Server, miod, read_head};

// ---- Cases

#[derive(Clone, Default, Debug)]
struct Case {
    id: String,
    section: String,
    /// The text that replaces `{x}`.
    variant: String,
    steps: Vec<Step>,
    /// Why it isn't to pass.
    differs: Option<String>,
}

#[derive(Clone, Default, Debug)]
struct Step {
    method: String,
    path: String,
    fields: Vec<Field>,
    early: Vec<(u16, Vec<Field>)>,
    origin: Origin,
    content: String,
    wants: Vec<Want>,
}

type Field = (String, String);

#[derive(Clone, Debug)]
enum Origin {
    Close,
    Response(u16, Vec<Field>),
}

impl Default for Origin {
    fn default() -> Self {
        Self::Response(200, Vec::new())
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Want {
    /// The number of the step whose response it is, from 1.
    Hit(usize),
    Stale(usize),
    Validated(usize),
    Forwarded,
    Asked,
    /// One of these.
    Status(Vec<u16>),
    Body(String),
    Field(Field),
    AtLeast(String, u64),
    NoField(Field),
    Request(Field),
    Interim(u16),
}

/// A date as it is in fields, so many seconds from `now`.
fn date(now: SystemTime, offset: i64) -> String {
    let distance = Duration::from_secs(offset.unsigned_abs());
    httpdate::fmt_http_date(if offset < 0 { now - distance } else { now + distance })
}

/// The text with all dates in it.
fn with_dates(text: &str, now: SystemTime) -> String {
    let mut parts = text.split("{now");
    let mut filled = parts.next().unwrap().to_owned();
    for part in parts {
        let (offset, rest) = part.split_once('}').unwrap();
        filled += &date(now, if offset.is_empty() { 0 } else { offset.parse().unwrap() });
        filled += rest;
    }
    filled
}

fn field(text: &str) -> Field {
    let (name, value) = text.split_once(':').unwrap_or((text, ""));
    (name.trim().to_owned(), value.strip_prefix(' ').unwrap_or(value).to_owned())
}

/// The words before the first ` | `, and the fields after it.
fn words_and_fields(rest: &str) -> (Vec<&str>, Vec<Field>) {
    let mut parts = rest.split('|');
    let words = parts.next().unwrap().split_whitespace().collect();
    // The blanks around | aren't part of a value; others are.
    let part = |part: &str| part.strip_prefix(' ').map(|part| part.strip_suffix(' ').unwrap_or(part)).map(field);
    (words, parts.map(|text| part(text).expect("a field")).collect())
}

impl Want {
    fn of(word: &str, rest: &str) -> Vec<Self> {
        match word {
            "want" => rest.split(' ').map(Self::source).collect(),
            "status" => vec![Self::Status(rest.split(' ').map(|status| status.parse().unwrap()).collect())],
            "body" => vec![Self::Body(rest.to_owned())],
            "field" => vec![match rest.split_once(" >= ") {
                Some((name, least)) => Self::AtLeast(name.to_owned(), least.parse().unwrap()),
                None => Self::Field(field(rest)),
            }],
            "nofield" => vec![Self::NoField(field(rest))],
            "request" => vec![Self::Request(field(rest))],
            "interim" => vec![Self::Interim(rest.parse().unwrap())],
            _ => panic!("{word} {rest}"),
        }
    }

    /// Where a response comes from.
    fn source(word: &str) -> Self {
        let (word, step) = word.split_once('=').map_or((word, 1), |(word, step)| (word, step.parse().unwrap()));
        match word {
            "hit" => Self::Hit(step),
            "stale" => Self::Stale(step),
            "validated" => Self::Validated(step),
            "forwarded" => Self::Forwarded,
            "asked" => Self::Asked,
            _ => panic!("want {word}"),
        }
    }
}

/// The case that these lines describe.
fn parse_case(lines: &[String]) -> Case {
    let mut case = Case::default();
    for line in lines {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "case" => {
                let words: Vec<&str> = rest.split(' ').collect();
                assert!(words.len() == 3 && ["must", "should"].contains(&words[1]), "{line}");
                (case.id, case.section) = (words[0].to_owned(), format!("{} {}", words[1], words[2]));
            }
            "differs" => case.differs = Some(rest.to_owned()),
            "ask" => {
                let (words, fields) = words_and_fields(rest);
                let is_path = |word: &&&str| word.starts_with(['/', '?']);
                let method = words.iter().find(|word| !is_path(word)).map_or("GET", |word| word);
                let path = words.iter().find(is_path).map_or("", |word| word);
                let content = format!("step {} of {}", case.steps.len() + 1, case.id);
                let (method, path) = (method.to_owned(), path.to_owned());
                case.steps.push(Step { method, path, fields, content, ..Step::default() });
            }
            _ => {
                let step = case.steps.last_mut().expect("a step");
                match word {
                    "early" => {
                        let (words, fields) = words_and_fields(rest);
                        step.early.push((words[0].parse().unwrap(), fields));
                    }
                    "origin" if rest == "close" => step.origin = Origin::Close,
                    "origin" => {
                        let (words, fields) = words_and_fields(rest);
                        step.origin = Origin::Response(words[0].parse().unwrap(), fields);
                    }
                    "content" => step.content = rest.to_owned(),
                    _ => step.wants.extend(Want::of(word, rest)),
                }
            }
        }
    }
    case
}

/// All cases, with one for each text of `each`.
fn cases(now: SystemTime) -> Vec<Case> {
    let mut cases = Vec::new();
    let text = include_str!("conformance/caching.txt");
    for block in text.split("\ncase ").skip(1) {
        let lines: Vec<&str> = block.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        let each = lines.iter().find_map(|line| line.strip_prefix("each "));
        let separator = if each.is_some_and(|each| each.contains(" !! ")) { " !! " } else { " | " };
        for variant in each.map_or(vec![""], |each| each.split(separator).collect()) {
            let (first, second) = variant.split_once(" :: ").unwrap_or((variant, ""));
            let filled =
                lines.iter().enumerate().filter(|(_, line)| !line.starts_with("each ")).map(|(number, line)| {
                    let line = if number == 0 { format!("case {line}") } else { (*line).to_owned() };
                    let target = format!("/{}", cases.len());
                    let line = line.replace("{x1}", first).replace("{x2}", second).replace("{x}", variant);
                    let id = lines[0].split(' ').next().unwrap();
                    with_dates(&line.replace("{target}", &target).replace("{id}", id), now)
                });
            let case = parse_case(&filled.collect::<Vec<_>>());
            cases.push(Case { variant: with_dates(variant, now), ..case });
        }
    }
    cases
}

// ---- The origin

/// The heads of the requests that it got, by case and step.
type Asked = Arc<Mutex<HashMap<(usize, usize), Vec<String>>>>;

/// The value of a field in the head of a request, with all its lines.
fn value(head: &str, name: &str) -> Option<String> {
    let lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    let values: Vec<_> =
        lines.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect();
    (!values.is_empty()).then(|| values.join(", "))
}

fn origin(cases: Arc<Vec<Case>>, now: SystemTime) -> (Script, Asked) {
    let asked = Asked::default();
    let noted = Arc::clone(&asked);
    let script = Script::parallel(move |_, stream| {
        loop {
            let head = read_head(stream);
            let target = head.split(' ').nth(1).unwrap_or_default();
            let Ok(case) = target.trim_start_matches('/').split(['/', '?']).next().unwrap().parse::<usize>() else {
                return;
            };
            let Some(step) = value(&head, "Step").and_then(|step| step.parse::<usize>().ok()) else { return };
            let length = value(&head, "Content-Length").map_or(0, |length| length.parse().unwrap());
            if stream.read_exact(&mut vec![0; length]).is_err() {
                return;
            }
            noted.lock().unwrap().entry((case, step)).or_default().push(head.clone());
            if !answer(stream, &head, &cases[case].steps[step - 1], now) {
                return;
            }
        }
    });
    (script, asked)
}

/// Writes the response of a step. Returns whether the connection persists.
fn answer(stream: &mut TcpStream, head: &str, step: &Step, now: SystemTime) -> bool {
    let Origin::Response(mut status, fields) = step.origin.clone() else { return false };
    let is_conditional = ["If-None-Match", "If-Modified-Since"].iter().any(|name| value(head, name).is_some());
    if status == 304 && !is_conditional {
        status = 500;
    }
    let mut out = String::new();
    for (status, fields) in &step.early {
        out += &format!("HTTP/1.1 {status} Early\r\n{}\r\n", lines(fields));
    }
    out += &format!("HTTP/1.1 {status} Status\r\n{}", lines(&fields));
    let has = |name: &str| fields.iter().any(|(field, _)| field.eq_ignore_ascii_case(name));
    if !has("Date") {
        out += &format!("Date: {}\r\n", date(now, 0));
    }
    let has_content = !matches!(status, 204 | 304);
    if has_content && !has("Content-Length") {
        out += &format!("Content-Length: {}\r\n", step.content.len());
    }
    out += "\r\n";
    if has_content && !head.starts_with("HEAD ") {
        out += &step.content;
    }
    stream.write_all(out.as_bytes()).is_ok()
}

fn lines(fields: &[Field]) -> String {
    fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect()
}

// ---- Running

/// What a client got for a step, and what the origin was asked for it.
struct Got {
    interim: Vec<u16>,
    response: Response,
    asked: Vec<String>,
}

/// Sends a request. Each step has its own connection, so that a failure is that of one step.
fn ask(server: &Server, number: usize, step_number: usize, step: &Step, asked: &Asked) -> Got {
    let mut client = Client::connect(server.address());
    let (method, path, fields) = (&step.method, &step.path, lines(&step.fields));
    let content = if ["GET", "HEAD", "OPTIONS"].contains(&&**method) { "" } else { "Content-Length: 3\r\n\r\nabc" };
    let end = if content.is_empty() { "\r\n" } else { content };
    let head = format!("{method} /{number}{path} HTTP/1.1\r\nHost: cache.example\r\nStep: {step_number}\r\n{fields}");
    client.send(format!("{head}{end}"));
    let mut interim = Vec::new();
    loop {
        let response = client.response_to(method);
        if response.status >= 200 {
            let asked = asked.lock().unwrap().get(&(number, step_number)).cloned().unwrap_or_default();
            return Got { interim, response, asked };
        }
        interim.push(response.status);
    }
}

/// What the status and content are for each source of a response.
fn expected(case: &Case, source: usize) -> (u16, &str) {
    let step = &case.steps[source - 1];
    match &step.origin {
        Origin::Response(status, _) => (*status, &step.content),
        Origin::Close => (0, ""),
    }
}

/// What is wrong with a step, if anything is.
fn verdict(case: &Case, number: usize, got: &Got) -> Result<(), String> {
    let step = &case.steps[number - 1];
    let has = |find: fn(&Want) -> bool| step.wants.iter().any(find);
    let response = &got.response;
    let told = response.field("Cache-Status").unwrap_or_default();
    let is_hit = told.split(';').any(|part| part.trim() == "hit");
    let mut source = None;
    for want in &step.wants {
        let right = match want {
            Want::Hit(of) => {
                source = Some(*of);
                got.asked.is_empty() && is_hit
            }
            Want::Stale(of) => {
                source = Some(*of);
                is_hit
            }
            Want::Validated(of) => {
                source = Some(*of);
                let conditional = |head: &String| value(head, "If-None-Match").or(value(head, "If-Modified-Since"));
                got.asked.iter().any(|head| conditional(head).is_some()) && !is_hit
            }
            Want::Forwarded => {
                source = Some(number);
                got.asked.len() == 1 && !is_hit
            }
            Want::Asked => !got.asked.is_empty() && !is_hit,
            Want::Status(statuses) => statuses.contains(&response.status),
            Want::Body(body) => response.text() == *body,
            Want::Field((name, value)) => response.field(name) == Some(value.trim()),
            Want::AtLeast(name, least) => {
                response.field(name).and_then(|value| value.parse::<u64>().ok()).is_some_and(|value| value >= *least)
            }
            Want::NoField((name, value)) => {
                !response.field(name).is_some_and(|found| value.is_empty() || found == value.trim())
            }
            Want::Request((name, value_of)) => {
                got.asked.first().and_then(|head| value(head, name)).as_deref() == Some(value_of)
            }
            Want::Interim(status) => got.interim.contains(status),
        };
        if !right {
            return Err(format!("it isn't {want:?}"));
        }
    }
    let Some(source) = source else { return Ok(()) };
    let (status, content) = expected(case, source);
    if !has(|want| matches!(want, Want::Status(_))) && response.status != status {
        return Err(format!("the status is {}, not {status}", response.status));
    }
    let has_content = step.method != "HEAD" && !matches!(response.status, 204 | 206 | 304 | 416);
    if has_content && !has(|want| matches!(want, Want::Body(_))) && response.text() != content {
        return Err(format!("the content is {:?}, not {content:?}", response.text()));
    }
    Ok(())
}

/// Runs a case. Returns what is wrong.
fn run(server: &Server, number: usize, case: &Case, asked: &Asked) -> Result<(), String> {
    let mut way = String::new();
    for (at, step) in case.steps.iter().enumerate() {
        let got = ask(server, number, at + 1, step, asked);
        way += &format!("\n  {}: asked {:?}\n     got {:?}", at + 1, got.asked, got.response.head);
        verdict(case, at + 1, &got).map_err(|why| format!("step {}: {why}{way}", at + 1))?;
    }
    Ok(())
}

#[test]
fn the_cache_does_what_a_shared_cache_does() {
    let now = SystemTime::now();
    let cases = Arc::new(cases(now));
    assert!(cases.len() > 250, "{}", cases.len());
    let (origin, asked) = origin(Arc::clone(&cases), now);
    let root = Root::new();
    let route =
        format!("[[host.route]]\npath = \"/\"\nproxy = [\"{}\"]\ncache = {{ set-cookie = true }}\n", origin.url(""));
    root.file("miod.toml", format!("bind = \"127.0.0.1:0\"\n[[host]]\n{route}"));
    let mut command = miod();
    command.arg("-c").arg(root.at("miod.toml"));
    let server = Server::run(command);
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    let Some(case) = cases.get(number) else { return };
                    let why = match (run(&server, number, case, &asked), &case.differs) {
                        (Err(why), None) => why,
                        (Ok(()), Some(why)) => format!("it passes, but it was to differ: {why}"),
                        _ => continue,
                    };
                    let Case { id, section, variant, .. } = case;
                    wrong.lock().unwrap().push(format!("{id} ({section}) {variant:?}: {why}"));
                }
            });
        }
    });
    let mut wrong = wrong.into_inner().unwrap();
    wrong.sort();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

//! Request smuggling: requests that two parsers may cut apart differently, sent through the proxy.
//!
//! Each case is one connection with a request that is odd in one or more ways, whose content
//! holds another request, the *marker*, and after it a request of its own, the *next*. What
//! becomes of a case follows from the parts that it is made of:
//!
//! - it is refused, and the upstream sees nothing of it and of what follows,
//! - or its content is malformed, and the upstream sees no more than its beginning,
//! - or it is whole: the upstream sees it once, with this content, and then the next.
//!
//! The marker is never a request, unless the message has no content. An upstream of our own
//! accepts only one way to write a request (no parser can misread it) and notes what it gets;
//! real servers tell by their logs. All cases come from a fixed seed.

mod support;

use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use support::upstreams::{Kind, Upstream};
use support::{Client, Response, Root, Script, Server, miod};

// ---- Cases

/// What becomes of a request. Of several parts the first in this order decides.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Fate {
    /// The upstream sees nothing of it.
    Refused,
    /// The upstream sees the beginning of it, at most, and no end.
    Cut,
    /// This part doesn't decide it, but the client and the upstream must agree.
    Agreed,
    /// The upstream sees it, once and completely.
    Whole,
}
use Fate::{Agreed, Cut, Refused, Whole};

struct Case {
    bytes: Vec<u8>,
    fate: Fate,
    /// The content, if it is whole.
    content: Vec<u8>,
    /// It has no content, so that the marker is a request.
    marker_follows: bool,
}

/// The places of the number of a case in the texts below, and of the marker's length. Those of
/// what comes before a path, and of the upstream's authority, are `{b}` and `{a}`.
const NUMBER: &str = "{n}";
const LENGTH: &str = "{l}";
const MARKER: &str = "GET {b}/marker/{n} HTTP/1.1\r\nHost: marker\r\n\r\n";
const NEXT: &str = "GET {b}/next/{n} HTTP/1.1\r\nHost: next\r\nConnection: close\r\n\r\n";

/// Request lines, without the final CRLF.
const LINES: &[(&str, Fate)] = &[
    ("POST {b}/case/{n} HTTP/1.1", Whole),
    ("GET {b}/case/{n} HTTP/1.1", Whole),
    ("PUT {b}/case/{n} HTTP/1.1", Whole),
    ("POST {b}/case/{n}?a=b%0d%0a HTTP/1.1", Whole),
    ("\r\nPOST {b}/case/{n} HTTP/1.1", Whole),
    ("POST http://{a}/case/{n} HTTP/1.1", Whole),
    // No name server is asked for so long a label.
    (
        "POST http://a-name-of-more-letters-than-a-label-can-have-which-are-sixty-three.invalid/case/{n} HTTP/1.1",
        Agreed,
    ),
    ("POST HTTP://localhost:80/case/{n} HTTP/1.1", Agreed),
    ("POST {b}//case/{n} HTTP/1.1", Agreed),
    ("POST {b}/x/../case/{n} HTTP/1.1", Agreed),
    ("POST {b}/x/%2e%2e/case/{n} HTTP/1.1", Agreed),
    ("POST {b}/%00/case/{n} HTTP/1.1", Agreed),
    ("POST {b}/\\..\\case/{n} HTTP/1.1", Agreed),
    ("POST {b}/case/{n} HTTP/1.0", Agreed),
    ("POST {b}/case/{n} HTTP/1.2", Agreed),
    ("\nPOST {b}/case/{n} HTTP/1.1", Agreed),
    ("POST {b}/case/{n}", Refused),
    ("POST {b}/case/{n} ", Refused),
    ("POST {b}/case/{n} HTTP/0.9", Refused),
    ("POST {b}/case/{n} HTTP/2.0", Refused),
    ("POST {b}/case/{n} HTTP/1.1 ", Refused),
    ("POST {b}/case/{n} HTTP/11", Refused),
    ("POST {b}/case/{n} HTTP/1.10", Refused),
    ("POST {b}/case/{n} HTTP/+1.1", Refused),
    ("POST {b}/case/{n} http/1.1", Refused),
    ("POST  {b}/case/{n} HTTP/1.1", Refused),
    ("POST {b}/case/{n}  HTTP/1.1", Refused),
    ("POST\t{b}/case/{n} HTTP/1.1", Refused),
    ("POST {b}/case/{n}\tHTTP/1.1", Refused),
    (" POST {b}/case/{n} HTTP/1.1", Refused),
    ("POST {b}/case/{n} x HTTP/1.1", Refused),
    ("POST {b}/case/{n}\r HTTP/1.1", Refused),
    ("POST {b}/ca\0se/{n} HTTP/1.1", Refused),
    ("POST {b}/case/{n} HTTP/1.1\rX: y", Refused),
    ("P(ST {b}/case/{n} HTTP/1.1", Refused),
    ("POST case/{n} HTTP/1.1", Refused),
    ("POST * HTTP/1.1", Refused),
    (": {b}/case/{n} HTTP/1.1", Refused),
];

/// Lines of the head that don't tell the framing.
const FIELDS: &[(&str, Fate)] = &[
    ("", Whole),
    ("X: y\r\n", Whole),
    ("X:\r\n", Whole),
    ("X: \u{e4}\r\n", Whole),
    ("X:\ty\t\r\n", Whole),
    ("Expect: 100-continue\r\n", Whole),
    ("Connection: keep-alive, x\r\nX: y\r\n", Whole),
    ("Connection: Content-Length, Transfer-Encoding, Host\r\n", Whole),
    ("Proxy-Connection: close\r\nKeep-Alive: timeout=1\r\n", Whole),
    ("TE: chunked\r\nTrailer: Content-Length\r\n", Whole),
    ("Content_Length: 0\r\nTransfer_Encoding: x\r\n", Whole),
    ("X-Content-Length: 0\r\nContent-Encoding: chunked\r\n", Whole),
    ("Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n", Agreed),
    ("Upgrade: websocket\r\nConnection: Upgrade\r\n", Agreed),
    ("Expect: 200-ok\r\n", Agreed),
    ("X-Forwarded-For: \"\r\nForwarded: for=\"\r\nVia: \"\r\n", Whole),
    (" X: y\r\n", Refused),
    ("X: y\r\n z\r\n", Refused),
    ("X: y\r\n\tTransfer-Encoding: chunked\r\n", Refused),
    ("X: y\r\n \r\n", Refused),
    ("X : y\r\n", Refused),
    ("X\t: y\r\n", Refused),
    ("X\u{b}: y\r\n", Refused),
    (": y\r\n", Refused),
    ("X\r\n", Refused),
    ("X y: z\r\n", Refused),
    ("X\u{e4}: z\r\n", Refused),
    ("X\0: z\r\n", Refused),
    ("X: y\0z\r\n", Refused),
    ("X: y\rz\r\n", Refused),
    ("X: y\r\r\n", Refused),
    ("X: y\rContent-Length: 0\r\n", Refused),
    ("X: y\nContent-Length: 0\r\n", Refused),
    ("X: y\n", Refused),
    ("\rX: y\r\n", Refused),
    ("X: \u{7f}\r\n", Refused),
    ("X: \u{1}\r\n", Refused),
    ("Host: other\r\n", Refused),
    ("Host: localhost\r\n", Refused),
    ("HOST:\r\n", Refused),
];

/// Field lines about the framing whose reading isn't unique, or that no recipient may accept.
/// The content is the marker.
const BAD_FRAMINGS: &[&str] = &[
    "Content-Length: +{l}\r\n",
    "Content-Length: -{l}\r\n",
    "Content-Length: {l}, {l}\r\n",
    "Content-Length: {l},\r\n",
    "Content-Length: ,{l}\r\n",
    "Content-Length: {l} {l}\r\n",
    "Content-Length: 0 {l}\r\n",
    "Content-Length: 0x2d\r\n",
    "Content-Length: {l}.0\r\n",
    "Content-Length: {l}e0\r\n",
    "Content-Length: {l};x\r\n",
    "Content-Length: \"{l}\"\r\n",
    "Content-Length: '{l}'\r\n",
    "Content-Length: _{l}\r\n",
    "Content-Length: \r\n",
    "Content-Length: \u{b}{l}\r\n",
    "Content-Length: {l}\u{c}\r\n",
    "Content-Length: {l}\0\r\n",
    "Content-Length: \u{a0}{l}\r\n",
    "Content-Length: 184467440737095516{l}\r\n",
    "Content-Length: 18446744073709551616\r\n",
    "Content-Length: 99999999999999999999999999999999999999\r\n",
    "Content-Length: {l}\r\nContent-Length: {l}\r\n",
    "Content-Length: {l}\r\nContent-Length: 0\r\n",
    "Content-Length: 0\r\ncontent-length: {l}\r\n",
    "Content-Length: {l}\r\nContent-Length: x\r\n",
    "Content-Length: {l}\r\nContent-Length:\r\n",
    "Content-Length : {l}\r\n",
    "Content-Length\t: {l}\r\n",
    "Content-Length\r: {l}\r\n",
    "Content-Length\0: {l}\r\n",
    "Content-Length {l}\r\n",
    "Content Length: {l}\r\n",
    "X: y\r\n Content-Length: {l}\r\n",
    "Content-Length:\r\n {l}\r\n",
    "Content-Length: {l}\r\n 0\r\n",
    "Content-Length: {l}\nX: y\r\n",
    "Content-Length: {l}\rX: y\r\n",
    "X: y\nContent-Length: {l}\r\n",
    "X: y\rContent-Length: {l}\r\n",
    "Content-Length: {l}\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked\r\nContent-Length: {l}\r\n",
    "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
    "Content-Length: {l}\r\nTransfer-Encoding: identity\r\n",
    "Content-Length: {l}\r\nTransfer-Encoding:\r\n",
    "Content-Length: {l}\r\nTransfer-Encoding : chunked\r\n",
    "Content-Length: {l}\r\nTransfer-Encoding\0: chunked\r\n",
    "Content-Length: {l}\r\nTransfer-Encoding\r\n: chunked\r\n",
    "Content-Length: {l}\r\n Transfer-Encoding: chunked\r\n",
    "Content-Length: {l}\r\nX: y\nTransfer-Encoding: chunked\r\n",
    "Content-Length: {l}\r\nX: y\rTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: xchunked\r\n",
    "Transfer-Encoding: chunkedx\r\n",
    "Transfer-Encoding: chunk\r\n",
    "Transfer-Encoding: chunked, chunked\r\n",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n",
    "Transfer-Encoding: identity, chunked\r\n",
    "Transfer-Encoding: chunked, identity\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Transfer-Encoding: gzip\r\n",
    "Transfer-Encoding: identity\r\n",
    "Transfer-Encoding:\r\n",
    "Transfer-Encoding: chunked;q=1\r\n",
    "Transfer-Encoding: chunked,\r\n",
    "Transfer-Encoding: ,chunked\r\n",
    "Transfer-Encoding: \"chunked\"\r\n",
    "Transfer-Encoding: \u{b}chunked\r\n",
    "Transfer-Encoding: chunked\u{b}\r\n",
    "Transfer-Encoding: chunked\0\r\n",
    "Transfer-Encoding: ch\rnked\r\n",
    "Transfer-Encoding: ch\u{fc}nked\r\n",
    "Transfer-Encoding:\r\n chunked\r\n",
    "Transfer-Encoding: chunked\r\n x\r\n",
    "Transfer-Encoding : chunked\r\n",
    "Transfer-Encoding\t: chunked\r\n",
    "Transfer Encoding: chunked\r\n",
    "Transfer-Encoding: chunked\nX: y\r\n",
    "X: y\nTransfer-Encoding: chunked\r\n",
    "X: y\r\n\nTransfer-Encoding: chunked\r\n",
];

/// Field lines with the content that they announce, and what is the content.
const FRAMINGS: &[(&str, &str, &str, Fate)] = &[
    ("Content-Length: {l}\r\n", MARKER, MARKER, Whole),
    ("content-length:{l}\r\n", MARKER, MARKER, Whole),
    ("Content-Length: \t {l} \t\r\n", MARKER, MARKER, Whole),
    ("Content-Length: 000{l}\r\n", MARKER, MARKER, Whole),
    // None at all: the marker is a request of its own.
    ("", MARKER, "", Whole),
    ("Content-Length: 0\r\n", MARKER, "", Whole),
    ("Content-Length: 000\r\n", MARKER, "", Whole),
];

/// Spellings of chunked that mean it.
const CHUNKED: &[&str] = &[
    "Transfer-Encoding: chunked\r\n",
    "transfer-encoding:CHUNKED\r\n",
    "Transfer-Encoding: \tChunked \t\r\n",
    "TRANSFER-ENCODING: chunkeD\r\n",
];

/// Contents in chunks. `{h}` is the marker's length in hexadecimal.
const CHUNKS: &[(&str, Fate)] = &[
    ("{h}\r\n{m}\r\n0\r\n\r\n", Whole),
    ("000{h}\r\n{m}\r\n000\r\n\r\n", Whole),
    ("{h};x\r\n{m}\r\n0;x=y\r\n\r\n", Whole),
    ("{h};x=\"y;z\"\r\n{m}\r\n0\r\nX: y\r\n\r\n", Whole),
    ("{h}\r\n{m}\r\n0\r\nContent-Length: 0\r\nTransfer-Encoding: x\r\nHost: y\r\n\r\n", Agreed),
    ("{h} ;x\r\n{m}\r\n0\r\n\r\n", Agreed),
    ("{h} \r\n{m}\r\n0\r\n\r\n", Agreed),
    ("{h}\t\r\n{m}\r\n0\r\n\r\n", Agreed),
    ("{h};\r\n{m}\r\n0\r\n\r\n", Agreed),
    ("{h};x=\"\r\n{m}\r\n0\r\n\r\n", Agreed),
    (" {h}\r\n{m}\r\n0\r\n\r\n", Cut),
    ("+{h}\r\n{m}\r\n0\r\n\r\n", Cut),
    ("-{h}\r\n{m}\r\n0\r\n\r\n", Cut),
    ("0x{h}\r\n{m}\r\n0\r\n\r\n", Cut),
    ("{h}h\r\n{m}\r\n0\r\n\r\n", Cut),
    ("{h}_\r\n{m}\r\n0\r\n\r\n", Cut),
    ("{h}\0\r\n{m}\r\n0\r\n\r\n", Cut),
    ("{h} 0\r\n{m}\r\n0\r\n\r\n", Cut),
    ("{h},{h}\r\n{m}\r\n0\r\n\r\n", Cut),
    ("{h}\n{m}\r\n0\r\n\r\n", Cut),
    ("{h}\r{m}\r\n0\r\n\r\n", Cut),
    ("{h}\r\r\n{m}\r\n0\r\n\r\n", Cut),
    ("{h};x\n{m}\r\n0\r\n\r\n", Cut),
    ("{h};x\rxx\r\n{m}\r\n0\r\n\r\n", Cut),
    ("{h};x=\"\n\"\r\n{m}\r\n0\r\n\r\n", Cut),
    ("{h};\0\r\n{m}\r\n0\r\n\r\n", Cut),
    ("{h}\r\n{m}0\r\n\r\n", Cut),
    ("{h}\r\n{m}\n0\r\n\r\n", Cut),
    ("{h}\r\n{m}\rx0\r\n\r\n", Cut),
    ("{h}\r\n{m}xx0\r\n\r\n", Cut),
    ("{h}\r\n{m}\r\n\r\n0\r\n\r\n", Cut),
    ("{h}\r\n{m}\r\n-0\r\n\r\n", Cut),
    ("{h}\r\n{m}\r\n0x0\r\n\r\n", Cut),
    ("{h}\r\n{m}\r\n0\n\n", Cut),
    ("{h}\r\n{m}\r\n0\r\n\n", Cut),
    ("{h}\r\n{m}\r\n0\r\n", Cut),
    ("{h}\r\n{m}\r\n0\r\n \r\n\r\n", Cut),
    ("{h}\r\n{m}\r\n0\r\nX : y\r\n\r\n", Cut),
    ("{h}\r\n{m}\r\n0\r\nX\r\n\r\n", Cut),
    ("{h}\r\n{m}\r\n0\r\nX: y\r\n z\r\n\r\n", Cut),
    ("{h}\r\n{m}\r\n0\r\nX: y\nY: z\r\n\r\n", Cut),
    ("{h}\r\n{m}\r\n0\r\nX: y\0\r\n\r\n", Cut),
    ("\r\n{m}\r\n0\r\n\r\n", Cut),
    ("g\r\n{m}\r\n0\r\n\r\n", Cut),
    (";x\r\n{m}\r\n0\r\n\r\n", Cut),
    ("1000000000000000{h}\r\n{m}\r\n0\r\n\r\n", Cut),
    ("ffffffffffffffff\r\n{m}\r\n0\r\n\r\n", Cut),
    ("fffffffffffffffffffffffffffffff\r\n{m}\r\n0\r\n\r\n", Cut),
    ("8000000000000000\r\n{m}\r\n0\r\n\r\n", Cut),
];

/// Random numbers from a seed (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }

    fn of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}

/// How the upstream is named to the proxy.
struct Way {
    /// What comes before a path.
    base: String,
    /// In the absolute form.
    authority: String,
}

impl Way {
    /// To a reverse proxy, which knows its upstream.
    fn reverse() -> Self {
        Self { base: String::new(), authority: "localhost".to_owned() }
    }

    /// To a forward proxy.
    fn forward(upstream: SocketAddr) -> Self {
        Self { base: format!("http://{upstream}"), authority: upstream.to_string() }
    }

    fn fill(&self, text: &str) -> String {
        text.replace("{b}", &self.base).replace("{a}", &self.authority)
    }
}

/// How a message is framed: the field lines, the bytes after the head, the content.
struct Framed {
    lines: String,
    bytes: String,
    content: String,
    fate: Fate,
}

/// The number of framings.
const fn framings() -> usize {
    FRAMINGS.len() + 2 * BAD_FRAMINGS.len() + CHUNKS.len() * CHUNKED.len()
}

fn framing(number: usize, way: &Way) -> Framed {
    let text = |template: &str| {
        let chunk = way.fill(&template.replace("{m}", MARKER));
        // The numbers of cases have five digits: the length is the same for each.
        let length = way.fill(MARKER).replace(NUMBER, "00000").len();
        chunk.replace(LENGTH, &length.to_string()).replace("{h}", &format!("{length:x}"))
    };
    let chunked = CHUNKS[0].0;
    if let Some((lines, bytes, content, fate)) = FRAMINGS.get(number) {
        return Framed { lines: text(lines), bytes: text(bytes), content: text(content), fate: *fate };
    }
    let number = number - FRAMINGS.len();
    if number < 2 * BAD_FRAMINGS.len() {
        // What follows may be taken for chunks or not.
        let bytes = if number < BAD_FRAMINGS.len() { MARKER } else { chunked };
        let lines = BAD_FRAMINGS[number % BAD_FRAMINGS.len()];
        return Framed { lines: text(lines), bytes: text(bytes), content: String::new(), fate: Refused };
    }
    let number = number - 2 * BAD_FRAMINGS.len();
    let (bytes, fate) = CHUNKS[number / CHUNKED.len()];
    let lines = CHUNKED[number % CHUNKED.len()].to_owned();
    Framed { lines, bytes: text(bytes), content: text(MARKER), fate }
}

impl Case {
    /// A case of these parts.
    fn of(line: (&str, Fate), fields: (&str, Fate), framed: &Framed, order: usize, at: (usize, &Way)) -> Self {
        let mut parts = ["Host: localhost\r\n", fields.0, &*framed.lines];
        // A line that begins with white space continues the one before, and can't be the first.
        parts.rotate_left(order % 3);
        let head = format!("{}\r\n{}\r\n", line.0, parts.concat());
        let (number, way) = (format!("{:05}", at.0), at.1);
        let finish = |text: &str| way.fill(text).replace(NUMBER, &number).into_bytes();
        let bytes = [finish(&head), finish(&framed.bytes), finish(NEXT)].concat();
        let old = line.0.ends_with("HTTP/1.0");
        let mut fate = line.1.min(fields.1).min(framed.fate);
        if old && framed.fate != Refused && framed.lines.to_ascii_lowercase().contains("transfer") {
            fate = Refused; // HTTP/1.0 has no transfer codings.
        }
        let content = finish(&framed.content);
        Self { fate, marker_follows: framed.content.is_empty(), content, bytes }
    }
}

/// All cases, each with its number.
fn cases(way: &Way) -> Vec<Case> {
    let mut cases = Vec::new();
    let plain = framing(0, way);
    for line in LINES {
        for part in 0..3 {
            cases.push(Case::of(*line, FIELDS[0], &plain, part, (cases.len(), way)));
        }
    }
    for fields in FIELDS {
        for part in 0..3 {
            cases.push(Case::of(LINES[0], *fields, &plain, part, (cases.len(), way)));
        }
    }
    for number in 0..framings() {
        for part in 0..3 {
            cases.push(Case::of(LINES[0], FIELDS[0], &framing(number, way), part, (cases.len(), way)));
        }
    }
    let mut random = Random(0x5eed);
    for number in 0..2_000 {
        let (line, fields) = (*random.of(LINES), *random.of(FIELDS));
        // Most of the rest must be well-formed, or all cases are refused because of it.
        let line = if number % 4 < 2 || line.1 == Refused { LINES[number % 4] } else { line };
        let fields = if number % 3 == 0 { FIELDS[number % 11] } else { fields };
        let framed = framing(random.below(if number % 5 < 2 { framings() } else { FRAMINGS.len() }), way);
        cases.push(Case::of(line, fields, &framed, random.below(3), (cases.len(), way)));
    }
    cases
}

/// The same with a few other bytes.
fn mutated(first: usize) -> Vec<Case> {
    let (way, mut random) = (Way::reverse(), Random(0xbad));
    let mutated = (0..1_500).map(|number| {
        let framed = framing(if number % 2 == 0 { 0 } else { FRAMINGS.len() + 2 * BAD_FRAMINGS.len() }, &way);
        let mut case = Case::of(LINES[number % 5], FIELDS[number % 16], &framed, 0, (first + number, &way));
        mutate(&mut case, &mut random);
        case
    });
    mutated.collect()
}

/// Changes one to three bytes before the next request, but none of what tells the number of the
/// case. What it then is nobody says.
fn mutate(case: &mut Case, random: &mut Random) {
    const BYTES: &[u8] = b"\r\n\0 \t:;,+-0123456789afx/\x0b\x7f\x80\xff";
    for _ in 0..=random.below(3) {
        let find = |name: &[u8]| case.bytes.windows(name.len()).position(|window| window == name).unwrap();
        let (own, marker, next) = (find(b"case/"), find(b"marker/"), find(b"GET /next"));
        let at = random.below(next);
        if (own..=own + 10).contains(&at) || (marker..=marker + 12).contains(&at) {
            continue;
        }
        match random.below(3) {
            0 => case.bytes[at] = *random.of(BYTES),
            1 => case.bytes.insert(at, *random.of(BYTES)),
            _ => drop(case.bytes.remove(at)),
        }
    }
    (case.fate, case.marker_follows) = (Agreed, true);
}

/// Which request of which case a target is: `case/12`, `next/12` or `marker/12`.
fn tag(target: &str) -> Option<(&'static str, usize)> {
    ["case", "next", "marker"].into_iter().find_map(|kind| {
        let at = target.rfind(&format!("{kind}/"))? + kind.len() + 1;
        let digits = target[at..].bytes().take_while(u8::is_ascii_digit).count();
        Some((kind, target[at..at + digits].parse().ok()?))
    })
}

// ---- The upstream of our own

/// A request as the upstream got it.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Seen {
    target: String,
    /// None if the connection ended before the content.
    content: Option<Vec<u8>>,
}

/// Everything that an upstream saw, and what it couldn't accept.
#[derive(Default)]
struct Record {
    seen: Vec<Seen>,
    violations: Vec<String>,
}

fn strict_upstream() -> (Script, Arc<Mutex<Record>>) {
    let record = Arc::new(Mutex::new(Record::default()));
    let own = Arc::clone(&record);
    let script = Script::parallel(move |_, stream| {
        let mut stream = Bytes { stream, read: Vec::new() };
        loop {
            match take_request(&mut stream) {
                Ok(None) => return,
                Ok(Some(seen)) => {
                    let is_whole = seen.content.is_some();
                    let body = seen.target.clone();
                    own.lock().unwrap().seen.push(seen);
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                    if !is_whole || stream.stream.write_all(head.as_bytes()).is_err() {
                        return;
                    }
                }
                Err(why) => {
                    let text = String::from_utf8_lossy(&stream.read).into_owned();
                    own.lock().unwrap().violations.push(format!("{why}: {text:?}"));
                    return;
                }
            }
        }
    });
    (script, record)
}

/// A connection, and what was read of the current request.
struct Bytes<'a> {
    stream: &'a mut TcpStream,
    read: Vec<u8>,
}

impl Bytes<'_> {
    /// Exactly so many bytes; none if the connection ends before.
    fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).ok()?;
        self.read.extend_from_slice(&bytes);
        Some(bytes)
    }

    /// A line up to CRLF, without it.
    fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.extend(self.take(1)?);
        }
        line.truncate(line.len() - 2);
        // One byte is one character.
        Some(line.into_iter().map(char::from).collect())
    }
}

/// Takes a request in the only accepted spelling; none at the end of the connection.
fn take_request(from: &mut Bytes<'_>) -> Result<Option<Seen>, String> {
    from.read.clear();
    let Some(line) = from.line() else {
        return if from.read.is_empty() { Ok(None) } else { Err("the request line is cut".to_owned()) };
    };
    let words: Vec<&str> = line.split(' ').collect();
    let [method, target, "HTTP/1.1"] = words[..] else { return Err("no request line".to_owned()) };
    let clean = |text: &str| text.chars().all(|char| !char.is_ascii_control());
    if !is_token(method) || !target.starts_with('/') || !clean(target) {
        return Err("an odd request line".to_owned());
    }
    let mut fields: BTreeMap<String, Vec<String>> = BTreeMap::new();
    loop {
        let line = from.line().ok_or("the head is cut")?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or("a line without a colon")?;
        if !is_token(name) || !clean(&value.replace('\t', "")) {
            return Err(format!("an odd field {line:?}"));
        }
        // For some servers they are the same.
        fields.entry(name.to_ascii_lowercase().replace('_', "-")).or_default().push(value.trim().to_owned());
    }
    if fields.get("host").is_none_or(|hosts| hosts.len() != 1) {
        return Err("not one Host".to_owned());
    }
    let all = |name: &str| fields.get(name).cloned().unwrap_or_default();
    let content = match (&all("content-length")[..], &all("transfer-encoding")[..]) {
        ([], []) => Some(Vec::new()),
        ([length], []) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
            from.take(length.parse().map_err(|_| "an odd length")?)
        }
        ([], [coding]) if coding == "chunked" => take_chunks(from)?,
        _ => return Err("an ambiguous framing".to_owned()),
    };
    let target = target.to_owned();
    Ok(Some(Seen { target, content }))
}

/// RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// Content in the plainest chunked coding, without extensions or trailers.
fn take_chunks(from: &mut Bytes<'_>) -> Result<Option<Vec<u8>>, String> {
    let mut content = Vec::new();
    loop {
        let Some(line) = from.line() else { return Ok(None) };
        if line.is_empty() || !line.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(format!("an odd chunk {line:?}"));
        }
        let size = usize::from_str_radix(&line, 16).map_err(|error| error.to_string())?;
        let Some(bytes) = from.take(size + 2) else { return Ok(None) };
        if !bytes.ends_with(b"\r\n") {
            return Err("a chunk without its end".to_owned());
        }
        content.extend_from_slice(&bytes[..size]);
        if size == 0 {
            return Ok(Some(content));
        }
    }
}

// ---- Sending

/// Sends every so many of the cases, each on a connection of its own, and gives what came back.
fn send_all(cases: &[Case], every: usize, server: SocketAddr) -> Vec<Vec<u8>> {
    let next = AtomicUsize::new(0);
    let received: Vec<Mutex<Vec<u8>>> = cases.iter().map(|_| Mutex::default()).collect();
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(every, Ordering::SeqCst);
                    let Some(case) = cases.get(number) else { return };
                    let mut client = Client::connect(server);
                    // The server may have refused it before it has all.
                    let _ = client.stream.write_all(&case.bytes);
                    let _ = client.stream.shutdown(std::net::Shutdown::Write);
                    *received[number].lock().unwrap() = client.rest_or_reset().0;
                }
            });
        }
    });
    received.into_iter().map(|bytes| bytes.into_inner().unwrap()).collect()
}

/// The final responses on a connection, and what is left.
fn responses(mut received: &[u8]) -> (Vec<Response>, usize) {
    let mut responses = Vec::new();
    while let Some(response) = Response::parse(received, "GET", true) {
        received = &received[response.length..];
        if response.status >= 200 {
            responses.push(response);
        }
    }
    (responses, received.len())
}

/// What is wrong about a case, if anything is.
fn verdict(case: &Case, number: usize, received: &[u8], seen: &[&Seen]) -> Result<(), String> {
    let (responses, left) = responses(received);
    if left > 0 {
        return Err("the last response is cut".to_owned());
    }
    let passed: Vec<String> = responses.iter().filter(|response| response.status == 200).map(Response::text).collect();
    let whole: Vec<&str> = seen.iter().filter(|seen| seen.content.is_some()).map(|seen| seen.target.as_str()).collect();
    if passed != whole {
        return Err(format!("the client got {passed:?}, the upstream saw {whole:?}"));
    }
    if !case.marker_follows && seen.iter().any(|seen| tag(&seen.target).is_some_and(|(kind, _)| kind == "marker")) {
        return Err("the marker was a request".to_owned());
    }
    let mut expected = vec!["case"];
    expected.extend(case.marker_follows.then_some("marker"));
    expected.push("next");
    let kinds: Vec<_> = whole.iter().map(|target| tag(target)).collect();
    let statuses: Vec<u16> = responses.iter().map(|response| response.status).collect();
    match case.fate {
        Refused if !seen.is_empty() => Err(format!("it was to be refused, but the upstream saw {seen:?}")),
        Cut if !whole.is_empty() => Err(format!("it was to be cut, but the upstream saw {seen:?}")),
        Refused | Cut if statuses.len() > 1 => Err(format!("more responses than one: {statuses:?}")),
        Whole if kinds != expected.iter().map(|kind| Some((*kind, number))).collect::<Vec<_>>() => {
            Err(format!("it was to be passed on, but: {statuses:?}, {kinds:?}"))
        }
        Whole if seen[0].content.as_ref() != Some(&case.content) => Err("the content is another".to_owned()),
        _ => Ok(()),
    }
}

/// Sends the cases through a proxy to the strict upstream, and judges each.
fn judge(cases: &[Case], server: Server, record: &Mutex<Record>) {
    let received = send_all(cases, 1, server.address());
    drop(server);
    let record = record.lock().unwrap();
    assert!(record.violations.is_empty(), "{:#?}", record.violations);
    let mut seen: HashMap<usize, Vec<&Seen>> = HashMap::new();
    for request in &record.seen {
        let (_, number) = tag(&request.target).unwrap_or_else(|| panic!("an unknown request: {request:?}"));
        seen.entry(number).or_default().push(request);
    }
    let mut wrong = Vec::new();
    for (number, (case, received)) in cases.iter().zip(&received).enumerate() {
        let seen = seen.remove(&number).unwrap_or_default();
        if let Err(why) = verdict(case, number, received, &seen) {
            let (sent, received) = (String::from_utf8_lossy(&case.bytes), String::from_utf8_lossy(received));
            wrong.push(format!("{why}\n  sent {sent:?}\n  received {received:?}"));
        }
    }
    assert!(seen.is_empty(), "requests of no case: {seen:?}");
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong[..wrong.len().min(20)].join("\n"));
    let whole = cases.iter().filter(|case| case.fate == Whole).count();
    assert!(whole > 500 && cases.len() > 2_500, "{whole} of {}", cases.len());
}

#[test]
fn client_and_upstream_agree_where_each_request_ends() {
    let (upstream, record) = strict_upstream();
    let root = Root::new();
    let server = Server::start(&root, &["--proxy", &format!("/={}", upstream.url(""))]);
    let mut cases = cases(&Way::reverse());
    cases.extend(mutated(cases.len()));
    judge(&cases, server, &record);
}

#[test]
fn so_do_they_with_a_forward_proxy() {
    let (upstream, record) = strict_upstream();
    let mut command = miod();
    command.args(["proxy", "-p", "0"]);
    judge(&cases(&Way::forward(upstream.address)), Server::run(command), &record);
}

// ---- Real upstreams

/// How often each request is in a text of one line for each.
fn count(lines: impl Iterator<Item = String>) -> BTreeMap<(&'static str, usize), usize> {
    let mut counts = BTreeMap::new();
    for line in lines {
        let tag = tag(&line).unwrap_or_else(|| panic!("an unknown request: {line:?}"));
        *counts.entry(tag).or_insert(0) += 1;
    }
    counts
}

/// The requests in the server's log that went to the upstream.
fn logged(log: &Path) -> BTreeMap<(&'static str, usize), usize> {
    let text = std::fs::read_to_string(log).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    count(lines.filter(|line| line["upstream"].is_string()).map(|line| line["target"].as_str().unwrap().to_owned()))
}

/// Sends the cases to a real server through the proxy; both must have logged the same requests.
fn agrees_with(kind: Kind) {
    let upstream = Upstream::start(kind);
    let root = Root::new();
    let log = root.at("access.log");
    let mut command = miod();
    root.directory("site");
    command.arg("serve").arg(root.at("site")).args(["-p", "0", "--log-format", "json", "--access-log"]).arg(&log);
    command.arg("--proxy").arg(format!("/=http://{}", upstream.address));
    let mut server = Server::run(command);
    let mut cases = cases(&Way::reverse());
    cases.extend(mutated(cases.len()));
    // Not all, because some of these servers are slow. They are in threes with the same parts.
    let received = send_all(&cases, 2, server.address());
    server.signal("TERM");
    assert!(server.wait().success());
    let passed = logged(&log);
    let seen = count(upstream.end().into_iter());
    for (&(kind, number), &times) in &seen {
        let case = &cases[number];
        let text = || (String::from_utf8_lossy(&case.bytes), String::from_utf8_lossy(&received[number]));
        let own = passed.get(&(kind, number)).copied().unwrap_or(0);
        assert!(times <= own, "{kind} was {times} requests upstream, and {own} here: {:?}", text());
        assert!(kind != "marker" || case.marker_follows, "the marker was a request: {:?}", text());
        assert!(case.fate != Refused, "it was to be refused: {:?}", text());
    }
    let nexts = seen.keys().filter(|(kind, _)| *kind == "next").count();
    assert!(nexts > 200, "only {nexts}: the upstream doesn't work");
}

#[test]
#[ignore = "needs nginx"]
fn nginx_sees_the_same_requests() {
    agrees_with(Kind::Nginx);
}

#[test]
#[ignore = "needs apache2"]
fn apache_sees_the_same_requests() {
    agrees_with(Kind::Apache);
}

#[test]
#[ignore = "needs lighttpd"]
fn lighttpd_sees_the_same_requests() {
    agrees_with(Kind::Lighttpd);
}

#[test]
#[ignore = "needs gunicorn"]
fn gunicorn_sees_the_same_requests() {
    agrees_with(Kind::Gunicorn);
}

#[test]
#[ignore = "needs nodejs"]
fn node_sees_the_same_requests() {
    agrees_with(Kind::Node);
}

#[test]
#[ignore = "needs python3"]
fn the_server_of_python_sees_the_same_requests() {
    agrees_with(Kind::Python);
}

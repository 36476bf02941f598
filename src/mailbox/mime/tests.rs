//! Messages as they should be, and as nobody should send them.

use std::fmt::Write;
use std::time::{Duration, Instant};

use super::*;
use proptest::prelude::*;

/// Text and HTML with an image, and an attachment.
const PICTURE: &str = "From: =?utf-8?Q?Ad=C3=A4?= <ada@example.org>\r\n\
    To: Bob <bob@example.org>, \"C, D\" <c@example.org>\r\n\
    Cc: friends: e@example.org, f@example.org;\r\n\
    Subject: =?utf-8?B?RWluIEJpbGQ=?= and\r\n more\r\n\
    Date: Sat, 28 Nov 2026 12:18:46 +0530\r\n\
    Message-ID: <1@example.org>\r\n\
    MIME-Version: 1.0\r\n\
    X-Odd: a <b> \"c\"\r\n\
    Content-Type: multipart/mixed; boundary=\"=_1\"\r\n\
    \r\n\
    This is for old readers.\r\n\
    --=_1\r\n\
    Content-Type: multipart/alternative; boundary=\"=_1=2\"\r\n\
    \r\n\
    --=_1=2\r\n\
    Content-Type: text/plain; charset=iso-8859-1\r\n\
    Content-Transfer-Encoding: quoted-printable\r\n\
    \r\n\
    sch=F6n =\r\n\
    und --=3D_1\r\n\
    --=_1=2  \r\n\
    Content-Type: multipart/related; boundary=three\r\n\
    \r\n\
    --three\r\n\
    Content-Type: text/html; charset=utf-8\r\n\
    \r\n\
    <img src=\"cid:photo@x\">\r\n\
    --three\r\n\
    Content-Type: image/PNG; name=\"photo.png\"\r\n\
    Content-ID: <photo@x>\r\n\
    Content-Disposition: inline; filename=\"photo.png\"\r\n\
    Content-Transfer-Encoding: BASE64\r\n\
    \r\n\
    iVBO\r\n\
    Rw==\r\n\
    --three--\r\n\
    --=_1=2--\r\n\
    \r\n\
    --=_1\r\n\
    Content-Type: application/pdf\r\n\
    Content-Disposition: attachment; filename*=utf-8''%C3%A4%0D%0A.pdf\r\n\
    \r\n\
    %PDF\r\n\
    --=_1\r\n\
    Content-Type: text/plain\r\n\
    Content-Disposition: attachment; filename=notes.txt\r\n\
    \r\n\
    \r\n\
    --=_1--\r\n\
    The end.\r\n";

fn text_of(text: Option<Text>) -> Option<String> {
    text.map(|text| text.text)
}

#[test]
fn a_message_is_taken_apart() {
    let parsed = Parsed::of(PICTURE.as_bytes());
    let header = &parsed.header;
    let show = |list: &[Address]| list.iter().map(Address::to_string).collect::<Vec<_>>();
    assert_eq!(show(&header.from), ["Adä <ada@example.org>"]);
    assert_eq!(show(&header.to), ["Bob <bob@example.org>", "C, D <c@example.org>"]);
    assert_eq!(show(&header.cc), ["e@example.org", "f@example.org"]);
    assert_eq!(header.subject.as_deref(), Some("Ein Bild and more"));
    assert_eq!(header.date.as_deref(), Some("2026-11-28T12:18:46+05:30"));
    assert_eq!(header.message_id.as_deref(), Some("1@example.org"));
    let odd = Field { name: "X-Odd".to_owned(), value: "a <b> \"c\"".to_owned() };
    assert!(header.fields.len() == 9 && header.fields[7] == odd, "{:?}", header.fields);
    assert_eq!(header.fields[3].value, "Ein Bild and more");
    assert!(!parsed.has_more_parts);
    assert_eq!(text_of(parsed.text).as_deref(), Some("schön und --=_1"));
    assert_eq!(text_of(parsed.html).as_deref(), Some("<img src=\"cid:photo@x\">"));
    let part = |number, media_type: &str, name: &str, content_id: Option<&str>, size| Part {
        number,
        media_type: media_type.to_owned(),
        name: Some(name.to_owned()),
        content_id: content_id.map(str::to_owned),
        size,
    };
    let photo = part(3, "image/png", "photo.png", Some("photo@x"), 4);
    let parts =
        [photo.clone(), part(4, "application/pdf", "ä  .pdf", None, 4), part(5, "text/plain", "notes.txt", None, 0)];
    assert_eq!(parsed.parts, parts);
    let png = b"\x89PNG".to_vec();
    assert_eq!(Parsed::part(PICTURE.as_bytes(), 3), Some((photo.clone(), png.clone())));
    assert_eq!(Parsed::with_content_ids(PICTURE.as_bytes()), [(photo, png)]);
    assert_eq!(Parsed::part(PICTURE.as_bytes(), 1).unwrap().1, b"sch\xf6n und --=_1");
    assert!(Parsed::part(PICTURE.as_bytes(), 0).is_none() && Parsed::part(PICTURE.as_bytes(), 6).is_none());
    let summary = Summary { from: "Adä <ada@example.org>".to_owned(), subject: "Ein Bild and more".to_owned() };
    assert_eq!(Summary::of(PICTURE.as_bytes()), summary);
}

#[test]
fn odd_messages_have_a_text_all_the_same() {
    for (message, text) in [
        ("", ""),
        ("\r\n", ""),
        ("\r\na\r\n", "a\r\n"),
        ("hello, world\r\n", "hello, world\r\n"),
        ("hello: world\r\n", ""),
        ("A: b\n\nc\n", "c\n"),
        ("Subject: \r\n\r\na\r\n\r\nb", "a\r\n\r\nb"),
        ("Content-Type: text/plain; charset=nothing\r\n\r\n\u{e4}", "\u{e4}"),
        ("Content-Transfer-Encoding: base64\r\n\r\nYQ==", "a"),
        ("Content-Transfer-Encoding: base64\r\n\r\n!!", "!!"),
        ("Content-Transfer-Encoding: quoted-printable\r\n\r\n=zz", "=zz"),
        ("Content-Transfer-Encoding: x-unknown\r\n\r\n=41", "=41"),
        // Without a delimiter, or its end.
        ("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\na\r\n", "a\r\n"),
        ("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\na\r\n--bb\r\n--b-\r\n", "a\r\n--bb\r\n--b-\r\n"),
        ("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n--b\r\n\r\na", ""),
    ] {
        let parsed = Parsed::of(message.as_bytes());
        assert_eq!(text_of(parsed.text).as_deref(), Some(text), "{message:?}");
        assert!(parsed.parts.is_empty() || message.contains("--b\r\n--b\r\n"), "{message:?}");
    }
    for (message, media_type) in [
        ("Content-Type: multipart/mixed; boundary=b\r\n\r\na", "multipart/mixed"),
        ("Content-Type: multipart/mixed\r\n\r\n--b\r\n\r\na", "multipart/mixed"),
        ("Content-Type: text\r\n\r\na", UNKNOWN),
        ("Content-Type: a/b\u{e4}\r\n\r\na", UNKNOWN),
        ("Content-Type: message/rfc822\r\n\r\nA: b\r\n\r\nc", "message/rfc822"),
        ("Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nA: b\r\n\r\nc\r\n--b--", "message/rfc822"),
    ] {
        let parsed = Parsed::of(message.as_bytes());
        let types: Vec<_> = parsed.parts.iter().map(|part| &*part.media_type).collect();
        assert_eq!((types, parsed.text), (vec![media_type], None), "{message:?}");
    }
}

const UNKNOWN: &str = "application/octet-stream";

#[test]
fn what_the_list_shows_is_short_and_one_line() {
    let long = format!("From: {0}@example.org\r\nSubject: =?utf-8?Q?a=0D=0AB:_c?= {0}\r\n\r\n", "x".repeat(10_000));
    let summary = Summary::of(long.as_bytes());
    assert!(summary.subject.starts_with("a  B: c xxx") && summary.subject.ends_with("x…"), "{}", summary.subject);
    assert_eq!((summary.subject.chars().count(), summary.from.chars().count()), (SHORT + 1, SHORT + 1));
    let endless = ["Subject: a\r\nX: ".to_owned(), "y\r\n ".repeat(1 << 20)].concat();
    assert_eq!(Summary::of(endless.as_bytes()).subject, "a");
}

/// A message of about four MiB with this content.
fn large(begin: &str, part: &str) -> Vec<u8> {
    [begin, &part.repeat((4 << 20) / part.len())].concat().into_bytes()
}

#[test]
fn hostile_messages_cost_bounded_time_and_memory() {
    let multipart = "Content-Type: multipart/mixed; boundary=b\r\n\r\n";
    let mut nested = String::new();
    for depth in 0..20_000 {
        let _ = write!(nested, "Content-Type: multipart/mixed; boundary=b{depth}\r\n\r\n--b{depth}\r\n");
    }
    let begin = Instant::now();
    for (what, message) in [
        ("many parts", large(multipart, "--b\r\n\r\n")),
        ("many empty parts", large(multipart, "--b\r\n")),
        ("multiparts without parts", large(multipart, "--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n")),
        ("deep", nested.into_bytes()),
        ("deep, with the same boundary", large("", &format!("{multipart}--b\r\n"))),
        ("messages in messages", large("", "Content-Type: message/rfc822\r\n\r\n")),
        ("digests", large("", "Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\n")),
        ("almost delimiters", large(multipart, "--b--b--b\r")),
        ("many fields", large("A: b\r\n", "A: b\r\n")),
        ("a long field", large("Subject: ", "=?utf-8?Q?=")),
        ("encoded words", large("Subject: ", "=?utf-8?B?YQ==?= ")),
        ("addresses", large("To: ", "a@b,")),
        ("comments", large("To: ", "(")),
        ("groups", large("To: ", "a:")),
        ("attributes", large("Content-Type: a/b", ";a*0*=b")),
        ("received", large("", "Received: from a by b\r\n")),
        ("base64", large("Content-Transfer-Encoding: base64\r\n\r\n", "AAAA=")),
        ("quoted-printable", large("Content-Transfer-Encoding: quoted-printable\r\n\r\n", "=\r\n ")),
        ("a charset", large("Content-Type: text/plain; charset=utf-7\r\n\r\n", "+2")),
        ("zeros", vec![0; 4 << 20]),
    ] {
        let before = begin.elapsed();
        let parsed = Parsed::of(&message);
        let text = parsed.text.map_or(0, |text| text.text.len());
        assert!(parsed.parts.len() <= 500 && text <= 3 * TEXT, "{what}");
        assert!(parsed.header.fields.len() <= 500, "{what}");
        let took = begin.elapsed() - before;
        assert!(took < Duration::from_secs(10), "{what}: {took:?}");
    }
}

#[test]
fn no_beginning_of_a_message_and_no_changed_byte_panics() {
    let whole = PICTURE.as_bytes();
    for end in 0..whole.len() {
        let _ = (Parsed::of(&whole[..end]), Summary::of(&whole[..end]), Parsed::part(&whole[..end], 3));
    }
    for at in 0..whole.len() {
        for byte in [0, b'\n', b'"', b'=', 0xff] {
            let mut changed = whole.to_vec();
            changed[at] = byte;
            let _ = Parsed::of(&changed);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn no_text_panics(text in "(From: |To: |Date: |Content-Type: |multipart/mixed|; boundary=b|--b|=\\?utf-8\\?[QB]\\?|\
        \\?=|\r\n|\n| |\"|\\(|<|>|;|:|=|\\*0\\*|charset|name|=[0-9A-F]{2}|[a-zä\u{0}]|base64|\
        Content-Transfer-Encoding: ){0,40}") {
        let parsed = Parsed::of(text.as_bytes());
        for number in 0..4 {
            let _ = Parsed::part(text.as_bytes(), number);
        }
        prop_assert!(parsed.header.fields.iter().all(|field| !field.value.contains(char::is_control)));
    }
}

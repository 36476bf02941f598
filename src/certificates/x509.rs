//! What a certificate says (RFC 5280), for people and for choices by name.
//!
//! Nothing here decides whether a certificate is trusted: that is a matter of TLS. So this
//! reads what it needs and no more, and accepts what other readers would refuse.
//!
//! All text is safe in a line of a log or on a terminal: ASCII that can be printed, and
//! letters and digits of all scripts. Everything else is escaped, so that a name can neither
//! end a line nor reorder it.

use std::fmt::{self, Write as _};
use std::net::IpAddr;

use ring::digest::{SHA256, digest};

use super::der::{Reader, dotted, tag};

/// Most characters of one part of a name (X.520 allows at most 128), and most parts: a name may
/// come from a peer, and goes into the log.
const PART: usize = 256;
const PARTS: usize = 32;
/// Most characters of a subject as one text: it goes into each line of the access log.
const SUBJECT: usize = 512;

const SUBJECT_KEY_IDENTIFIER: &[u8] = b"\x55\x1d\x0e";
const SUBJECT_ALT_NAME: &[u8] = b"\x55\x1d\x11";
const COMMON_NAME: &[u8] = b"\x55\x04\x03";

/// Short names of the parts of a name (RFC 4514 §3, and some that are common).
const SHORT_NAMES: &[(&[u8], &str)] = &[
    (COMMON_NAME, "CN"),
    (b"\x55\x04\x05", "serialNumber"),
    (b"\x55\x04\x06", "C"),
    (b"\x55\x04\x07", "L"),
    (b"\x55\x04\x08", "ST"),
    (b"\x55\x04\x09", "STREET"),
    (b"\x55\x04\x0a", "O"),
    (b"\x55\x04\x0b", "OU"),
    (b"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x01", "UID"),
    (b"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x19", "DC"),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01", "emailAddress"),
];

/// What a certificate says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    /// The subject, like `CN=localhost,O=Example` (RFC 4514: the most specific part first).
    pub subject: String,
    /// The issuer, in the same form.
    pub issuer: String,
    /// The most specific common name of the subject.
    pub common_name: Option<String>,
    /// The first second of its validity, in Unix seconds.
    pub not_before: i64,
    /// The last second of its validity, in Unix seconds.
    pub not_after: i64,
    /// The DNS names it is for, in lower case; the first label may be `*`.
    pub dns_names: Vec<String>,
    /// The addresses it is for.
    pub addresses: Vec<IpAddr>,
    /// The SHA-256 of the certificate, like `AA:BB:…`.
    pub fingerprint: String,
}

impl Facts {
    /// Reads a certificate in DER.
    ///
    /// # Errors
    /// It isn't a certificate; which part is wrong.
    pub fn read(der: &[u8]) -> Result<Self, Malformed> {
        let certificate = Certificate::read(der)?;
        let (subject, common_name) = name(certificate.subject).ok_or(Malformed("its subject is malformed"))?;
        let (issuer, _) = name(certificate.issuer).ok_or(Malformed("its issuer is malformed"))?;
        let mut facts = Self {
            subject,
            issuer,
            common_name,
            not_before: certificate.not_before,
            not_after: certificate.not_after,
            dns_names: Vec::new(),
            addresses: Vec::new(),
            fingerprint: fingerprint(der),
        };
        if let Some(names) = certificate.alternative_names {
            facts.alternative_names(names).ok_or(Malformed("its subject alternative name is malformed"))?;
        }
        Ok(facts)
    }

    fn alternative_names(&mut self, der: &[u8]) -> Option<()> {
        let mut names = only(der, tag::SEQUENCE)?;
        while !names.is_empty() {
            let name = names.next()?;
            match (name.tag, name.content.len()) {
                (0x82, _) => self.dns_names.push(safe(&latin1(name.content)).to_ascii_lowercase()),
                (0x87, 4) => self.addresses.push(<[u8; 4]>::try_from(name.content).ok()?.into()),
                (0x87, 16) => self.addresses.push(<[u8; 16]>::try_from(name.content).ok()?.into()),
                (0x87, _) => return None,
                _ => {}
            }
        }
        Some(())
    }
}

/// The subject of a certificate in DER, like `CN=localhost,O=Example` (RFC 4514), in up to
/// 512 characters. None if it is malformed.
pub fn subject(der: &[u8]) -> Option<String> {
    let (mut subject, _) = name(Certificate::read(der).ok()?.subject)?;
    if let Some((end, _)) = subject.char_indices().nth(SUBJECT) {
        subject.truncate(end);
        subject.push_str("...");
    }
    Some(subject)
}

/// A certificate can't be read. The text is a clause that follows the name of the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed(&'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Malformed {}

/// The parts of a certificate.
pub(super) struct Certificate<'a> {
    /// What is signed: all but the signature.
    pub(super) signed: &'a [u8],
    pub(super) signature: &'a [u8],
    /// The parts of the name, without the sequence around them.
    pub(super) issuer: &'a [u8],
    pub(super) subject: &'a [u8],
    pub(super) public_key: &'a [u8],
    pub(super) key_identifier: Option<&'a [u8]>,
    not_before: i64,
    not_after: i64,
    alternative_names: Option<&'a [u8]>,
}

impl<'a> Certificate<'a> {
    /// Reads a certificate in DER.
    pub(super) fn read(der: &'a [u8]) -> Result<Self, Malformed> {
        let mut outer = only(der, tag::SEQUENCE).ok_or(Malformed("it isn't DER, or it is cut off"))?;
        let signed = outer.take(tag::SEQUENCE).ok_or(Malformed("its content is missing"))?;
        outer.enter(tag::SEQUENCE).ok_or(Malformed("its signature algorithm is missing"))?;
        let signature = bits(&mut outer).ok_or(Malformed("its signature is missing"))?;

        let mut parts = Reader(signed.content);
        parts.take(0xa0); // The version.
        parts.take(tag::INTEGER).ok_or(Malformed("its serial number is missing"))?;
        parts.enter(tag::SEQUENCE).ok_or(Malformed("its signature algorithm is missing"))?;
        let issuer = parts.enter(tag::SEQUENCE).ok_or(Malformed("its issuer is missing"))?;
        let mut validity = parts.enter(tag::SEQUENCE).ok_or(Malformed("its validity is missing"))?;
        let not_before = date(&mut validity).ok_or(Malformed("the begin of its validity is no date"))?;
        let not_after = date(&mut validity).ok_or(Malformed("the end of its validity is no date"))?;
        let subject = parts.enter(tag::SEQUENCE).ok_or(Malformed("its subject is missing"))?;
        let mut key = parts.enter(tag::SEQUENCE).ok_or(Malformed("its public key is missing"))?;
        key.enter(tag::SEQUENCE).ok_or(Malformed("its public key is malformed"))?;
        let public_key = bits(&mut key).ok_or(Malformed("its public key is malformed"))?;
        // Two unique identifiers that nobody uses.
        parts.take(0x81);
        parts.take(0x82);

        let (issuer, subject) = (issuer.0, subject.0);
        let (key_identifier, alternative_names) = (None, None);
        let signed = signed.whole;
        let mut certificate = Self {
            signed,
            signature,
            issuer,
            subject,
            public_key,
            key_identifier,
            not_before,
            not_after,
            alternative_names,
        };
        if !parts.is_empty() {
            certificate.extensions(parts).ok_or(Malformed("its extensions are malformed"))?;
        }
        Ok(certificate)
    }

    fn extensions(&mut self, mut parts: Reader<'a>) -> Option<()> {
        let mut extensions = only(parts.take(0xa3)?.content, tag::SEQUENCE)?;
        while !extensions.is_empty() {
            let mut extension = extensions.enter(tag::SEQUENCE)?;
            let oid = extension.take(tag::OID)?.content;
            extension.take(tag::BOOLEAN);
            let value = extension.take(tag::OCTET_STRING)?.content;
            match oid {
                SUBJECT_KEY_IDENTIFIER => self.key_identifier = Some(only(value, tag::OCTET_STRING)?.0),
                SUBJECT_ALT_NAME => self.alternative_names = Some(value),
                _ => {}
            }
        }
        parts.is_empty().then_some(())
    }
}

/// A date for people, like `2026-11-27`. Years have four digits at least.
pub fn iso_date(unix_seconds: i64) -> String {
    let date = time::OffsetDateTime::from_unix_timestamp(unix_seconds);
    // Dates that certificates can't have.
    let Ok(date) = date else { return format!("{unix_seconds} seconds after 1970") };
    format!("{:04}-{:02}-{:02}", date.year(), u8::from(date.month()), date.day())
}

/// The content of the one element in `der`.
fn only(der: &[u8], tag: u8) -> Option<Reader<'_>> {
    let mut reader = Reader(der);
    reader.enter(tag).filter(|_| reader.is_empty())
}

/// The next bit string, which has whole bytes.
fn bits<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    reader.take(tag::BIT_STRING)?.content.strip_prefix(&[0])
}

/// The next date: `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ` (RFC 5280 §4.1.2.5).
fn date(reader: &mut Reader<'_>) -> Option<i64> {
    let element = reader.next()?;
    let digits = element.content.strip_suffix(b"Z")?;
    let number = |digits: &[u8]| {
        let valid = digits.iter().all(u8::is_ascii_digit);
        valid.then(|| digits.iter().fold(0_u16, |number, digit| 10 * number + u16::from(digit - b'0')))
    };
    let (year, rest) = match (element.tag, digits.len()) {
        (0x17, 12) => {
            let year = number(&digits[..2])?;
            (if year < 50 { 2000 + year } else { 1900 + year }, &digits[2..])
        }
        (0x18, 14) => (number(&digits[..4])?, &digits[4..]),
        _ => return None,
    };
    let &[month, day, hour, minute, second] = rest.as_chunks::<2>().0 else { return None };
    let part = |digits: [u8; 2]| u8::try_from(number(&digits)?).ok();
    let month = time::Month::try_from(part(month)?).ok()?;
    let date = time::Date::from_calendar_date(year.into(), month, part(day)?).ok()?;
    let moment = date.with_hms(part(hour)?, part(minute)?, part(second)?).ok()?;
    Some(moment.assume_utc().unix_timestamp())
}

fn fingerprint(der: &[u8]) -> String {
    let pairs: Vec<_> = digest(&SHA256, der).as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    pairs.join(":")
}

/// The text of a name (RFC 4514), and its most specific common name.
fn name(der: &[u8]) -> Option<(String, Option<String>)> {
    let mut sets = Reader(der);
    let mut parts = Vec::new();
    let mut common_name = None;
    while !sets.is_empty() {
        let mut set = sets.enter(tag::SET)?;
        let mut part = String::new();
        while !set.is_empty() {
            let mut pair = set.enter(tag::SEQUENCE)?;
            let oid = pair.take(tag::OID)?.content;
            let value = pair.next()?;
            let text = string(value.tag, value.content);
            if oid == COMMON_NAME {
                common_name = Some(safe(&text));
            }
            let short = SHORT_NAMES.iter().find(|(known, _)| *known == oid).map(|(_, short)| (*short).to_owned());
            if part.len() < PART {
                let plus = if part.is_empty() { "" } else { "+" };
                _ = write!(part, "{plus}{}={}", short.unwrap_or_else(|| bounded(dotted(oid))), quoted(&text));
            }
        }
        parts.push(part);
    }
    let more = parts.len().saturating_sub(PARTS);
    // The least specific parts come first.
    let mut text = parts.split_off(more);
    text.reverse();
    if more > 0 {
        text.push("...".to_owned());
    }
    Some((text.join(","), common_name))
}

fn bounded(mut ascii: String) -> String {
    ascii.truncate(PART);
    ascii
}

/// A character, or a byte that belongs to none.
#[derive(Clone, Copy)]
enum Unit {
    Char(char),
    Byte(u8),
}

/// The characters of a string: ASN.1 has one type for each alphabet.
fn string(tag: u8, content: &[u8]) -> Vec<Unit> {
    match tag {
        // BMPString and UniversalString: two and four bytes for each character.
        0x1e if content.len().is_multiple_of(2) => {
            let units = content.as_chunks::<2>().0.iter().map(|pair| u16::from_be_bytes(*pair));
            char::decode_utf16(units).map(|unit| Unit::Char(unit.unwrap_or(char::REPLACEMENT_CHARACTER))).collect()
        }
        0x1c if content.len().is_multiple_of(4) => {
            let units = content.as_chunks::<4>().0.iter().map(|four| u32::from_be_bytes(*four));
            units.map(|unit| Unit::Char(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER))).collect()
        }
        // TeletexString: in practice it is Latin-1.
        0x14 => latin1(content),
        _ => utf8(content),
    }
}

fn utf8(bytes: &[u8]) -> Vec<Unit> {
    let chunks = bytes.utf8_chunks();
    chunks
        .flat_map(|chunk| {
            let chars = chunk.valid().chars().map(Unit::Char);
            chars.chain(chunk.invalid().iter().map(|&byte| Unit::Byte(byte)))
        })
        .collect()
}

fn latin1(bytes: &[u8]) -> Vec<Unit> {
    bytes.iter().map(|&byte| Unit::Char(byte.into())).collect()
}

/// The text, with escapes for what can't be printed. It is bounded.
fn safe(text: &[Unit]) -> String {
    escaped(text, "\\")
}

/// The same, with escapes for what has a meaning in a name too.
fn quoted(text: &[Unit]) -> String {
    let mut quoted = escaped(text, "\\\",+;<>");
    if quoted.starts_with([' ', '#']) {
        quoted.insert(0, '\\');
    }
    if (2..=PART).contains(&text.len()) && quoted.ends_with(' ') {
        quoted.insert(quoted.len() - 1, '\\');
    }
    quoted
}

fn escaped(text: &[Unit], special: &str) -> String {
    let mut out = String::new();
    for &unit in text.iter().take(PART) {
        match unit {
            Unit::Char(char) if special.contains(char) => out.extend(['\\', char]),
            Unit::Char(char) if matches!(char, ' '..='~') || char.is_alphanumeric() => out.push(char),
            Unit::Char(char) => {
                for byte in char.encode_utf8(&mut [0; 4]).bytes() {
                    _ = write!(out, "\\{byte:02X}");
                }
            }
            Unit::Byte(byte) => _ = write!(out, "\\{byte:02X}"),
        }
    }
    if text.len() > PART {
        out.push_str("...");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rcgen::string::BmpString;
    use rcgen::{CertificateParams, DnType, DnValue, KeyPair, SanType};

    fn certificate(names: impl IntoIterator<Item = (DnType, DnValue)>, alternative: Vec<SanType>) -> Vec<u8> {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        names.into_iter().for_each(|(kind, value)| parameters.distinguished_name.push(kind, value));
        parameters.subject_alt_names = alternative;
        parameters.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    fn subject(value: impl Into<DnValue>) -> String {
        Facts::read(&certificate([(DnType::CommonName, value.into())], vec![])).unwrap().subject
    }

    /// One element of DER.
    fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        [&[tag, u8::try_from(content.len()).unwrap()], &content[..]].concat()
    }

    fn name_of(values: &[(&[u8], u8, &[u8])]) -> (String, Option<String>) {
        let sets: Vec<_> = values
            .iter()
            .map(|(oid, tag, value)| {
                let pair = element(tag::SEQUENCE, &[&element(tag::OID, &[oid]), &element(*tag, &[value])]);
                element(tag::SET, &[&pair])
            })
            .collect();
        name(&sets.concat()).unwrap()
    }

    #[test]
    fn a_certificate_of_openssl_is_read() {
        use rustls_pki_types::CertificateDer;
        use rustls_pki_types::pem::PemObject as _;
        let pem = include_bytes!("../../tests/certificates/rsa.pem");
        let facts = Facts::read(&CertificateDer::from_pem_slice(pem).unwrap()).unwrap();
        let expected = Facts {
            subject: r"CN=rsa.example.org,OU=Tests \+ more,O=Example\, Inc.,C=DE".to_owned(),
            issuer: r"CN=rsa.example.org,OU=Tests \+ more,O=Example\, Inc.,C=DE".to_owned(),
            common_name: Some("rsa.example.org".to_owned()),
            not_before: 1_795_747_358,
            not_after: 1_795_747_358 + 36_500 * 86_400,
            dns_names: vec!["rsa.example.org".to_owned(), "*.wild.example.org".to_owned()],
            addresses: vec!["192.0.2.7".parse().unwrap(), "2001:db8::7".parse().unwrap()],
            fingerprint:
                "55:86:01:C2:58:91:CE:B9:74:AB:F2:1C:39:E1:13:B9:5D:CB:E6:87:B1:C7:FE:69:70:A4:8B:E3:17:EE:CB:A4"
                    .to_owned(),
        };
        assert_eq!(facts, expected);
    }

    #[test]
    fn a_subject_alone_is_the_same_and_bounded() {
        let name = |length: usize| certificate([(DnType::CommonName, "a".repeat(length).into())], vec![]);
        assert_eq!(super::subject(&name(2)).as_deref(), Some("CN=aa"));
        let names = ["x"; 7].map(|part| (DnType::OrganizationName, DnValue::from(part.repeat(PART))));
        assert!(super::subject(&certificate(names, vec![])).is_some());
        let mut long = certificate([(DnType::CommonName, "\u{7f}".repeat(200).into())], vec![]);
        let subject = super::subject(&long).unwrap();
        assert_eq!((subject.len(), subject.ends_with("...")), (SUBJECT + "...".len(), true), "{subject}");
        long.pop();
        assert_eq!(super::subject(&long), None);
    }

    #[test]
    fn names_are_safe_in_a_line() {
        for (value, expected) in [
            ("a", "CN=a"),
            ("Bj\u{f6}rn 7", "CN=Bj\u{f6}rn 7"),
            (" #a ", "CN=\\ #a\\ "),
            ("#", "CN=\\#"),
            (" ", "CN=\\ "),
            ("a\\ ", "CN=a\\\\\\ "),
            ("a,b+c\"d\\e<f>g;h=i", "CN=a\\,b\\+c\\\"d\\\\e\\<f\\>g\\;h=i"),
            ("a\r\n\u{1b}[31m\u{7f}\0", "CN=a\\0D\\0A\\1B[31m\\7F\\00"),
            ("\u{202e}a\u{2028}\u{85}", "CN=\\E2\\80\\AEa\\E2\\80\\A8\\C2\\85"),
        ] {
            assert_eq!(subject(value), expected);
        }
        assert_eq!(subject(DnValue::BmpString(BmpString::try_from("B\u{f6}\n").unwrap())), "CN=B\u{f6}\\0A");
        assert_eq!(name_of(&[(COMMON_NAME, 0x14, b"T\xf6\n")]).0, "CN=T\u{f6}\\0A");
        assert_eq!(name_of(&[(COMMON_NAME, 0x0c, b"a\xff\xc3\xa4")]).0, "CN=a\\FF\u{e4}");
        assert_eq!(name_of(&[(COMMON_NAME, 0x1e, b"\xd8\x00\0a")]).0, "CN=\\EF\\BF\\BDa");
        assert_eq!(name_of(&[(COMMON_NAME, 0x1c, b"\0\0\0a\xff\0\0\0")]).0, "CN=a\\EF\\BF\\BD");
    }

    #[test]
    fn the_most_specific_part_of_a_name_comes_first() {
        let (text, common_name) = name_of(&[
            (b"\x55\x04\x06", 0x13, b"DE"),
            (COMMON_NAME, 0x0c, b"first"),
            (b"\x2a\x03\x04", 0x0c, b"own"),
            (COMMON_NAME, 0x0c, b"last,\n"),
        ]);
        assert_eq!(text, "CN=last\\,\\0A,1.2.3.4=own,CN=first,C=DE");
        assert_eq!(common_name.as_deref(), Some("last,\\0A"));
        let pair =
            |value: &[u8]| element(tag::SEQUENCE, &[&element(tag::OID, &[COMMON_NAME]), &element(0x0c, &[value])]);
        let both = element(tag::SET, &[&pair(b"a"), &pair(b"b")]);
        assert_eq!(name(&both).unwrap().0, "CN=a+CN=b");
        assert_eq!(name(b"").unwrap(), (String::new(), None));
        assert!(name(b"\x31\x05").is_none());
    }

    #[test]
    fn a_name_is_bounded() {
        let long = subject("x".repeat(5_000));
        assert!(long.len() < 2 * PART && long.ends_with("x..."), "{long}");
        let many = name_of(&[(COMMON_NAME, 0x0c, &b"a"[..]); 1_000]).0;
        assert!(many.starts_with("CN=a,CN=a") && many.ends_with("CN=a,...") && many.len() < 6 * PARTS, "{many}");
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        let read = |tag, text: &[u8]| date(&mut Reader(&element(tag, &[text])));
        for (tag, text, expected) in [
            (0x17, &b"700101000000Z"[..], Some(0)),
            (0x17, b"491231235959Z", Some(2_524_607_999)),
            (0x17, b"500101000000Z", Some(-631_152_000)),
            (0x18, b"20500101000000Z", Some(2_524_608_000)),
            (0x18, b"99991231235959Z", Some(253_402_300_799)),
            (0x18, b"20240229120000Z", Some(1_709_208_000)),
            (0x18, b"20230229120000Z", None),
            (0x18, b"20231301000000Z", None),
            (0x18, b"20230101240000Z", None),
            (0x18, b"202301010000Z", None),
            (0x18, b"20230101000000.5Z", None),
            (0x18, b"20230101000000+", None),
            (0x17, b"7001010000Z", None),
            (0x17, b"70010100000aZ", None),
            (0x17, b"7001010000-1Z", None),
            (0x17, b"20500101000000Z", None),
            (0x04, b"700101000000Z", None),
        ] {
            assert_eq!(read(tag, text), expected, "{}", text.escape_ascii());
        }
        assert_eq!(iso_date(1_795_737_600), "2026-11-27");
        assert_eq!((iso_date(-1), iso_date(253_402_300_799)), ("1969-12-31".to_owned(), "9999-12-31".to_owned()));
        assert_eq!(iso_date(i64::MAX), format!("{} seconds after 1970", i64::MAX));
    }

    #[test]
    fn an_error_names_the_part() {
        let whole = certificate([(DnType::CommonName, "a".into())], vec![SanType::IpAddress([127, 0, 0, 1].into())]);
        let wrong = |from: &[u8], to: &[u8]| {
            let at = whole.windows(from.len()).position(|part| part == from).unwrap();
            let mut der = whole.clone();
            der[at..at + to.len()].copy_from_slice(to);
            Facts::read(&der).unwrap_err().to_string()
        };
        assert_eq!(wrong(&whole[..2], b"\x31"), "it isn't DER, or it is cut off");
        assert_eq!(wrong(b"\xa0\x03\x02\x01\x02", b"\xa9"), "its serial number is missing");
        assert_eq!(wrong(b"750101000000Z", b"759901000000Z"), "the begin of its validity is no date");
        assert_eq!(wrong(b"40960101000000Z", b"x"), "the end of its validity is no date");
        assert_eq!(wrong(b"\x55\x1d\x11", b"\x55\x1d\x0e"), "its extensions are malformed");
        assert_eq!(wrong(b"\x30\x06\x87\x04", b"\x30\x06\x87\x03"), "its subject alternative name is malformed");
        assert_eq!(wrong(b"\x06\x03\x55\x04\x03", b"\x07"), "its issuer is malformed");
        let more = [&whole[..], b"\0"].concat();
        assert_eq!(Facts::read(&more), Err(Malformed("it isn't DER, or it is cut off")));
        assert_eq!(Facts::read(b""), Err(Malformed("it isn't DER, or it is cut off")));
    }

    #[test]
    fn every_cut_is_an_error() {
        let der = certificate([(DnType::CommonName, "a".into())], vec![]);
        assert!((0..der.len()).all(|length| Facts::read(&der[..length]).is_err()));
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_read(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Facts::read(&bytes);
            let _ = name(&bytes);
            let _ = string(bytes.first().copied().unwrap_or_default(), &bytes);
        }

        #[test]
        fn a_changed_certificate_is_safe_to_log(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        ) {
            use rustls_pki_types::CertificateDer;
            use rustls_pki_types::pem::PemObject as _;
            let pem = include_bytes!("../../tests/certificates/rsa.pem");
            let mut der = CertificateDer::from_pem_slice(pem).unwrap().to_vec();
            for (index, byte) in changes {
                let at = index.index(der.len());
                der[at] = byte;
            }
            if let Ok(facts) = Facts::read(&der) {
                let names = facts.dns_names.iter().chain(&facts.common_name).chain([&facts.subject, &facts.issuer]);
                for text in names {
                    prop_assert!(text.chars().all(|c| matches!(c, ' '..='~') || c.is_alphanumeric()), "{text:?}");
                }
            }
        }
    }
}

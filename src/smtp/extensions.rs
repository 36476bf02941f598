//! What a server offers in its reply to EHLO (RFC 5321 §4.1.1.1).
//!
//! The first line of the reply is the server's name and a greeting; each other one is a keyword,
//! perhaps with parameters. Unknown keywords are ignored.

use super::reply::Reply;

/// The extensions that a server offers. By default: none, as after HELO.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Extensions {
    /// SIZE (RFC 1870): it wants to know the size of a message. The limit, if it is known.
    pub size: Option<Option<u64>>,
    /// 8BITMIME (RFC 6152).
    pub eight_bit: bool,
    /// SMTPUTF8 (RFC 6531).
    pub utf8: bool,
    /// PIPELINING (RFC 2920).
    pub pipelining: bool,
    /// STARTTLS (RFC 3207).
    pub start_tls: bool,
    /// AUTH (RFC 4954).
    pub auth: AuthMechanisms,
}

/// The mechanisms of AUTH that are offered, as far as they are known here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AuthMechanisms {
    /// PLAIN (RFC 4616).
    pub plain: bool,
    /// LOGIN, which has no RFC.
    pub login: bool,
}

impl Extensions {
    /// What a reply to EHLO offers.
    pub fn of(reply: &Reply) -> Self {
        let mut this = Self::default();
        for line in reply.lines.iter().skip(1) {
            // Keywords and parameters are ASCII; what isn't is unknown.
            let line = String::from_utf8_lossy(line).to_ascii_uppercase();
            // Old servers write `AUTH=LOGIN`, some beside the form of the RFC.
            let line = line.strip_prefix("AUTH=").map_or_else(|| line.clone(), |rest| format!("AUTH {rest}"));
            let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
            match words.next() {
                // 0 says that the limit isn't known.
                Some("SIZE") => this.size = Some(words.next().and_then(|limit| limit.parse().ok()).filter(|&l| l > 0)),
                Some("8BITMIME") => this.eight_bit = true,
                Some("SMTPUTF8") => this.utf8 = true,
                Some("PIPELINING") => this.pipelining = true,
                Some("STARTTLS") => this.start_tls = true,
                Some("AUTH") => {
                    for mechanism in words {
                        this.auth.plain |= mechanism == "PLAIN";
                        this.auth.login |= mechanism == "LOGIN";
                    }
                }
                _ => {}
            }
        }
        this
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&str]) -> Extensions {
        Extensions::of(&Reply { code: 250, lines: lines.iter().map(|line| line.as_bytes().to_vec()).collect() })
    }

    #[test]
    fn keywords_are_found_in_any_case_and_place() {
        let all = of(&["host", "size 1000", "8bitmime", "SMTPUTF8", "X-ODD a", "PIPELINING", "StartTLS", "AUTH PLAIN"]);
        let auth = AuthMechanisms { plain: true, login: false };
        let expected =
            Extensions { size: Some(Some(1000)), eight_bit: true, utf8: true, pipelining: true, start_tls: true, auth };
        assert_eq!(all, expected);
        assert_eq!(of(&["STARTTLS"]), Extensions::default(), "the first line is no keyword");
        assert_eq!(of(&["host", "", "  ", "STARTTLSX"]), Extensions::default());
    }

    #[test]
    fn sizes_may_be_missing_or_unlimited() {
        for (line, size) in [
            ("SIZE", Some(None)),
            ("SIZE 0", Some(None)),
            ("SIZE x", Some(None)),
            ("SIZE 99999999999999999999999", Some(None)),
            ("SIZE  5", Some(Some(5))),
        ] {
            assert_eq!(of(&["host", line]).size, size, "{line}");
        }
    }

    #[test]
    fn mechanisms_are_found_in_both_forms() {
        for (lines, plain, login) in [
            (&["host", "AUTH LOGIN PLAIN"][..], true, true),
            (&["host", "AUTH=PLAIN LOGIN"], true, true),
            (&["host", "AUTH CRAM-MD5", "AUTH=LOGIN"], false, true),
            (&["host", "auth login"], false, true),
            (&["host", "AUTH PLAIN-CLIENTTOKEN LOGINX"], false, false),
            (&["host", "AUTH"], false, false),
        ] {
            assert_eq!(of(lines).auth, AuthMechanisms { plain, login }, "{lines:?}");
        }
    }
}

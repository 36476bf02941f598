//! Failures on demand, so that clients can be tested: a step of the dialogue gets the reply that
//! its tester wants.

use std::fmt;

use crate::smtp::reply::Reply;

/// A step that can be made to fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// The greeting, with which the dialogue begins.
    Greeting,
    /// EHLO; HELO still works.
    Ehlo,
    /// STARTTLS.
    StartTls,
    /// AUTH, when name and password are there.
    Auth,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA.
    Data,
    /// The content, when its end is there.
    Body,
}

impl Step {
    /// All of them, in the order of the dialogue.
    pub const ALL: [Self; 8] =
        [Self::Greeting, Self::Ehlo, Self::StartTls, Self::Auth, Self::Mail, Self::Rcpt, Self::Data, Self::Body];

    /// Its name, as testers write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Greeting => "GREETING",
            Self::Ehlo => "EHLO",
            Self::StartTls => "STARTTLS",
            Self::Auth => "AUTH",
            Self::Mail => "MAIL",
            Self::Rcpt => "RCPT",
            Self::Data => "DATA",
            Self::Body => "BODY",
        }
    }
}

/// A step, and the code with which it is replied to: 400 to 599.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The step.
    pub step: Step,
    code: u16,
}

impl Fault {
    /// Parses `STEP=CODE`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, code) = text.split_once('=').ok_or("write STEP=CODE, like RCPT=550")?;
        let step = Step::ALL
            .into_iter()
            .find(|step| step.name().eq_ignore_ascii_case(name))
            .ok_or_else(|| format!("'{name}' is no step; there are {}", Step::ALL.map(Step::name).join(", ")))?;
        let digits = code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_digit());
        let code = code.parse().ok().filter(|code| digits && (400..600).contains(code));
        Ok(Self { step, code: code.ok_or("the code is a number from 400 to 599")? })
    }

    /// The reply to the step.
    pub fn reply(self) -> Reply {
        Reply::new(self.code, format!("{}.0.0 As asked for by --fail {self}", self.code / 100))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.step.name(), self.code)
    }
}

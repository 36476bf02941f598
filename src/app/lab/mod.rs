//! The laboratory: small applications that show a client what it did, and that
//! make the server do what one wants to look at.
//!
//! They are made of what every application is made of, so each is an example
//! too. Usually `NAME` is mounted at `/lab/NAME`.

mod badge;
mod cookies;
mod echo;
mod hello;
mod inspect;
mod number;
mod panic;
mod status;
mod stream;
#[cfg(test)]
mod testing;
mod wish;

use super::App;

/// What there is.
pub const NAMES: [&str; 8] = ["hello", "status", "echo", "inspect", "cookies", "stream", "badge", "panic"];

/// A new one of the applications in [`NAMES`].
pub fn by_name(name: &str) -> Option<Box<dyn App>> {
    Some(match name {
        "hello" => Box::new(hello::Hello),
        "status" => Box::new(status::StatusCode),
        "echo" => Box::new(echo::Echo),
        "inspect" => Box::new(inspect::Inspect),
        "cookies" => Box::new(cookies::Cookies),
        "stream" => Box::new(stream::Stream),
        "badge" => Box::new(badge::Badge),
        "panic" => Box::new(panic::Panic),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_an_application_and_no_other_is() {
        for name in NAMES {
            assert!(by_name(name).is_some(), "{name}");
        }
        for name in ["", "Hello", "hello/", "lab"] {
            assert!(by_name(name).is_none(), "{name}");
        }
    }
}

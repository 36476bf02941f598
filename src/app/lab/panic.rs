//! Panics: the client gets a 500, and all other requests go on.

use crate::app::{Answer, App, Call, Request};

pub(crate) struct Panic;

impl App for Panic {
    fn handle(&mut self, _request: &Request<'_>, _call: &mut Call<'_>) -> Answer {
        panic!("this application panics on purpose");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::testing::ask;

    #[test]
    #[should_panic(expected = "on purpose")]
    fn panics() {
        ask(&mut Panic, "/lab/x", &[]);
    }
}

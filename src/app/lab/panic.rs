//! Panics, to see that its visitor gets a 500 and nobody else notices.

use crate::app::{Answer, App, Request, Visit};

pub(crate) struct Panic;

impl App for Panic {
    fn handle(&mut self, _request: &Request<'_>, _visit: &mut Visit<'_>) -> Answer {
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

//! Why a server can't start, or ended.
//!
//! A start that fails reports all errors, so that the operator needs one attempt, and not
//! one for each mistake. Each error is noted in [`Faults`], and the start goes on with the
//! best that it has: a host without its files, an empty list of users. Nothing of that is
//! served, because the start fails in the end. For the same reason stores are opened only
//! while there is no error: a start that fails should create no files.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config::Position;
use crate::durable::OpenError;
use crate::reactor::Endpoint;

/// Why a server can't start, or ended.
#[derive(Debug)]
pub enum ServerError {
    /// The server can't listen at an endpoint.
    Bind(Endpoint, io::Error),
    /// A datagram socket can't be opened at this address.
    BindDatagrams(SocketAddr, io::Error),
    /// The root can't be opened.
    Root(PathBuf, io::Error),
    /// The access log of a host can't be opened.
    AccessLog(PathBuf, io::Error),
    /// A store can't be opened.
    Store(OpenError),
    /// The configuration is wrong; a sentence about it.
    Config(String),
    /// An error that has to do with this place in the configuration file.
    At(Position, Box<Self>),
    /// The system refused something else.
    Io(io::Error),
    /// All errors of a start.
    Several(Vec<Self>),
}

impl From<io::Error> for ServerError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The errors so far.
#[derive(Debug, Default)]
pub(super) struct Faults {
    noted: Vec<ServerError>,
    /// The start only looks for errors; the server won't run.
    check_only: bool,
    /// What is being built is written here.
    place: Option<Position>,
}

impl Faults {
    /// For a start that only looks for errors.
    pub(super) fn of_check() -> Self {
        Self { check_only: true, ..Self::default() }
    }

    /// Whether files may be created.
    pub(super) fn may_create(&self) -> bool {
        !self.check_only && self.noted.is_empty()
    }

    /// Notes an error. The same sentence isn't noted twice, for example about a file that
    /// is used twice.
    pub(super) fn note(&mut self, error: ServerError) {
        match error {
            ServerError::Several(errors) => errors.into_iter().for_each(|error| self.note(error)),
            ServerError::Config(sentence) if self.has(&sentence) => {}
            error => match self.place.clone() {
                Some(place) => self.noted.push(ServerError::At(place, Box::new(error))),
                None => self.noted.push(error),
            },
        }
    }

    fn has(&self, sentence: &str) -> bool {
        self.noted.iter().any(|error| match error {
            ServerError::Config(noted) => noted == sentence,
            ServerError::At(_, error) => matches!(&**error, ServerError::Config(noted) if noted == sentence),
            _ => false,
        })
    }

    /// The errors from now on have to do with this place in the configuration file.
    pub(super) fn place(&mut self, place: Option<&Position>) {
        self.place = place.cloned();
    }

    /// Notes a mistake in the configuration, at this place of its file.
    pub(super) fn wrong_at(&mut self, place: Option<&Position>, sentence: impl Into<String>) {
        let before = std::mem::replace(&mut self.place, place.cloned());
        self.wrong(sentence);
        self.place = before;
    }

    /// Notes a mistake in the configuration.
    pub(super) fn wrong(&mut self, sentence: impl Into<String>) {
        self.note(ServerError::Config(sentence.into()));
    }

    /// The value of `result`. An error is noted.
    pub(super) fn keep<T>(&mut self, result: Result<T, ServerError>) -> Option<T> {
        result.map_err(|error| self.note(error)).ok()
    }

    /// All errors that were noted.
    pub(super) fn finish(mut self) -> Result<(), ServerError> {
        match self.noted.len() {
            0 => Ok(()),
            1 => self.noted.pop().map_or(Ok(()), Err),
            _ => Err(ServerError::Several(self.noted)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_errors_are_reported_once_and_in_their_order() {
        assert!(Faults::default().finish().is_ok() && !Faults::of_check().may_create());
        let mut faults = Faults::default();
        assert!(faults.may_create());
        faults.wrong("one");
        assert!(!faults.may_create());
        assert_eq!(faults.keep(Ok(1)), Some(1));
        faults.wrong("one");
        let Err(ServerError::Config(one)) = faults.finish() else { panic!("it isn't one") };
        let mut faults = Faults::default();
        faults.wrong(one);
        let two = vec![ServerError::Io(io::ErrorKind::Other.into()), ServerError::Config("one".to_owned())];
        assert_eq!(faults.keep::<()>(Err(ServerError::Several(two))), None);
        faults.wrong("three");
        let Err(ServerError::Several(all)) = faults.finish() else { panic!("they aren't several") };
        assert!(
            matches!(&all[..], [ServerError::Config(one), ServerError::Io(_), ServerError::Config(three)]
                if one == "one" && three == "three"),
            "{all:?}"
        );
    }
}

//! What to request, as plain data; and the files that it names.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use crate::client::ClientError;
use crate::console::Destination;
use crate::http::uri::HttpUrl;
use crate::reactor::{FileSlice, Output};
use crate::tap::TapSettings;
use crate::trust::Trust;

/// A plan whose files aren't open.
#[derive(Clone, Debug)]
pub struct GetRequest {
    /// The plan without the content of files.
    pub plan: GetPlan,
    /// The file with the content of the request.
    pub upload: Option<PathBuf>,
    /// The file for the content of the response; `None` for standard output.
    pub output: Option<PathBuf>,
    /// Request only the rest that the output file lacks.
    pub resume: bool,
}

impl GetRequest {
    /// Opens the files.
    ///
    /// # Errors
    /// If one can't be used.
    pub(super) fn open(self) -> Result<(GetPlan, Destination), ClientError> {
        let Self { mut plan, upload, output, resume } = self;
        if let Some(path) = upload {
            plan.content = Some(Content::open(&path).map_err(|error| ClientError::Input(path, error))?);
        }
        let Some(output) = output else { return Ok((plan, Destination::Stdout)) };
        if resume {
            plan.resume = match output.metadata() {
                Ok(metadata) => Some(metadata.len()).filter(|&length| length > 0),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(ClientError::Output(output, error)),
            };
        }
        let destination = if plan.resume.is_some() { Destination::Append(output) } else { Destination::File(output) };
        Ok((plan, destination))
    }
}

/// The options of `miod get`.
#[derive(Clone, Debug)]
pub struct GetPlan {
    /// The first URL to request.
    pub url: HttpUrl,
    /// The method.
    pub method: String,
    /// The Host field, if it differs from the URL's host.
    pub host: Option<String>,
    /// Further fields.
    pub fields: Vec<(String, String)>,
    /// The content of the request.
    pub content: Option<Content>,
    /// The number of requests, at least 1.
    pub repeat: u32,
    /// The most pending requests, at least 1.
    pub pipeline: u32,
    /// Follow redirects.
    pub follow: bool,
    /// The bytes that the output file has already; only the rest is requested.
    pub resume: Option<u64>,
    /// A 4xx or 5xx response is an error.
    pub fail: bool,
    /// What is printed in addition to the content.
    pub show: Show,
    /// The limit without progress.
    pub timeout: Duration,
    /// The limit for everything together.
    pub max_time: Option<Duration>,
    /// Which servers are trusted, for https.
    pub trust: Trust,
    /// Where the secrets of TLS are written.
    pub key_log: Option<PathBuf>,
    /// Where what is received and sent is written.
    pub tap: TapSettings,
}

/// What is printed in addition to the content.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Show {
    /// The heads of responses, before their content.
    pub heads: bool,
    /// The heads of requests and responses, on standard error.
    pub exchange: bool,
    /// The times of each step, on standard error.
    pub trace: bool,
}

/// The content of a request.
#[derive(Clone, Debug)]
pub enum Content {
    /// These bytes.
    Bytes(Vec<u8>),
    /// A file.
    File(FileSlice),
}

impl Content {
    /// A file with its current length.
    fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it isn't a regular file"));
        }
        Ok(Self::File(FileSlice { file: Rc::new(file.into()), offset: 0, length: metadata.len() }))
    }

    /// Its length in bytes.
    pub fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(slice) => slice.length,
        }
    }

    pub(super) fn write(&self, output: &mut Output) {
        match self {
            Self::Bytes(bytes) => output.write(bytes),
            Self::File(slice) => output.file(slice.clone()),
        }
    }
}

impl GetPlan {
    /// One GET request with the defaults.
    pub fn new(url: HttpUrl) -> Self {
        Self {
            url,
            method: "GET".to_owned(),
            host: None,
            fields: Vec::new(),
            content: None,
            repeat: 1,
            pipeline: 1,
            follow: false,
            resume: None,
            fail: false,
            show: Show::default(),
            timeout: Duration::from_secs(20),
            max_time: None,
            trust: Trust::System,
            key_log: None,
            tap: TapSettings::default(),
        }
    }
}

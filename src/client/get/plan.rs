//! What is to be fetched, as plain data; and the files that it names.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use crate::client::Failure;
use crate::client::console::Target;
use crate::http::uri::HttpUrl;
use crate::reactor::{FileSlice, Output};

/// A plan whose files aren't opened yet.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The plan but for what the files say.
    pub plan: Plan,
    /// The content of the request.
    pub upload: Option<PathBuf>,
    /// Where the content of the answer goes; standard output if nowhere else.
    pub output: Option<PathBuf>,
    /// What is there of that file needn't come again.
    pub resume: bool,
}

impl Wish {
    /// Looks at the files.
    ///
    /// # Errors
    /// If one isn't what it must be.
    pub(super) fn open(self) -> Result<(Plan, Target), Failure> {
        let Self { mut plan, upload, output, resume } = self;
        if let Some(path) = upload {
            plan.content = Some(Content::open(&path).map_err(|error| Failure::Input(path, error))?);
        }
        let Some(output) = output else { return Ok((plan, Target::Stdout)) };
        if resume {
            plan.resume = match output.metadata() {
                Ok(metadata) => Some(metadata.len()).filter(|&there| there > 0),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(Failure::Output(output, error)),
            };
        }
        let target = if plan.resume.is_some() { Target::Append(output) } else { Target::File(output) };
        Ok((plan, target))
    }
}

/// Everything that `miod get` can be told.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is asked for first.
    pub url: HttpUrl,
    /// With which method.
    pub method: String,
    /// The Host field, if it isn't to be the URL's.
    pub host: Option<String>,
    /// Further fields.
    pub fields: Vec<(String, String)>,
    /// The content of the request.
    pub content: Option<Content>,
    /// How many times it is asked for; at least once.
    pub repeat: u32,
    /// How many requests may be on their way at once; at least one.
    pub pipeline: u32,
    /// Redirects are followed.
    pub follow: bool,
    /// So many octets are there already, and only the rest is wanted.
    pub resume: Option<u64>,
    /// An error as answer is a failure.
    pub fail: bool,
    /// What is shown beside the content.
    pub show: Show,
    /// Without anything moving.
    pub timeout: Duration,
    /// For everything together.
    pub max_time: Option<Duration>,
}

/// What is shown beside the content.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Show {
    /// The heads of answers, before their content.
    pub heads: bool,
    /// Requests and heads of answers, on standard error.
    pub exchange: bool,
    /// When what happened, on standard error.
    pub trace: bool,
}

/// The content of a request.
#[derive(Clone, Debug)]
pub enum Content {
    /// These octets.
    Octets(Vec<u8>),
    /// A file, as it is.
    File(FileSlice),
}

impl Content {
    /// A file as it is now.
    fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "that is no regular file"));
        }
        Ok(Self::File(FileSlice { file: Rc::new(file.into()), offset: 0, length: metadata.len() }))
    }

    /// Octets of it.
    pub fn length(&self) -> u64 {
        match self {
            Self::Octets(octets) => octets.len() as u64,
            Self::File(slice) => slice.length,
        }
    }

    pub(super) fn write(&self, output: &mut Output) {
        match self {
            Self::Octets(octets) => output.write(octets),
            Self::File(slice) => output.file(slice.clone()),
        }
    }
}

impl Plan {
    /// The plan of one GET and nothing else.
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
        }
    }
}

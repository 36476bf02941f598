//! The questions of a quiz, from JSON.
//!
//! Errors have a line and a column: all checks run while the file is parsed, at the word
//! that is wrong or after the question.

use std::fmt::{self, Formatter};
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::de::{DeserializeSeed, Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Largest file in bytes.
const FILE: usize = 1024 * 1024;
/// Most questions: their answers, a digit and a comma each, fit in a cookie.
const QUESTIONS: usize = 500;
/// Fewest and most choices of a question.
const CHOICES: std::ops::RangeInclusive<usize> = 2..=8;
/// Longest texts, in characters.
const TITLE: usize = 100;
const TEXT: usize = 1_000;
const CHOICE: usize = 300;
const EXPLANATION: usize = 2_000;
const SOURCE: usize = 200;

/// A quiz.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quiz {
    /// Its title.
    #[serde(deserialize_with = "title")]
    pub title: String,
    /// The questions in their order.
    #[serde(deserialize_with = "questions")]
    pub questions: Vec<Question>,
}

/// A question with its choices.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Deserialize)]
#[serde(try_from = "RawQuestion")]
pub struct Question {
    /// Its text.
    pub text: String,
    /// The choices.
    pub choices: Vec<String>,
    /// The number of the right choice, from 1.
    pub answer: usize,
    /// Why that choice is right.
    pub explanation: String,
    /// Where to read more; may be empty.
    pub source: String,
}

/// A question as the file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawQuestion {
    #[serde(deserialize_with = "text")]
    text: String,
    #[serde(deserialize_with = "choices")]
    choices: Vec<String>,
    answer: usize,
    #[serde(deserialize_with = "explanation")]
    explanation: String,
    #[serde(default, deserialize_with = "source")]
    source: String,
}

impl TryFrom<RawQuestion> for Question {
    type Error = String;

    fn try_from(written: RawQuestion) -> Result<Self, String> {
        let RawQuestion { text, choices, answer, explanation, source } = written;
        if !(1..=choices.len()).contains(&answer) {
            // This is checked after the question, so the message names the question.
            let count = choices.len();
            return Err(format!("the right answer of {text:?} is {answer}, and there are the choices 1 to {count}"));
        }
        Ok(Self { text, choices, answer, explanation, source })
    }
}

impl Quiz {
    /// The built-in quiz.
    ///
    /// # Panics
    /// Never: a test parses it.
    pub fn built_in() -> Self {
        Self::parse(include_bytes!("default.json")).expect("a test parses it")
    }

    /// Reads a quiz.
    ///
    /// # Errors
    /// A sentence with line and column.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        if json.len() > FILE {
            return Err(format!("it is larger than {FILE} bytes"));
        }
        serde_json::from_slice(json).map_err(|error| error.to_string())
    }

    /// A number that identifies this quiz, so that its answers aren't taken for answers to
    /// another.
    pub fn fingerprint(&self) -> u32 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        // 32 bits are enough for a few quizzes, and exact in all JSON parsers.
        hasher.finish() as u32
    }
}

/// Reads a text with a name and a limit of characters. It checks while it parses, since
/// only then an error has its position.
#[derive(Clone, Copy)]
struct Words(&'static str, usize);

impl<'de> DeserializeSeed<'de> for Words {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<String, D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for Words {
    type Value = String;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "the {}, a text", self.0)
    }

    fn visit_str<E: Error>(self, words: &str) -> Result<String, E> {
        let Self(what, most) = self;
        let length = words.chars().count();
        if words.trim().is_empty() {
            return Err(E::custom(format!("the {what} is empty")));
        }
        if length > most {
            return Err(E::custom(format!("the {what} has {length} characters; at most {most} can be shown")));
        }
        Ok(words.to_owned())
    }
}

fn title<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Words("title", TITLE).deserialize(from)
}

fn text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Words("text", TEXT).deserialize(from)
}

fn explanation<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Words("explanation", EXPLANATION).deserialize(from)
}

fn source<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Words("source", SOURCE).deserialize(from)
}

fn choices<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    struct Choices;

    impl<'de> Visitor<'de> for Choices {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
            f.write_str("the choices, a list of texts")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Vec<String>, A::Error> {
            let mut choices = Vec::new();
            while let Some(choice) = from.next_element_seed(Words("choice", CHOICE))? {
                if choices.contains(&choice) {
                    return Err(A::Error::custom(format!("the choice {choice:?} is there twice")));
                }
                choices.push(choice);
            }
            if CHOICES.contains(&choices.len()) {
                return Ok(choices);
            }
            let (least, most) = (CHOICES.start(), CHOICES.end());
            Err(A::Error::custom(format!("there are {} choices; {least} to {most} can be shown", choices.len())))
        }
    }

    from.deserialize_seq(Choices)
}

fn questions<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Question>, D::Error> {
    let questions = Vec::<Question>::deserialize(from)?;
    match questions.len() {
        1..=QUESTIONS => Ok(questions),
        count => Err(D::Error::custom(format!("there are {count} questions; 1 to {QUESTIONS} can be asked"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{
  "title": "T",
  "questions": [
    {
      "text": "Q?",
      "choices": ["a", "b"],
      "answer": 2,
      "explanation": "E."
    }
  ]
}"#;

    #[test]
    fn the_built_in_quiz_is_valid() {
        let quiz = Quiz::built_in();
        assert_eq!(quiz.questions.len(), 12);
        for question in &quiz.questions {
            assert!(!question.source.is_empty(), "{}", question.text);
            assert!(question.choices.len() >= 4, "{}", question.text);
        }
        // The right choices are spread over all numbers.
        for choice in 1..=4 {
            let right = quiz.questions.iter().filter(|question| question.answer == choice).count();
            assert!((2..=4).contains(&right), "{choice} is right {right} times");
        }
    }

    #[test]
    fn a_valid_file_is_read_with_or_without_sources() {
        let quiz = Quiz::parse(GOOD.as_bytes()).unwrap();
        assert_eq!((quiz.questions[0].answer, &*quiz.questions[0].source), (2, ""));
        let with = GOOD.replace("\"E.\"", "\"E.\", \"source\": \"S\"");
        assert_eq!(Quiz::parse(with.as_bytes()).unwrap().questions[0].source, "S");
        assert_ne!(Quiz::parse(with.as_bytes()).unwrap().fingerprint(), quiz.fingerprint());
    }

    #[test]
    fn errors_have_line_and_column() {
        let long = |count: usize| format!("\"{}\"", "\u{e4}".repeat(count));
        let nine = "\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\",\"i\"";
        for (from, to, says, line) in [
            ("\"T\"", "\"\"", "the title is empty", 2),
            ("\"T\"", &*long(101), "the title has 101 characters; at most 100 can be shown", 2),
            ("\"Q?\"", "\" \"", "the text is empty", 5),
            ("\"Q?\"", &long(1001), "the text has 1001 characters", 5),
            ("\"a\", \"b\"", "\"a\"", "there are 1 choices; 2 to 8 can be shown", 6),
            ("\"a\", \"b\"", nine, "there are 9 choices", 6),
            ("\"a\"", "\"b\"", "the choice \"b\" is there twice", 6),
            ("\"a\"", "\"\"", "the choice is empty", 6),
            ("\"a\"", &long(301), "the choice has 301 characters", 6),
            ("\"answer\": 2", "\"answer\": 3", "the right answer of \"Q?\" is 3, and there are the choices 1 to 2", 10),
            ("\"answer\": 2", "\"answer\": 0", "the right answer of \"Q?\" is 0", 10),
            ("\"answer\": 2", "\"answer\": -1", "invalid value: integer `-1`", 7),
            ("\"answer\": 2", "\"answer\": \"b\"", "invalid type: string \"b\"", 7),
            ("\"E.\"", "\"\"", "the explanation is empty", 8),
            ("\"explanation\"", "\"explication\"", "unknown field `explication`", 8),
            (",\n      \"explanation\": \"E.\"", "", "missing field `explanation`", 8),
            ("\"T\",", "\"T\"", "expected `,` or `}`", 3),
            ("\"title\": \"T\",", "", "missing field `title`", 11),
            ("Q?", "Q?\n", "control character", 6),
        ] {
            let text = GOOD.replacen(from, to, 1);
            assert_ne!(text, GOOD, "{from}");
            let error = Quiz::parse(text.as_bytes()).expect_err(to);
            assert!(error.starts_with(says) || error.contains(says), "{error}");
            assert!(error.contains(&format!(" at line {line} column ")), "{error}");
        }
        let none = r#"{"title": "T", "questions": []}"#;
        assert_eq!(
            Quiz::parse(none.as_bytes()),
            Err("there are 0 questions; 1 to 500 can be asked at line 1 column 31".into())
        );
        assert!(Quiz::parse(b"{\"title\": \"\xff\"").unwrap_err().contains("unicode"), "not UTF-8");
        assert!(Quiz::parse(&vec![b' '; FILE + 1]).unwrap_err().contains("larger than"));
    }
}

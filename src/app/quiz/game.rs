//! The state of a game: the answers so far.
//!
//! The current question is the one after the last answer, and the score is computed. So
//! nothing can be inconsistent, and a session in a cookie reveals no right answers.

use serde::{Deserialize, Serialize};

use super::questions::{Question, Quiz};

/// The answers that a client has given.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Game {
    /// The quiz that they belong to.
    of: u32,
    /// For each question the number of the choice, from 1.
    answers: Vec<u8>,
}

/// The result of giving an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    /// It was accepted.
    Counted,
    /// It is for a question that isn't the current one: it was sent twice, or from an old
    /// page.
    Stale,
    /// There is no such choice.
    NoSuchChoice,
}

impl Game {
    /// A game without answers.
    pub fn new(quiz: &Quiz) -> Self {
        Self { of: quiz.fingerprint(), answers: Vec::new() }
    }

    /// The game in a session, if it is a game of this quiz.
    pub fn restore(value: serde_json::Value, quiz: &Quiz) -> Option<Self> {
        let game: Self = serde_json::from_value(value).ok()?;
        let possible = game.of == quiz.fingerprint()
            && game.answers.len() <= quiz.questions.len()
            && game.answers.iter().zip(&quiz.questions).all(|(&given, question)| question.has(given.into()));
        possible.then_some(game)
    }

    /// The number of the current question, from 1; none if all are answered.
    pub fn current(&self, quiz: &Quiz) -> Option<usize> {
        (self.answers.len() < quiz.questions.len()).then_some(self.answers.len() + 1)
    }

    /// Accepts an answer to the current question.
    pub fn answer(&mut self, quiz: &Quiz, question: usize, choice: usize) -> Taken {
        if self.current(quiz) != Some(question) {
            return Taken::Stale;
        }
        match u8::try_from(choice) {
            Ok(given) if quiz.questions[question - 1].has(choice) => {
                self.answers.push(given);
                Taken::Counted
            }
            _ => Taken::NoSuchChoice,
        }
    }

    /// Each answered question, with the choice.
    pub fn given<'q>(&self, quiz: &'q Quiz) -> impl Iterator<Item = (&'q Question, usize)> {
        quiz.questions.iter().zip(self.answers.clone()).map(|(question, given)| (question, given.into()))
    }

    /// The number of right answers.
    pub fn score(&self, quiz: &Quiz) -> usize {
        self.given(quiz).filter(|(question, given)| question.answer == *given).count()
    }
}

impl Question {
    /// Whether there is a choice with this number.
    fn has(&self, choice: usize) -> bool {
        (1..=self.choices.len()).contains(&choice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn only_the_current_question_can_be_answered_and_only_once() {
        let quiz = Quiz::built_in();
        let mut game = Game::new(&quiz);
        assert_eq!((game.current(&quiz), game.score(&quiz)), (Some(1), 0));
        for (question, choice, taken) in [
            (2, 1, Taken::Stale),
            (0, 1, Taken::Stale),
            (1, 0, Taken::NoSuchChoice),
            (1, 5, Taken::NoSuchChoice),
            (1, 257, Taken::NoSuchChoice),
            (1, quiz.questions[0].answer, Taken::Counted),
            (1, quiz.questions[0].answer, Taken::Stale),
            (usize::MAX, 1, Taken::Stale),
        ] {
            assert_eq!(game.answer(&quiz, question, choice), taken, "{question} {choice}");
        }
        assert_eq!((game.current(&quiz), game.score(&quiz)), (Some(2), 1));
    }

    #[test]
    fn at_the_end_the_score_is_the_number_of_right_answers() {
        let quiz = Quiz::built_in();
        let mut game = Game::new(&quiz);
        for (number, question) in (1..).zip(&quiz.questions) {
            let choice = if number % 3 == 0 { question.answer % question.choices.len() + 1 } else { question.answer };
            assert_eq!(game.answer(&quiz, number, choice), Taken::Counted);
        }
        assert_eq!((game.current(&quiz), game.score(&quiz)), (None, 8));
        assert_eq!(game.answer(&quiz, 12, 1), Taken::Stale);
        assert_eq!(game.answer(&quiz, 13, 1), Taken::Stale);
    }

    #[test]
    fn a_session_stores_it_and_other_values_are_no_game() {
        let quiz = Quiz::built_in();
        let mut game = Game::new(&quiz);
        game.answer(&quiz, 1, 4);
        let value = serde_json::to_value(&game).unwrap();
        assert_eq!(value, json!({"of": quiz.fingerprint(), "answers": [4]}));
        assert_eq!(Game::restore(value, &quiz), Some(game));
        let of = quiz.fingerprint();
        for value in [
            json!(null),
            json!({"of": of}),
            json!({"of": of + 1, "answers": []}),
            json!({"of": of, "answers": [5]}),
            json!({"of": of, "answers": [0]}),
            json!({"of": of, "answers": [1000]}),
            json!({"of": of, "answers": vec![1; 13]}),
        ] {
            assert_eq!(Game::restore(value.clone(), &quiz), None, "{value}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_sent_each_question_counts_once(sent in prop::collection::vec((0..15_usize, 0..6_usize), 0..60)) {
            let quiz = Quiz::built_in();
            let mut game = Game::new(&quiz);
            let mut counted = 0;
            for (question, choice) in sent {
                let before = game.clone();
                match game.answer(&quiz, question, choice) {
                    Taken::Counted => {
                        counted += 1;
                        prop_assert_eq!(question, counted);
                    }
                    _ => prop_assert_eq!(&game, &before),
                }
                prop_assert!(game.score(&quiz) <= counted);
            }
        }
    }
}

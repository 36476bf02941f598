//! Questions to a store that answers later: who waits for what, until when, and
//! what two requests of one session mean for each other.
//!
//! ```text
//! exchange ── load, save ─▶ questions ─────────▶ the store's protocol
//!     ▲                                             │
//!     └──────── take ◀── tickets ◀──── answer ──────┘
//! ```
//!
//! An exchange asks and gets a [`Ticket`], parks with a deadline, and is woken when
//! the protocol has an answer for that ticket. Here is no socket: the protocol takes
//! the questions in their order and says what came of each.
//!
//! **Coherence.** Two requests of one session may be under way at once, and both
//! have asked for its values before one of them saves. A save therefore overrules
//! every load of that session which was asked before it and isn't taken yet. Since
//! an application runs between the taking of a load and the saving in one turn of
//! the loop, no update of one is lost by another, as long as they come by the same
//! process; several processes with one store agree as far as the store goes: the
//! later save wins.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::Id;
use crate::limits;
use crate::reactor::{Handle, Tick, Time};

/// Names a question whose answer is awaited.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ticket(pub(super) u64);

/// What is asked of a store.
#[derive(Clone, PartialEq, Debug)]
pub enum Question {
    /// What is there under this identifier?
    Load(Id),
    /// Keep this.
    Save {
        /// Under this identifier.
        id: Id,
        /// What is under this one is the same session, so far; it is to be forgotten
        /// if it is another. None: the session is new.
        was: Option<Id>,
        /// As it is kept: a [`Record`](super::record::Record) as JSON.
        text: Vec<u8>,
        /// For so many seconds, if nothing more comes.
        seconds: i64,
    },
    /// Forget what is there.
    End(Id),
}

/// What a store says.
#[derive(Clone, PartialEq, Debug)]
pub enum Reply {
    /// This is there, as it was kept.
    Loaded(Option<Vec<u8>>),
    /// It is kept, or forgotten.
    Saved,
    /// It can't.
    Failed,
}

/// What came of a ticket.
#[derive(Clone, PartialEq, Debug)]
pub enum Settled {
    /// This is there under the identifier.
    Loaded(Id, Option<Vec<u8>>),
    /// It is kept, or forgotten.
    Saved,
    /// The store can't do it.
    Failed,
}

/// The store can't be asked now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unavailable;

/// A question that somebody waits for.
struct Open {
    who: Handle,
    deadline: Tick,
    /// The session that is loaded; else it is a save.
    loads: Option<Id>,
    reply: Option<Reply>,
}

/// The loads of one session that aren't taken yet.
#[derive(Default)]
struct Loads {
    count: usize,
    /// What was saved since: by which ticket, and what then is the truth.
    overruled: Option<(Ticket, Option<Vec<u8>>)>,
}

/// All that is asked and not yet settled.
pub struct Pending {
    questions: VecDeque<(Ticket, Question)>,
    /// Bytes of these.
    queued: usize,
    /// In the order of their deadlines, since all have the same time.
    open: BTreeMap<Ticket, Open>,
    loads: HashMap<Id, Loads>,
    tickets: u64,
    available: bool,
}

impl Default for Pending {
    fn default() -> Self {
        let (questions, open, loads) = (VecDeque::new(), BTreeMap::new(), HashMap::new());
        Self { questions, queued: 0, open, loads, tickets: 0, available: true }
    }
}

impl Question {
    /// Bytes that it takes, about.
    fn size(&self) -> usize {
        size_of::<(Ticket, Self)>() + if let Self::Save { text, .. } = self { text.len() } else { 0 }
    }
}

impl Pending {
    // ---- What an exchange does

    /// Asks for a session; `who` is woken when the answer is there.
    ///
    /// # Errors
    /// If the store can't be asked.
    pub fn load(&mut self, id: Id, who: Handle, time: Time) -> Result<Ticket, Unavailable> {
        let ticket = self.ask(Question::Load(id), Some(id), who, time)?;
        self.loads.entry(id).or_default().count += 1;
        Ok(ticket)
    }

    /// Asks for a session to be kept, or forgotten.
    ///
    /// # Errors
    /// If the store can't be asked.
    pub fn save(&mut self, question: Question, who: Handle, time: Time) -> Result<Ticket, Unavailable> {
        let (gone, kept) = match &question {
            Question::Load(_) => (None, None),
            Question::End(id) => (Some(*id), None),
            Question::Save { id, was, text, .. } => (was.filter(|was| was != id), Some((*id, text.clone()))),
        };
        let ticket = self.ask(question, None, who, time)?;
        let truths = [gone.map(|id| (id, None)), kept.map(|(id, text)| (id, Some(text)))];
        for (id, truth) in truths.into_iter().flatten() {
            if let Some(loads) = self.loads.get_mut(&id) {
                loads.overruled = Some((ticket, truth));
            }
        }
        Ok(ticket)
    }

    /// The answer, if it is there; the ticket is then settled.
    pub fn take(&mut self, ticket: Ticket) -> Option<Settled> {
        // Of one that nobody waits for nothing will ever come.
        let Some(open) = self.open.get_mut(&ticket) else { return Some(Settled::Failed) };
        let settled = match (open.reply.take()?, open.loads) {
            (Reply::Loaded(text), Some(id)) => match self.loads.get(&id) {
                Some(Loads { overruled: Some((by, truth)), .. }) if ticket < *by => Settled::Loaded(id, truth.clone()),
                _ => Settled::Loaded(id, text),
            },
            (Reply::Saved, None) => Settled::Saved,
            // Or an answer to another question, which is no answer.
            _ => Settled::Failed,
        };
        self.forget(ticket);
        Some(settled)
    }

    /// Nobody waits for this any more.
    pub fn forget(&mut self, ticket: Ticket) {
        let Some(Open { loads: Some(id), .. }) = self.open.remove(&ticket) else { return };
        if let Some(loads) = self.loads.get_mut(&id) {
            loads.count -= 1;
            if loads.count == 0 {
                self.loads.remove(&id);
            }
        }
    }

    // ---- What the store's protocol does

    /// The next question. Loads that nobody waits for any more are left out; saves
    /// aren't.
    pub fn next_question(&mut self) -> Option<(Ticket, Question)> {
        loop {
            let (ticket, question) = self.questions.pop_front()?;
            self.queued -= question.size();
            if self.open.contains_key(&ticket) || !matches!(question, Question::Load(_)) {
                return Some((ticket, question));
            }
        }
    }

    /// What came of a question: who is to be woken, if anybody still waits.
    pub fn answer(&mut self, ticket: Ticket, reply: Reply) -> Option<Handle> {
        let open = self.open.get_mut(&ticket)?;
        open.reply.get_or_insert(reply);
        Some(open.who)
    }

    /// The moment at which somebody gives up waiting for an answer, if it doesn't
    /// come: a protocol whose store has let it pass should try another connection.
    pub fn deadline(&self) -> Option<Tick> {
        self.open.values().find(|open| open.reply.is_none()).map(|open| open.deadline)
    }

    /// The store can be asked again.
    pub fn available(&mut self) {
        self.available = true;
    }

    /// The store can't be asked until it is [`available`](Self::available) again:
    /// whatever was asked has failed. Who is to be woken.
    pub fn unavailable(&mut self) -> Vec<Handle> {
        self.available = false;
        self.questions.clear();
        self.queued = 0;
        let waiting = self.open.values_mut().filter(|open| open.reply.is_none());
        waiting
            .map(|open| {
                open.reply = Some(Reply::Failed);
                open.who
            })
            .collect()
    }

    /// How many answers are awaited, or there and not taken.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    fn ask(&mut self, question: Question, loads: Option<Id>, who: Handle, time: Time) -> Result<Ticket, Unavailable> {
        let size = question.size();
        if !self.available || self.queued + size > limits::STORE_QUEUE {
            return Err(Unavailable);
        }
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.queued += size;
        self.questions.push_back((ticket, question));
        let deadline = time.now.after(limits::STORE_TIMEOUT);
        self.open.insert(ticket, Open { who, deadline, loads, reply: None });
        Ok(ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Time {
        Time { now: Tick::from_micros(millis * 1000), ..Time::default() }
    }

    fn who(number: u32) -> Handle {
        Handle::for_test(number)
    }

    fn text(count: i64) -> Vec<u8> {
        format!("{{\"count\":{count}}}").into_bytes()
    }

    fn save(pending: &mut Pending, id: Id, was: Option<Id>, count: i64) -> Ticket {
        let question = Question::Save { id, was, text: text(count), seconds: 60 };
        pending.save(question, who(9), at(0)).unwrap()
    }

    /// The answer to a load of something that has `count` at the store.
    fn answered(pending: &mut Pending, ticket: Ticket, count: i64) -> Option<Vec<u8>> {
        pending.answer(ticket, Reply::Loaded(Some(text(count))));
        taken(pending, ticket)
    }

    fn taken(pending: &mut Pending, ticket: Ticket) -> Option<Vec<u8>> {
        match pending.take(ticket) {
            Some(Settled::Loaded(_, text)) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_question_goes_out_and_its_answer_comes_back() {
        let mut pending = Pending::default();
        let (a, b) = (Id::new(), Id::new());
        let load = pending.load(a, who(1), at(0)).unwrap();
        let end = pending.save(Question::End(b), who(2), at(100)).unwrap();
        assert_eq!(pending.deadline(), Some(Tick::from_micros(500_000)));
        assert_eq!(pending.next_question(), Some((load, Question::Load(a))));
        assert_eq!(pending.next_question(), Some((end, Question::End(b))));
        assert_eq!((pending.next_question(), pending.queued), (None, 0));
        assert_eq!(pending.take(load), None, "not there yet");
        assert_eq!(pending.answer(load, Reply::Loaded(None)), Some(who(1)));
        assert_eq!(pending.deadline(), Some(Tick::from_micros(600_000)), "the other's");
        assert_eq!(pending.take(load), Some(Settled::Loaded(a, None)));
        assert_eq!(pending.answer(end, Reply::Saved), Some(who(2)));
        // The first word counts.
        pending.answer(end, Reply::Failed);
        assert_eq!((pending.take(end), pending.deadline()), (Some(Settled::Saved), None));
        assert_eq!(pending.take(end), Some(Settled::Failed), "an answer is given once");
        assert!(pending.is_empty() && pending.loads.is_empty());
    }

    #[test]
    fn who_gave_up_is_not_woken_and_what_he_asked_is_not_loaded() {
        let mut pending = Pending::default();
        let id = Id::new();
        let load = pending.load(id, who(1), at(0)).unwrap();
        let saved = save(&mut pending, id, Some(id), 1);
        pending.forget(load);
        pending.forget(saved);
        pending.forget(saved);
        assert!(matches!(pending.next_question(), Some((ticket, Question::Save { .. })) if ticket == saved));
        assert_eq!((pending.next_question(), pending.queued), (None, 0));
        assert_eq!(pending.answer(saved, Reply::Saved), None);
        assert!(pending.is_empty() && pending.loads.is_empty());
    }

    #[test]
    fn a_save_overrules_the_loads_that_were_asked_before_it() {
        let mut pending = Pending::default();
        let (id, other) = (Id::new(), Id::new());
        let [first, second, third] = [(); 3].map(|()| pending.load(id, who(1), at(0)).unwrap());
        let else_where = pending.load(other, who(2), at(0)).unwrap();
        // The first is answered and saves, while one waits for its answer and another
        // has it and wasn't called yet.
        pending.answer(second, Reply::Loaded(Some(text(1))));
        assert_eq!(answered(&mut pending, first, 1), Some(text(1)));
        save(&mut pending, id, Some(id), 2);
        assert_eq!(taken(&mut pending, second), Some(text(2)));
        save(&mut pending, id, Some(id), 3);
        let later = pending.load(id, who(1), at(0)).unwrap();
        assert_eq!(answered(&mut pending, third, 1), Some(text(3)));
        // What is asked after the save is answered by the store, where another process
        // may have been meanwhile.
        assert_eq!(answered(&mut pending, later, 7), Some(text(7)));
        assert_eq!(answered(&mut pending, else_where, 8), Some(text(8)));
        assert!(pending.loads.is_empty());
    }

    #[test]
    fn what_was_ended_or_renewed_is_gone_for_who_asked_before() {
        for end in [true, false] {
            let mut pending = Pending::default();
            let (id, new) = (Id::new(), Id::new());
            let load = pending.load(id, who(1), at(0)).unwrap();
            let on_new = pending.load(new, who(1), at(0)).unwrap();
            if end {
                pending.save(Question::End(id), who(2), at(0)).unwrap();
            } else {
                save(&mut pending, new, Some(id), 2);
            }
            assert_eq!(answered(&mut pending, load, 1), None);
            assert_eq!(answered(&mut pending, on_new, 5), Some(text(if end { 5 } else { 2 })));
        }
    }

    #[test]
    fn a_failure_is_a_failure_whatever_was_saved() {
        let mut pending = Pending::default();
        let id = Id::new();
        let load = pending.load(id, who(1), at(0)).unwrap();
        save(&mut pending, id, Some(id), 2);
        pending.answer(load, Reply::Failed);
        assert_eq!(pending.take(load), Some(Settled::Failed));
    }

    #[test]
    fn a_lost_store_fails_all_at_once_and_is_not_asked() {
        let mut pending = Pending::default();
        let id = Id::new();
        let there = pending.load(id, who(1), at(0)).unwrap();
        pending.answer(there, Reply::Loaded(None));
        let load = pending.load(id, who(2), at(0)).unwrap();
        let saved = save(&mut pending, id, None, 1);
        assert_eq!(pending.unavailable(), [who(2), who(9)]);
        assert_eq!((pending.next_question(), pending.queued, pending.deadline()), (None, 0, None));
        assert_eq!(pending.load(id, who(1), at(0)), Err(Unavailable));
        assert_eq!(pending.take(load), Some(Settled::Failed));
        assert_eq!(pending.take(saved), Some(Settled::Failed));
        assert_eq!(taken(&mut pending, there), Some(text(1)), "what came before is there");
        pending.available();
        assert!(pending.load(id, who(1), at(0)).is_ok());
    }

    #[test]
    fn a_store_that_takes_nothing_is_not_asked_without_end() {
        let mut pending = Pending::default();
        let mut count = 0;
        while let Ok(ticket) = pending.load(Id::new(), who(1), at(0)) {
            pending.forget(ticket);
            count += 1;
        }
        assert!(count > 10_000 && pending.queued <= limits::STORE_QUEUE, "{count}");
        assert_eq!((pending.next_question(), pending.queued), (None, 0));
    }
}

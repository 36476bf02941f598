//! The turns of an exchange that takes more than one: each goes on with what its state does, until
//! the response is written or something else follows.

use super::Http;
use crate::reactor::{Io, Want};
use crate::service::Cx;
use crate::service::http::persistence::Writing;
use crate::service::http::proxied::{End, Over};
use crate::service::http::state::State;
use crate::service::http::step::Step;
use crate::service::http::{dispatch, gateway};

impl Http {
    /// Continues an exchange that takes more than one turn.
    pub(super) fn go_on(&mut self, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Step<()> {
        let step = match &mut self.state {
            State::Waiting(_) => return self.wait(io, cx),
            State::Proxied(_) => return self.pass_on(io, cx),
            State::LookingUp(_) => return self.look_up(io, cx),
            State::SendingStored(stored) => stored.advance(io, cx),
            State::SendingFile { persistent, .. } => file_sent(*persistent, io),
            State::Sending(sending) => sending.advance(self.requests, io, cx),
            State::Watching(watching) => watching.advance(self.requests, io, cx),
            State::Tunnel(tunnel) => tunnel.advance(io, cx),
            State::Idle { .. } | State::Head { .. } | State::Body(_) | State::Closing(_) => return Step::Done(()),
        };
        match step {
            Step::Wait(want) => Step::Wait(want),
            Step::Done(writing) => {
                if let State::Tunnel(tunnel) = &self.state {
                    tunnel.make_room(cx);
                }
                self.response_ended(0, cx);
                self.end(writing, cx);
                Step::Done(())
            }
        }
    }

    /// Continues a waiting request if it can.
    fn wait(&mut self, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Step<()> {
        let State::Waiting(waiting) = &mut self.state else { return Step::Done(()) };
        let taken = match dispatch::look(waiting, cx) {
            Step::Wait(want) => return Step::Wait(want),
            Step::Done(taken) => taken,
        };
        let State::Waiting(waiting) = self.take_state(cx) else { return Step::Done(()) };
        let progress = dispatch::resume(*waiting, taken, self.requests, io, cx);
        self.proceed(progress, cx);
        Step::Done(())
    }

    /// Continues an exchange that another server answers.
    fn pass_on(&mut self, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Step<()> {
        let State::Proxied(proxied) = &mut self.state else { return Step::Done(()) };
        let end = match proxied.advance(io, cx) {
            Step::Wait(want) => return Step::Wait(want),
            Step::Done(end) => end,
        };
        self.reading = proxied.reading();
        match end {
            End::Head(answer) => {
                if let Some(over) = gateway::pass_on(proxied, &answer, self.requests, io, cx) {
                    self.conclude(over, io, cx);
                }
            }
            End::Written(writing) => {
                proxied.make_room(cx);
                self.response_ended(0, cx);
                self.end(writing, cx);
            }
            End::Over(over) => self.conclude(over, io, cx),
        }
        Step::Done(())
    }

    /// Ends an exchange with an upstream: something else follows.
    fn conclude(&mut self, over: Over, io: &mut Io<'_>, cx: &mut Cx<'_>) {
        if let State::Proxied(proxied) = self.take_state(cx) {
            proxied.make_room(cx);
            let progress = gateway::conclude(*proxied, over, self.requests, io, cx);
            self.proceed(progress, cx);
        }
    }

    /// Looks up again what the cache has, if that is known now.
    fn look_up(&mut self, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Step<()> {
        let State::LookingUp(looking) = &self.state else { return Step::Done(()) };
        if io.gone {
            self.end(Writing::Abort, cx);
            return Step::Done(());
        }
        if let Some(until) = looking.waits_until(cx.time.now) {
            return Step::Wait(Want::NOTHING.by(until));
        }
        if let State::LookingUp(looking) = self.take_state(cx) {
            let progress = gateway::look_again(*looking, self.requests, io, cx);
            self.proceed(progress, cx);
        }
        Step::Done(())
    }
}

/// Waits until a file is sent. It doesn't wait for the bytes behind the file (the end of a
/// multipart response): they fit the output, so no further call would come.
fn file_sent(persistent: bool, io: &Io<'_>) -> Step<Writing> {
    if io.output.has_file() {
        return Step::Wait(Want::NOTHING);
    }
    Step::Done(Writing::whole(persistent))
}
